/**
 * The Worker of `shardctl dev`: the control half, and `/data` to try it on. Every Durable Object
 * binding but the coordinator's holds `ThingsObject`s; `shardctl dev` generates the entry file that
 * declares one class for each. On loopback addresses no token is needed.
 */
import { findObjectBindings, type ObjectBindings } from "./objects.ts";
import { addThingRoutes } from "./routes/things.ts";
import { createReconciler } from "./index.ts";

interface DevEnv {
  readonly SHARDCTL_COORDINATOR: DurableObjectNamespace;
  readonly SHARDCTL_TOKENS?: string;
}

const objects = (env: object): ObjectBindings => findObjectBindings(env, "SHARDCTL_COORDINATOR");

const { Reconciler, ...worker } = createReconciler<DevEnv>({
  objects,
  coordinator: (env) => env.SHARDCTL_COORDINATOR,
  allowAnonymous: true,
  extend: (api, requireRole) => addThingRoutes(api, requireRole, objects),
});

export { Reconciler as Coordinator };
export default worker;
