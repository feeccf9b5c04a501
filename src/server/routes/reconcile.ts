/** `/v1/drift` and `/v1/reconcile`: what reconciliation found, and a tick on request. */
import { RUN_WAIT_MAX_S } from "../../model/api.ts";
import type { DriftReport } from "../../model/drift.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readNumber } from "../read-request.ts";

export function addReconcileRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/drift", requireRole("read"), async (context) => {
    const environment = await chooseEnvironment(context);
    return context.json<DriftReport>(
      await context.var.coordinator.reconciliation.report(environment),
    );
  });

  /**
   * 200 with the report of a pass that began after the request and is over; 202 with the last one
   * while it goes on.
   */
  api.post("/v1/reconcile", requireRole("apply"), limitBody(), async (context) => {
    const waitS = readNumber(context, "wait", {
      min: 0,
      max: RUN_WAIT_MAX_S,
      fallback: RUN_WAIT_MAX_S,
    });
    const environment = await chooseEnvironment(context);
    const { reconciliation } = context.var.coordinator;
    const isOver = await reconciliation.runPass(environment, waitS * 1000);
    const report = await reconciliation.report(environment);
    return context.json<DriftReport>(report, isOver ? 200 : 202);
  });
}

/** The one that is asked for, else the only one that there is. */
async function chooseEnvironment(context: ApiContext): Promise<string> {
  const known = await context.var.coordinator.reconciliation.environments();
  const asked = context.req.query("environment");
  const listed =
    known.length === 0
      ? "none yet: apply a plan first, or give the Worker its repository"
      : known.join(", ");
  if (asked !== undefined) {
    if (known.includes(asked)) return asked;
    throw new RefusedRequest(
      "notFound",
      `The environment '${asked}' is not reconciled here (reconciled are: ${listed}).`,
    );
  }
  const [only] = known;
  if (only !== undefined && known.length === 1) return only;
  throw new RefusedRequest(
    "invalid",
    `Say which environment with ?environment= (reconciled are: ${listed}).`,
  );
}
