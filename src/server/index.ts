/**
 * The control half as a Worker: the HTTP API that `shardctl` talks to, and the Durable Object that
 * keeps plans and drives runs.
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
 * In the wrangler config: bind `SHARDCTL` to the class `Reconciler`, list `Reconciler` under
 * `new_sqlite_classes`, add a cron trigger such as `"* * * * *"`, and set the secret
 * `SHARDCTL_TOKENS` (its form is in `tokens.ts`). The names in `objects` are the ones that
 * manifests give as `spec.object`.
 */
import { createActionsVerifier, type ActionsVerifier } from "../github/actions-verifier.ts";
import { createGithubClient, readOnly, type GithubCredentials } from "../github/client.ts";
import type { Result } from "../model/result.ts";
import type { GithubReader, GithubWriter } from "../github/port.ts";
import { createObjectAccess } from "../live/durable-object.ts";
import { reachCoordinator } from "./coordinator/reach-coordinator.ts";
import { Coordinator } from "./coordinator/coordinator.ts";
import { createHttpApi } from "./http-api.ts";
import type { ObjectBindings } from "./objects.ts";
import {
  createAccessVerifier,
  type AccessSettings,
  type AccessVerifier,
} from "./access/access-verifier.ts";
import { createSettingsReader, type ReconcilerOptions } from "./options.ts";
import type { Settings } from "./settings.ts";
import type { GithubSettings } from "../github/settings.ts";

export type { GithubCredentials } from "../github/client.ts";
export type {
  AlertOptions,
  CloudflareAccessOptions,
  GithubOptions,
  OidcOptions,
  ReconcilerOptions,
} from "./options.ts";

/** A Worker's handlers, and the Durable Object class that the entry file must export. */
export interface ReconcilerWorker<Env> {
  readonly fetch: (request: Request, env: Env, context: ExecutionContext) => Promise<Response>;
  readonly scheduled: (
    controller: ScheduledController,
    env: Env,
    context: ExecutionContext,
  ) => Promise<void>;
  readonly Reconciler: new (ctx: DurableObjectState, env: Env) => Coordinator<Env>;
}

/** The parts that reach out of the Worker. Tests replace them with their own. */
export interface ReconcilerParts {
  readonly openGithub: (settings: GithubSettings, credentials: GithubCredentials) => GithubWriter;
  readonly openVerifier: (settings: GithubSettings) => ActionsVerifier;
  readonly openAccess?: (settings: AccessSettings) => AccessVerifier;
}

const REAL_PARTS: ReconcilerParts = {
  openGithub: ({ repository, apiUrl }, credentials) =>
    createGithubClient({ repository, credentials, apiUrl }),
  openVerifier: ({ repositoryId, ownerId, oidc: { issuer, jwksUrl } }) =>
    createActionsVerifier({ issuer, jwksUrl, repositoryId, ownerId }),
};

/**
 * Makes the control half of a Worker. Reads nothing and starts nothing before the first request.
 */
export function createReconciler<Env extends object>(
  options: ReconcilerOptions<Env>,
  { openGithub, openVerifier, openAccess = createAccessVerifier }: ReconcilerParts = REAL_PARTS,
): ReconcilerWorker<Env> {
  // The API knows `env` only as what this Worker was given.
  const bind =
    <Value>(read: (env: Env) => Value) =>
    (env: object): Value =>
      read(env as Env);
  const settings = createSettingsReader(options);
  const api = createHttpApi({
    settings: bind(settings),
    liveAccess: bind((env) => createObjectAccess(options.objects(env))),
    coordinator: bind(options.coordinator),
    tokens: bind(
      options.tokens ?? ((env) => (env as { readonly SHARDCTL_TOKENS?: string }).SHARDCTL_TOKENS),
    ),
    openVerifier,
    openAccess: (access) => openAccess(access),
    allowAnonymous: options.allowAnonymous ?? false,
    ...(options.extend ? { extend: options.extend } : {}),
  });

  class Reconciler extends Coordinator<Env> {
    #github: GithubWriter | null = null;

    protected override coordinators(): DurableObjectNamespace {
      return options.coordinator(this.env);
    }

    protected override objects(): ObjectBindings {
      return options.objects(this.env);
    }

    protected override github(): GithubWriter | null {
      const read = this.settings();
      return read.ok && read.value.github?.posts ? this.#openGithub() : null;
    }

    protected override githubReader(): GithubReader | null {
      const github = this.#openGithub();
      return github === null ? null : readOnly(github);
    }

    #openGithub(): GithubWriter | null {
      const read = this.settings();
      const github = read.ok ? read.value.github : null;
      if (github === null || github.credentials === null) return null;
      this.#github ??= openGithub(github, github.credentials);
      return this.#github;
    }

    protected override settings(): Result<Settings, string> {
      return settings(this.env);
    }
  }

  return {
    fetch: async (request, env, context) => api.fetch(request, env, context),
    /**
     * Runs go on by alarm; the tick is for the alarm that the runtime dropped, and for pull
     * requests that no webhook told of.
     */
    async scheduled({ cron }, env) {
      const { alarm, reconciliation, pullWork } = reachCoordinator(options.coordinator(env));
      await alarm.resume();
      await reconciliation.tick(cron);
      await pullWork.queue([{ kind: "scan", all: false }]);
    },
    Reconciler,
  };
}
