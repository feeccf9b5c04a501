/**
 * `/v1/namespaces`: live reports. A namespace that cannot be read is reported as failed, never left
 * out and never as empty.
 */
import { WATCHED_AGE_MAX_MS } from "../../live/counts-age.ts";
import { READS_MAX } from "../../runs/gather-live.ts";
import { runBounded } from "../../model/run-bounded.ts";
import type { NamespaceList, NamespaceReport, OperationList } from "../../model/api.ts";
import type { LiveFailure, NamespaceRef, RowIds } from "../../model/live.ts";
import type { LiveReader } from "../../live/port.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { readNumber } from "../read-request.ts";
import { resolveRef } from "../resolve-ref.ts";

const HISTORY_LIMIT = { min: 1, max: 1000, fallback: 50 };

export function addNamespaceRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/namespaces", requireRole("read", "checked"), async (context) => {
    const { object, name, environment } = context.req.query();
    const refs = await chooseRefs(context, { object, name, environment });
    return context.json<NamespaceList>({ namespaces: await reportNamespaces(context, refs) });
  });

  api.get("/v1/namespaces/:name", requireRole("read", "namespace"), async (context) => {
    const ref = await resolveRef(context, context.req.param("name"));
    const [report] = await reportNamespaces(context, [ref]);
    if (!report) throw new Error("One namespace is asked for, and none is reported");
    return context.json<NamespaceReport>(report);
  });

  api.get("/v1/namespaces/:name/history", requireRole("read", "namespace"), async (context) => {
    const limit = readNumber(context, "limit", HISTORY_LIMIT);
    const ref = await resolveRef(context, context.req.param("name"));
    const history = await context.var.liveAccess.history(ref, limit);
    if (history.ok) return context.json<OperationList>({ operations: history.value });
    throw unread(history.failure);
  });

  // The one answer that names rows: it passes through, and nothing keeps it.
  api.get("/v1/namespaces/:name/ids", requireRole("apply", "namespace"), async (context) => {
    const ref = await resolveRef(context, context.req.param("name"));
    const ids = await context.var.liveAccess.ids(ref);
    if (!ids.ok) throw unread(ids.failure);
    return context.json<RowIds>(ids.value, 200, { "cache-control": "no-store" });
  });
}

function unread({ kind, message }: LiveFailure): RefusedRequest {
  return new RefusedRequest(
    kind === "unreachable" ? "unavailable" : kind === "unbound" ? "notFound" : "conflict",
    message,
  );
}

async function reportNamespaces(
  context: ApiContext,
  refs: readonly NamespaceRef[],
): Promise<NamespaceReport[]> {
  const { liveAccess, coordinator } = context.var;
  const [reports, capacities] = await Promise.all([
    runBounded(refs, READS_MAX, (ref) => reportNamespace(liveAccess, ref)),
    coordinator.capacities.capacities(refs),
  ]);
  return reports.map((report, index) => {
    const capacity = capacities[index];
    return report.kind === "live" && capacity ? { ...report, capacity } : report;
  });
}

async function reportNamespace(
  liveAccess: LiveReader,
  ref: NamespaceRef,
): Promise<NamespaceReport> {
  const described = await liveAccess.describe(ref, WATCHED_AGE_MAX_MS);
  if (described.ok) return { kind: "live", namespace: described.value };
  return { kind: "failed", name: ref.name, object: ref.object, failure: described.failure };
}

interface Filter {
  readonly object: string | undefined;
  readonly name: string | undefined;
  readonly environment: string | undefined;
}

/**
 * With object and name: that one, known or not. Otherwise the known ones that match, and that the
 * caller's token holds for.
 */
async function chooseRefs(
  context: ApiContext,
  { object, name, environment }: Filter,
): Promise<readonly NamespaceRef[]> {
  const { scope } = context.var;
  if (object && name) {
    await scope.require({ object, name });
    return [{ object, name }];
  }
  const known = await context.var.coordinator.plans.listNamespaces(environment ?? null);
  const asked = known.filter(
    (ref) =>
      (object === undefined || ref.object === object) && (name === undefined || ref.name === name),
  );
  return scope.filter(asked);
}
