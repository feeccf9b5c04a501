/**
 * The control half as a Worker: the HTTP API that `shardctl` talks to, and the Durable Object that keeps plans and drives runs.
 *
 * A whole entry file, next to the classes that hold the namespaces:
 *
 *     import { createReconciler } from "shardctl/worker";
 *     export { Orders } from "./orders.ts";
 *
 *     interface Env { ORDERS: DurableObjectNamespace; SHARDCTL: DurableObjectNamespace; SHARDCTL_TOKENS?: string }
 *
 *     const { Reconciler, ...worker } = createReconciler<Env>({
 *       objects: (env) => ({ ORDERS: env.ORDERS }),
 *       coordinator: (env) => env.SHARDCTL,
 *     });
 *     export { Reconciler };
 *     export default worker;
 *
 * In the wrangler config: bind `SHARDCTL` to the class `Reconciler`, list `Reconciler` under `new_sqlite_classes`, add a cron trigger
 * such as `"* * * * *"`, and set the secret `SHARDCTL_TOKENS` (its form is in `tokens.ts`). The names in `objects` are the ones that
 * manifests give as `spec.object`.
 */
import { createObjectAccess } from "../live/durable-object.ts";
import { createCoordinatorCalls } from "./context.ts";
import { Coordinator } from "./coordinator.ts";
import { createHttpApi } from "./http-api.ts";
import type { ObjectBindings } from "./objects.ts";
import { createSettingsReader, type ReconcilerOptions, type Settings } from "./options.ts";

export type { AlertOptions, GithubCredentials, GithubOptions, OidcOptions, ReconcilerOptions } from "./options.ts";

/** A Worker's handlers, and the Durable Object class that the entry file must export. */
export interface ReconcilerWorker<Env> {
  readonly fetch: (request: Request, env: Env, context: ExecutionContext) => Promise<Response>;
  readonly scheduled: (controller: ScheduledController, env: Env, context: ExecutionContext) => Promise<void>;
  readonly Reconciler: new (ctx: DurableObjectState, env: Env) => Coordinator<Env>;
}

/** Makes the control half of a Worker. Reads nothing and starts nothing before the first request. */
export function createReconciler<Env extends object>(options: ReconcilerOptions<Env>): ReconcilerWorker<Env> {
  // The API knows `env` only as what this Worker was given.
  const bind =
    <Value>(read: (env: Env) => Value) =>
    (env: object): Value =>
      read(env as Env);
  const settings = createSettingsReader(options);
  const api = createHttpApi({
    settings: bind(settings),
    live: bind((env) => createObjectAccess(options.objects(env))),
    coordinator: bind(options.coordinator),
    tokens: bind(options.tokens ?? ((env) => (env as { readonly SHARDCTL_TOKENS?: string }).SHARDCTL_TOKENS)),
    allowAnonymous: options.allowAnonymous ?? false,
    ...(options.extend ? { extend: options.extend } : {}),
  });

  class Reconciler extends Coordinator<Env> {
    protected override objects(): ObjectBindings {
      return options.objects(this.env);
    }

    protected override settings(): Settings {
      const read = settings(this.env);
      if (!read.ok) throw new Error(read.failure);
      return read.value;
    }
  }

  return {
    fetch: async (request, env, context) => api.fetch(request, env, context),
    /** Runs go on by alarm; the tick is for the alarm that the runtime dropped. */
    async scheduled(_controller, env) {
      await createCoordinatorCalls(options.coordinator(env))((coordinator) => coordinator.resume());
    },
    Reconciler,
  };
}
