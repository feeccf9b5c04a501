/**
 * The status page: `/`, `/namespaces/:object/:name`, signing in and out, and the two files that the
 * page needs. What the coordinator knows is shown; live namespaces are asked only where
 * `look-live.ts` says so. Nothing here changes what the page tells of.
 */
import { secureHeaders } from "hono/secure-headers";

import { describePolicy, describeSpec } from "../../page/describe-spec.ts";
import { renderNamespacePage } from "../../page/namespace-page.ts";
import { renderOverview } from "../../page/overview.ts";
import { STATE_FILTERS, type StateFilter } from "../../page/page-data.ts";
import { listMembers, viewOperation } from "../../page/sight.ts";
import type { Api, ApiContext } from "../context.ts";
import { logError } from "../../log.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readNumber } from "../read-request.ts";
import { CallerScope } from "../access/caller-scope.ts";
import { authenticate } from "../access/tokens.ts";
import { serveAssets } from "../../page/html/assets.ts";
import { createLinks } from "../../page/links.ts";
import { followOperations, lookLive, type Looks } from "../../page/look-live.ts";
import {
  respondLogin,
  respondMessage,
  respondPage,
  type Shown,
  wantsPart,
} from "./respond-page.ts";
import {
  createViewerCheck,
  forBrowsers,
  forgetToken,
  rememberToken,
  type ViewerOptions,
} from "../access/viewer.ts";

const SEARCH_LENGTH_MAX = 200;
const PAGE_RANGE = { min: 1, max: 100_000, fallback: 1 };
const FORM_BYTES_MAX = 16 * 1024;
const HISTORY_MAX = 20;
const HISTORY_WAIT_MS = 2_000;
const ASSET_CACHE = "public, max-age=31536000, immutable";
const PATHS = ["/", "/namespaces/:object/:name", "/login", "/logout", "/assets/:file"] as const;

/** Everything from this origin only, no inline style or script, no frame around the page. */
const secure = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    styleSrc: ["'self'"],
    scriptSrc: ["'self'"],
    imgSrc: ["'self'", "data:"],
    connectSrc: ["'self'"],
    baseUri: ["'none'"],
    frameAncestors: ["'none'"],
    formAction: ["'self'"],
  },
  referrerPolicy: "same-origin",
  xFrameOptions: "DENY",
  strictTransportSecurity: false,
});

type Show = (context: ApiContext) => Promise<Omit<Shown, "canSignOut"> | null>;

export function addPageRoutes(api: Api, options: ViewerOptions): void {
  const findViewer = createViewerCheck(options);
  for (const path of PATHS) api.use(path, secure);

  const page =
    (show: Show) =>
    async (context: ApiContext): Promise<Response> => {
      const viewer = await findViewer(context);
      if (!viewer.ok) return askToSignIn(context, viewer.failure);
      const { name, scope } = viewer.value;
      context.set("scope", new CallerScope(name, scope, context.var.coordinator));
      try {
        const shown = await show(context);
        if (shown !== null)
          return await respondPage(context, { ...shown, canSignOut: viewer.value.hasCookie });
        return await respondMessage(
          404,
          "Not found",
          "No namespace of this name was ever planned or reconciled here.",
        );
      } catch (error) {
        return explainError(error, context.var.correlationId);
      }
    };
  api.get("/", page(showOverview));
  api.get("/namespaces/:object/:name", page(showNamespace));

  api.get("/login", (context) =>
    respondLogin(200, {
      next: safeNext(context, context.req.query("next")),
      problem: null,
      hasAccess: hasAccess(context),
    }),
  );
  api.post("/login", limitBody(FORM_BYTES_MAX), (context) => signIn(context, options));
  api.post("/logout", limitBody(FORM_BYTES_MAX), async (context) => {
    if (!isOwnForm(context))
      return respondMessage(403, "Not allowed", "This form came from another web page.");
    forgetToken(context);
    return context.redirect("/login", 303);
  });

  api.get("/assets/:file", async (context) => {
    const file = (await serveAssets()).files.get(context.req.path);
    if (file === undefined)
      throw new RefusedRequest("notFound", `There is nothing at ${context.req.path}.`);
    return new Response(file.text, {
      headers: { "content-type": file.type, "cache-control": ASSET_CACHE },
    });
  });
}

async function showOverview(context: ApiContext): ReturnType<Show> {
  const { coordinator, liveAccess, settings } = context.var;
  const request = {
    environment: context.req.query("environment") ?? null,
    search: (context.req.query("search") ?? "").trim().slice(0, SEARCH_LENGTH_MAX),
    state: readState(context.req.query("state")),
    page: readNumber(context, "page", PAGE_RANGE),
    visible: await context.var.scope.visible(),
  };
  const known = await coordinator.page.overview(request);
  const now = Date.now();
  const looks = await lookLive(
    liveAccess,
    await followOperations(liveAccess, known.namespaces, now),
    "list",
    now,
  );
  keepLooks(context, looks, known.environment);
  const namespaces = looks.facts.map(({ view }) => view);
  const main = renderOverview({ ...known, namespaces }, createLinks(settings.github));
  return { title: known.environment ?? "Status", main, surroundings: known };
}

async function showNamespace(context: ApiContext): ReturnType<Show> {
  const { coordinator, liveAccess, settings, scope } = context.var;
  const { object = "", name = "" } = context.req.param() as Readonly<Record<string, string>>;
  const environment = context.req.query("environment") ?? null;
  // The same answer as for one that is not known.
  if ((await scope.filter([{ object, name }])).length === 0) return null;
  const visible = await scope.visible();
  const known = await coordinator.page.namespace(environment, { object, name }, visible);
  if (known === null) return null;
  const now = Date.now();
  const history = readHistory(context, object, name);
  const followed = await followOperations(liveAccess, [known.facts], now);
  const looks = await lookLive(liveAccess, followed, "one", now);
  keepLooks(context, looks, known.environment);
  const facts = looks.facts[0] ?? known.facts;
  const looked = looks.inTime.get(followed[0] ?? known.facts);
  const operations = (await history).map(viewOperation);
  const ids = [...new Set(operations.flatMap(({ run }) => run ?? []))];
  const { spec } = known;
  const ref = { object, name };
  const [[capacity], sizes] = await Promise.all([
    coordinator.capacities.capacities([ref]),
    coordinator.capacities.history(ref),
  ]);
  if (!capacity) throw new Error("One namespace is asked for, and none is answered");
  const main = renderNamespacePage(
    {
      ...known,
      namespace: facts.view,
      declared: spec === null ? null : describeSpec(spec),
      policy: spec === null ? [] : describePolicy(spec),
      source: spec === null ? null : `${spec.source.file}:${spec.source.line}`,
      members: looked?.live ? listMembers(looked.live.members) : known.members,
      history: operations,
      problem: facts.problem,
      capacity,
      sizes,
      // A run may be about other namespaces, too.
      runs: ids.length === 0 || !scope.isWholeEnvironment ? [] : await coordinator.page.runs(ids),
    },
    createLinks(settings.github),
  );
  return { title: name, main, surroundings: known };
}

/** Empty when the namespace does not answer in time: the page says that elsewhere. */
async function readHistory(context: ApiContext, object: string, name: string) {
  const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), HISTORY_WAIT_MS));
  const answer = await Promise.race([
    context.var.liveAccess.history({ object, name }, HISTORY_MAX),
    late,
  ]);
  return answer?.ok ? answer.value : [];
}

/** After the answer: whoever looks next need not ask again. */
function keepLooks(context: ApiContext, { learned }: Looks, environment: string | null): void {
  if (learned === null || environment === null) return;
  const { coordinator } = context.var;
  const kept = learned
    .then((looks) => coordinator.page.noteLooks(looks, environment))
    .catch((error: unknown) => logError("page.looks.notKept", {}, error));
  context.executionCtx.waitUntil(kept);
}

function askToSignIn(context: ApiContext, problem: string | null): Response | Promise<Response> {
  if (wantsPart(context)) return context.text("Signed out.", 401);
  const { pathname, search } = new URL(context.req.url);
  const next = `${pathname}${search}`;
  if (problem === null)
    return context.redirect(`/login?${new URLSearchParams({ next }).toString()}`, 303);
  return respondLogin(401, { next, problem, hasAccess: hasAccess(context) });
}

async function signIn(context: ApiContext, { tokens }: ViewerOptions): Promise<Response> {
  const form = await context.req.parseBody();
  const token = typeof form["token"] === "string" ? form["token"].trim() : "";
  const next = safeNext(context, typeof form["next"] === "string" ? form["next"] : undefined);
  const refuse = (status: 401 | 403, problem: string): Promise<Response> =>
    respondLogin(status, { next, problem, hasAccess: hasAccess(context) });
  if (!isOwnForm(context))
    return refuse(403, "This form came from another web page. Sign in here.");
  const caller = await authenticate(`Bearer ${token}`, tokens(context.env), Date.now());
  if (!caller.ok) return refuse(401, token === "" ? "Enter a token." : forBrowsers(caller.failure));
  rememberToken(context, token);
  return context.redirect(next, 303);
}

/** Only a path of this origin: a login form must not send anybody elsewhere. */
function safeNext(context: ApiContext, next: string | undefined): string {
  const { origin } = new URL(context.req.url);
  if (next === undefined || !next.startsWith("/") || !URL.canParse(next, origin)) return "/";
  const url = new URL(next, origin);
  return url.origin === origin && !/^\/(login|logout)\b/.test(url.pathname)
    ? `${url.pathname}${url.search}`
    : "/";
}

/** A browser says where a form was; other pages may not sign anybody in or out. */
function isOwnForm(context: ApiContext): boolean {
  const origin = context.req.header("origin");
  return origin === undefined || origin === new URL(context.req.url).origin;
}

function hasAccess(context: ApiContext): boolean {
  return context.var.settings.access !== null;
}

function readState(text: string | undefined): StateFilter | null {
  return STATE_FILTERS.find((state) => state === text) ?? null;
}

function explainError(error: unknown, correlationId: string): Promise<Response> {
  if (error instanceof RefusedRequest) {
    const status = error.kind === "invalid" ? 400 : error.kind === "unavailable" ? 503 : 500;
    return respondMessage(status, "That did not work", error.message);
  }
  logError("page.unexpected", { correlationId }, error);
  return respondMessage(
    500,
    "Something went wrong",
    `The Worker's log has it under the id ${correlationId}.`,
  );
}
