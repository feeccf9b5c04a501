/** `/v1/drift` and `/v1/reconcile`: what reconciliation found, and a tick on request. */
import { RUN_WAIT_MAX_S } from "../../model/api.ts";
import type { DriftReport } from "../../model/drift.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readNumber } from "../read-request.ts";

export function addReconcileRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/drift", requireRole("read", "checked"), async (context) => {
    const environment = await chooseEnvironment(context);
    const visible = await context.var.scope.visible();
    return context.json<DriftReport>(
      await context.var.coordinator.reconciliation.report(environment, visible),
    );
  });

  /**
   * 200 with the report of a pass that began after the request and is over; 202 with the last one
   * while it goes on.
   */
  api.post("/v1/reconcile", requireRole("apply", "checked"), limitBody(), async (context) => {
    const waitS = readNumber(context, "wait", {
      min: 0,
      max: RUN_WAIT_MAX_S,
      fallback: RUN_WAIT_MAX_S,
    });
    const environment = await chooseEnvironment(context);
    // A pass heals and applies whatever is due in the environment.
    if (!context.var.scope.isWholeEnvironment)
      throw context.var.scope.refuse("a tick, which is about the whole environment");
    const { reconciliation } = context.var.coordinator;
    const isOver = await reconciliation.runPass(environment, waitS * 1000);
    const report = await reconciliation.report(environment, null);
    return context.json<DriftReport>(report, isOver ? 200 : 202);
  });
}

/** The one that is asked for, else the only one that there is. */
async function chooseEnvironment(context: ApiContext): Promise<string> {
  const { scope, coordinator } = context.var;
  const all = await coordinator.reconciliation.environments();
  const known = all.filter((environment) => scope.holdsEnvironment(environment));
  const asked = context.req.query("environment");
  const listed =
    known.length === 0
      ? "none yet: apply a plan first, or give the Worker its repository"
      : known.join(", ");
  if (asked !== undefined) {
    scope.requireEnvironment(asked);
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
