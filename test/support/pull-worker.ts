/**
 * The Worker of whole-flow tests and demos: a class of things, and the control half with a
 * repository on a GitHub that its variables name.
 */
import { createReconciler } from "../../src/server/index.ts";
import { addThingRoutes } from "../../src/server/routes/things.ts";

export { ThingsObject } from "../../src/shards/things/things-object.ts";

interface Env {
  readonly ORDERS: DurableObjectNamespace;
  readonly SHARDCTL: DurableObjectNamespace;
  readonly REPOSITORY: string;
  readonly REPOSITORY_ID: string;
  readonly OWNER_ID: string;
  readonly API_URL: string;
  readonly OIDC_ISSUER: string;
  /** `worker`: the Worker writes comments; `workflow`: it leaves them to the workflow. */
  readonly POSTS: "worker" | "workflow";
}

const objects = (env: Env) => ({ ORDERS: env.ORDERS });

const { Reconciler, ...worker } = createReconciler<Env>({
  objects,
  coordinator: (env) => env.SHARDCTL,
  github: (env) => ({
    repository: env.REPOSITORY,
    repositoryId: env.REPOSITORY_ID,
    ownerId: env.OWNER_ID,
    environment: "production",
    apiUrl: env.API_URL,
    oidc: { issuer: env.OIDC_ISSUER },
    post: env.POSTS === "worker",
    apply: env.POSTS,
  }),
  extend: (api, requireRole) => addThingRoutes(api, requireRole, (env) => objects(env as Env)),
});

export { Reconciler };
export default worker;
