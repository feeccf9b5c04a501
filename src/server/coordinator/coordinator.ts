/**
 * The coordinator: the one Durable Object of a Worker that knows its plans and runs, and drives
 * runs to their end.
 *
 * It steps by alarm, never in a request: a run goes on when nobody is looking, and resumes after a
 * restart at any point, because a step is re-entrant and its progress and the next alarm are
 * written together. The alarm handler never throws: the runtime drops an alarm after six failures.
 * One object serves all environments, since they share the namespaces of one Worker.
 *
 * This file is the object: its one call and its alarm. `coordinator-parts.ts` names the parts that
 * know how, `coordinator-api.ts` those that can be called.
 */
import { DurableObject } from "cloudflare:workers";

import type { Result } from "../../model/result.ts";
import type { GithubReader, GithubWriter } from "../../github/port.ts";
import { readSet, type SetRequest } from "../../manifest/read-set.ts";
import { createObjectAccess } from "../../live/durable-object.ts";
import { logError } from "../../log.ts";
import type { Settings } from "../settings.ts";
import type { CoordinatorApi } from "./coordinator-api.ts";
import { assembleCoordinator, type CoordinatorParts } from "./coordinator-parts.ts";
import { createRemoteReader, type ManifestCarrier, READER_NAME } from "./manifest-reader.ts";
import type { CallCarrier } from "./reach-coordinator.ts";

/** After an alarm that could not even read what is due. */
const FAULT_DELAY_MS = 60_000;

/** Subclassed by `createReconciler`, which knows where the bindings are. */
export abstract class Coordinator<Env>
  extends DurableObject<Env>
  implements CallCarrier, ManifestCarrier
{
  /** Null in the object that only reads manifests. */
  readonly #parts: CoordinatorParts | null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    if (ctx.id.name === READER_NAME) {
      this.#parts = null;
      return;
    }
    const parts = assembleCoordinator({
      id: ctx.id.toString(),
      storage: ctx.storage,
      settings: () => {
        const settings = this.settings();
        return settings.ok ? settings.value : null;
      },
      github: () => this.github(),
      githubReader: () => this.githubReader(),
      liveAccess: () => createObjectAccess(this.objects()),
      readSet: createRemoteReader(() => this.coordinators()),
    });
    this.#parts = parts;
    // An alarm can only be missing after a crash, and after a crash this runs.
    void ctx.blockConcurrencyWhile(() => parts.alarm.resume());
  }

  /** The binding that this class is behind. */
  protected abstract coordinators(): DurableObjectNamespace;
  protected abstract objects(): Readonly<Record<string, DurableObjectNamespace>>;
  /**
   * A failure when the Worker is set up wrongly. The HTTP API says so; runs that were started
   * before go on.
   */
  protected abstract settings(): Result<Settings, string>;
  /** Null when this Worker does not post. */
  protected abstract github(): GithubWriter | null;
  /** Null without a repository, or without credentials for it. */
  protected abstract githubReader(): GithubReader | null;

  override async alarm(): Promise<void> {
    if (this.#parts === null) return;
    const { pullWork, reconciliation, observation, steps, alarm } = this.#parts;
    try {
      const now = Date.now();
      // Not waited for: runs must not wait for GitHub.
      pullWork.start(now);
      reconciliation.start(now);
      observation.alerts.start(now);
      await steps.takeDue(now);
      alarm.arm();
    } catch (error) {
      // Storage itself failed. Throwing would use up one of the alarm's six lives.
      logError("coordinator.alarm.failed", {}, error);
      await alarm.armAfter(FAULT_DELAY_MS);
    }
  }

  /**
   * Carries a call of `CoordinatorApi` to its part. @throws for a call that this version does not
   * have.
   */
  async call(part: string, name: string, args: readonly unknown[]): Promise<unknown> {
    const api: Partial<CoordinatorApi> = this.#parts?.api ?? {};
    const calls = Object.hasOwn(api, part) ? (api[part as keyof CoordinatorApi] ?? {}) : {};
    const method = (calls as Readonly<Record<string, unknown>>)[name];
    if (typeof method !== "function")
      throw new Error(`The coordinator of this version has no call ${part}.${name}`);
    return Reflect.apply(method, calls, args) as unknown;
  }

  readManifests(request: SetRequest): Promise<ReadableStream<Uint8Array>> {
    const { body } = Response.json(readSet(request));
    if (body === null) throw new Error("A response with JSON has a body");
    return Promise.resolve(body);
  }
}
