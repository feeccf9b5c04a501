/**
 * `GET /healthz` and `GET /metrics`.
 *
 * Health is for anybody to ask, so it says nothing but yes or no, and what was found out is kept
 * for a moment: a flood of questions does not reach the coordinator. Metrics sum up over all
 * namespaces, so they are for tokens without a scope.
 */
import { METRICS_CONTENT_TYPE, renderMetrics } from "../../metrics/metrics-text.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api } from "../context.ts";
import { logError } from "../../log.ts";
import { problemResponse } from "../problems.ts";

const HEALTH_KEPT_MS = 1000;
const COORDINATOR_TIMEOUT_MS = 10_000;

export function addHealthRoutes(api: Api, requireRole: RequireRole): void {
  let known: { readonly isHealthy: boolean; readonly at: number } | null = null;

  api.get("/healthz", async (context) => {
    const now = Date.now();
    if (known === null || now - known.at >= HEALTH_KEPT_MS || now < known.at) {
      const isHealthy = await withinTime(context.var.coordinator.observation.isHealthy()).catch(
        (error: unknown) => {
          logError("health.unanswered", {}, error);
          return false;
        },
      );
      known = { isHealthy, at: now };
    }
    if (known.isHealthy) return context.json({ status: "ok" });
    return problemResponse(
      "unavailable",
      "The coordinator does not answer, or no tick has started or ended for too long.",
    );
  });

  api.get("/metrics", requireRole("read", "everything"), async (context) => {
    const families = await context.var.coordinator.observation.readMetrics();
    return context.body(renderMetrics(families), 200, { "content-type": METRICS_CONTENT_TYPE });
  });
}

async function withinTime<Value>(work: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`No answer within ${COORDINATOR_TIMEOUT_MS} ms`)),
      COORDINATOR_TIMEOUT_MS,
    );
  });
  return Promise.race([work, overdue]).finally(() => clearTimeout(timer));
}
