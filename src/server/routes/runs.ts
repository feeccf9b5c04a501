/** `/v1/runs`: following and cancelling runs. */
import { RUN_WAIT_MAX_S, type Run, type RunList } from "../../model/api.ts";
import { cancelLeftBehind } from "../../runs/cancel-left-behind.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import type { RunFilter } from "../../runs/store.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readNumber } from "../read-request.ts";

const LIST_LIMIT = { min: 1, max: 1000, fallback: 50 };
/** Runs whose namespaces are compared with a token's scope in one call. */
const JUDGED_AT_ONCE = 100;
const NEVER = -1;

export function addRunRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/runs", requireRole("read", "checked"), async (context) => {
    const limit = readNumber(context, "limit", LIST_LIMIT);
    const isActive = readNumber(context, "active", { min: 0, max: 1, fallback: 0 }) === 1;
    const environment = context.req.query("environment") ?? null;
    const runs = await listRuns(context, { limit, isActive, environment });
    return context.json<RunList>({ runs });
  });

  api.get("/v1/runs/:id", requireRole("read", "checked"), async (context) => {
    const id = context.req.param("id");
    const waitS = readNumber(context, "wait", { min: 0, max: RUN_WAIT_MAX_S, fallback: 0 });
    const since = readNumber(context, "since", {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      fallback: NEVER,
    });
    const { coordinator, scope } = context.var;
    const { runs } = coordinator;
    const run =
      waitS === 0
        ? await runs.findRun(id)
        : await runs.waitFor(id, since === NEVER ? null : since, waitS * 1000);
    if (!run) throw unknownRun(id);
    const [shown] = await scope.showRuns([run]);
    if (shown === undefined) throw scope.refuse(`any namespace of run ${id}`);
    return context.json<Run>(shown);
  });

  api.post("/v1/runs/:id/cancel", requireRole("apply", "checked"), limitBody(), async (context) => {
    const id = context.req.param("id");
    const { coordinator, scope, caller } = context.var;
    const known = await coordinator.runs.findRun(id);
    if (!known) throw unknownRun(id);
    await scope.requireRun(known);
    const run = await coordinator.runs.cancel(id);
    if (!run) throw unknownRun(id);
    if (run.state === "running") await coordinator.observation.noteCancel(run, caller.name);
    const left = await cancelLeftBehind(context.var.liveAccess, run);
    if (left) return runAccepted(left);
    if (run.state === "running" || run.state === "cancelled") return runAccepted(run);
    throw new RefusedRequest(
      "conflict",
      `Run ${id} has ended already: it ${run.state}. There is nothing to cancel.`,
    );
  });
}

/** The newest runs that the caller may see, without what it may not see of them. */
async function listRuns(
  { var: { coordinator, scope } }: ApiContext,
  filter: RunFilter,
): Promise<Run[]> {
  if (scope.isEverything) return readRuns(coordinator, await coordinator.runs.listIds(filter));
  const all = { ...filter, limit: LIST_LIMIT.max };
  const found: string[] = [];
  for (let skip = 0; skip < all.limit && found.length < filter.limit;) {
    const page = await coordinator.scopes.runs(all, skip, JUDGED_AT_ONCE);
    skip += page.length;
    const seen = await scope.seesRuns(page);
    found.push(...page.flatMap(({ id }, index) => (seen[index] === true ? [id] : [])));
    if (page.length === 0) break;
  }
  return scope.showRuns(await readRuns(coordinator, found.slice(0, filter.limit)));
}

/** Page by page: all of them may be more than one call can carry. */
async function readRuns(
  { runs }: ApiContext["var"]["coordinator"],
  ids: readonly string[],
): Promise<Run[]> {
  const read: (Run | null)[] = [];
  while (read.length < ids.length) read.push(...(await runs.read(ids.slice(read.length))));
  return read.flatMap((run) => run ?? []);
}

/** 202: the run goes on by itself, and `Location` says where to look. */
export function runAccepted(run: Run): Response {
  return Response.json(run, {
    status: 202,
    headers: { location: `/v1/runs/${encodeURIComponent(run.id)}` },
  });
}

function unknownRun(id: string): RefusedRequest {
  return new RefusedRequest("notFound", `There is no run ${id} here.`);
}
