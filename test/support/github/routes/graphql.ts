/**
 * GraphQL, as far as it is the only way: who a token is, which for the token of a workflow no REST
 * call tells. It is a read, though it is sent by POST.
 */
import { answer, refuse } from "../answers.ts";
import type { Route } from "../route.ts";

const VIEWER = /^\s*(?:query\s*)?\{\s*viewer\s*\{\s*login\s*\}\s*\}\s*$/;

export const graphqlRoutes: readonly Route[] = [
  {
    method: "POST",
    path: "/graphql",
    isContent: false,
    handle: ({ token, body }) => {
      if (token === null) return refuse(401, "This endpoint requires you to be authenticated.");
      const query = typeof body["query"] === "string" ? body["query"] : "";
      if (VIEWER.test(query))
        return answer(200, { data: { viewer: { login: token.account.login } } });
      return answer(200, {
        errors: [{ type: "NOT_FAKED", message: "Only { viewer { login } } is answered here" }],
      });
    },
  },
];
