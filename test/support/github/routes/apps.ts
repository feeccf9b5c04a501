/** GitHub Apps: who an app is by its JWT, where it is installed, and its installation tokens. */
import { decodeJwt, importSPKI, jwtVerify } from "jose";

import { answer, notFound, refuse, type Answer } from "../answers.ts";
import type { Call, Route } from "../route.ts";
import {
  isoTime,
  showApp,
  showInstallation,
  showPermissions,
  type Schemas,
} from "../shapes/account.ts";
import { showRepository } from "../shapes/repository.ts";
import type { Access, App, Installation, Permissions, Scope } from "../state.ts";
import { createInstallationToken, reachable } from "../tokens.ts";

const LIFETIME_MAX_S = 600;
const DOCS = "/apps/apps";

export const appRoutes: readonly Route[] = [
  appRoute("GET", "/app", (call, app) => answer(200, showApp(call.world.api, app))),
  appRoute("POST", "/app/installations/:id/access_tokens", (call, app) =>
    issueToken(call, byId(call, app)),
  ),
  appRoute("GET", "/repos/:owner/:repo/installation", (call, app) => {
    const repo = call.world.state.findRepository(
      call.params["owner"] ?? "",
      call.params["repo"] ?? "",
    );
    const found = installationsOf(call, app).find(
      (one) => repo !== null && reachable(call.world.state, one).includes(repo),
    );
    return showOne(call, found);
  }),
];

/** A route that takes an app's JWT. */
function appRoute(
  method: Route["method"],
  path: string,
  handle: (call: Call, app: App) => Answer | Promise<Answer>,
): Route {
  return {
    method,
    path,
    isContent: false,
    handle: async (call) => {
      const known = await verifyAppJwt(call);
      return "refused" in known ? known.refused : handle(call, known.app);
    },
  };
}

async function verifyAppJwt(
  call: Call,
): Promise<{ readonly app: App } | { readonly refused: Answer }> {
  const { state } = call.world;
  const jwt = /^bearer +(\S+)$/i.exec(call.headers.get("authorization") ?? "")?.[1];
  const undecodable = { refused: refuse(401, "A JSON web token could not be decoded", DOCS) };
  if (jwt === undefined) return undecodable;
  let issuer: string;
  try {
    issuer = String(decodeJwt(jwt).iss);
  } catch {
    return undecodable;
  }
  const app = state.apps.find((one) => String(one.id) === issuer || one.clientId === issuer);
  if (!app?.keys) return { refused: refuse(404, "Integration not found", DOCS) };
  const nowS = Math.floor(state.now() / 1000);
  try {
    const key = await importSPKI(app.keys.publicPem, "RS256");
    const { payload } = await jwtVerify(jwt, key, {
      algorithms: ["RS256"],
      currentDate: new Date(state.now()),
    });
    const { exp, iat } = payload;
    if (exp === undefined || exp - nowS > LIFETIME_MAX_S) {
      return {
        refused: refuse(401, "'Expiration time' claim ('exp') is too far in the future", DOCS),
      };
    }
    if (iat === undefined || iat > nowS) {
      const message =
        "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
      return { refused: refuse(401, message, DOCS) };
    }
    return { app };
  } catch (cause) {
    if ((cause as { code?: string }).code !== "ERR_JWT_EXPIRED") return undecodable;
    const message =
      "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
    return { refused: refuse(401, message, DOCS) };
  }
}

function installationsOf(call: Call, app: App): Installation[] {
  return call.world.state.installations.filter((one) => one.app === app);
}

function byId(call: Call, app: App): Installation | undefined {
  return installationsOf(call, app).find((one) => one.id === Number(call.params["id"]));
}

function showOne(call: Call, installation: Installation | undefined): Answer {
  return installation
    ? answer(200, showInstallation(call.world.api, installation))
    : notFound(DOCS);
}

/**
 * May narrow to `repositories`, `repository_ids` and `permissions`; more than the installation has
 * is 422.
 */
function issueToken(call: Call, installation: Installation | undefined): Answer {
  if (!installation) return notFound(DOCS);
  const { world, body } = call;
  const { repositories: names, repository_ids: ids } = body as {
    repositories?: readonly string[];
    repository_ids?: readonly number[];
  };
  const all = reachable(world.state, installation);
  const chosen =
    names || ids ? all.filter((repo) => names?.includes(repo.name) || ids?.includes(repo.id)) : all;
  const asked = (names?.length ?? 0) + (ids?.length ?? 0);
  if (chosen.length < asked)
    return refuse(
      422,
      "There is at least one repository that does not exist or is not accessible to the parent installation.",
      DOCS,
    );
  const permissions = (body["permissions"] ?? installation.permissions) as Permissions;
  for (const [scope, access] of Object.entries(permissions) as [Scope, Access][]) {
    const granted = scope === "metadata" ? "read" : installation.permissions[scope];
    if (granted !== "write" && granted !== access)
      return refuse(422, "The permissions requested are not granted to this installation.", DOCS);
  }
  const token = createInstallationToken(world.state, installation, permissions, chosen);
  const shown: Schemas["installation-token"] = {
    token: token.value,
    expires_at: isoTime(token.expiresAtMs ?? 0),
    permissions: showPermissions(permissions),
    repository_selection: asked > 0 || installation.repositories !== null ? "selected" : "all",
    ...(asked > 0 ? { repositories: chosen.map((repo) => showRepository(world.api, repo)) } : {}),
  };
  return answer(201, shown);
}
