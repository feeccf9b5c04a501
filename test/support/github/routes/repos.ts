/** The collaborators of a repository, and who the caller is. */
import { answer, notFound, refuse } from "../answers.ts";
import { callerOf, repoRoute, type Route } from "../route.ts";
import { showAccount, showPublicUser, showRole, type Schemas } from "../shapes/account.ts";
import { roleOf, type Role } from "../state.ts";

export const repoRoutes: readonly Route[] = [
  repoRoute(
    "GET",
    "/collaborators/:user/permission",
    ["metadata=read"],
    ({ world, repo, params, token }) => {
      if (token === null) return refuse(401, "Requires authentication");
      const account = world.state.accounts.get((params["user"] ?? "").toLowerCase());
      if (!account)
        return notFound("/collaborators/collaborators#get-repository-permissions-for-a-user");
      const role = roleOf(repo, account);
      const body: Schemas["repository-collaborator-permission"] = {
        permission: legacyPermission(role),
        role_name: role,
        user: { ...showAccount(world.api, account), permissions: showRole(role), role_name: role },
      };
      return answer(200, body);
    },
  ),
  {
    method: "GET",
    path: "/user",
    isContent: false,
    handle: (call) => {
      if (call.token === null) return refuse(401, "Requires authentication");
      // The tokens of apps have no user behind them.
      if (call.token.app !== null)
        return refuse(
          403,
          "Resource not accessible by integration",
          "/users/users#get-the-authenticated-user",
        );
      return answer(200, showPublicUser(call.world.api, callerOf(call)));
    },
  },
];

/** Roles that came later are shown as the nearest of the four old ones. */
function legacyPermission(role: Role): "admin" | "write" | "read" | "none" {
  switch (role) {
    case "maintain":
      return "write";
    case "triage":
      return "read";
    default:
      return role;
  }
}
