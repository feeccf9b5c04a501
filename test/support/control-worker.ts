/**
 * The Worker of the control half's tests: the reconciler as a user would set it up, and objects
 * that behave, misbehave or say nothing.
 */
import { DurableObject } from "cloudflare:workers";

import type { Envelope } from "../../src/model/wire/protocol.ts";
import { createActionsVerifier } from "../../src/github/actions-verifier.ts";
import { ThingsObject } from "../../src/shards/things/things-object.ts";
import { createReconciler } from "../../src/server/index.ts";
import { MemoryGithub } from "./memory-github.ts";
import { AUDIENCE, fetchKeys, ISSUER } from "./workflow-tokens.ts";

export { Coordinator } from "../../src/server/dev.ts";
export { FakeNamespace } from "./fake-namespace.ts";

/**
 * `SHARDCTL_TOKENS` in the wrangler config holds the hashes of `read-token`, `plan-token` and
 * `apply-token`.
 */
export interface ControlEnv {
  readonly ORDERS: DurableObjectNamespace;
  readonly BARE: DurableObjectNamespace;
  readonly ODD: DurableObjectNamespace;
  readonly THINGS: DurableObjectNamespace;
  readonly REAL: DurableObjectNamespace<RealThings>;
  readonly SHARDCTL: DurableObjectNamespace;
  readonly SHARDCTL_COORDINATOR: DurableObjectNamespace;
  readonly GITOPS: DurableObjectNamespace;
  readonly SHARDCTL_TOKENS?: string;
}

/** A class without shardctl. */
export class BareObject extends DurableObject {
  async hello(): Promise<string> {
    return "hello";
  }
}

/**
 * Answers what its name says: `undefined`, `text`, `halfReply`, `otherName`, `noMembers`, `throws`,
 * `silent`.
 */
export class OddObject extends DurableObject {
  async shardctl(envelope: Envelope): Promise<unknown> {
    const live = {
      name: envelope.namespace,
      object: "ODD",
      epoch: 1,
      layout: { kind: "none", generation: 0, members: [envelope.namespace] },
      members: [
        { name: envelope.namespace, rows: 0, bytes: 0, healthy: true, error: null, responseMs: 0 },
      ],
      operation: null,
    };
    switch (envelope.namespace) {
      case "undefined":
        return undefined;
      case "text":
        return "fine";
      case "halfReply":
        return { ok: true };
      case "otherName":
        return { ok: true, value: { ...live, name: "another" } };
      case "noMembers":
        return { ok: true, value: { ...live, members: [] } };
      case "refuses":
        return { ok: false, failure: { kind: "invalid", message: "not today", retryable: false } };
      case "silent":
        return new Promise((resolve) => setTimeout(resolve, 10_000));
      default:
        throw new Error("the object fell over");
    }
  }
}

/** The calls of `ThingsObject` that the development Worker's `/data` uses, on a plain map. */
export class FakeThings extends DurableObject {
  readonly #things = new Map<string, { readonly id: string }>();

  async putMany(things: readonly { readonly id: string }[]): Promise<number> {
    if (things.some(({ id }) => id === "moving"))
      throw new Error("'moving' is being moved: try again");
    for (const thing of things) this.#things.set(thing.id, thing);
    return things.length;
  }

  async get(id: string): Promise<unknown> {
    return this.#things.get(id) ?? null;
  }

  async delete(id: string): Promise<boolean> {
    return this.#things.delete(id);
  }

  async listThings({ after = "", limit }: { after?: string; limit: number }): Promise<unknown> {
    const ids = [...this.#things.keys()].filter((id) => id > after).toSorted();
    return ids.slice(0, limit).map((id) => this.#things.get(id));
  }
}

/** The engine itself, where a fake would only repeat what its test says. */
export class RealThings extends ThingsObject {
  override shardctl(envelope: Envelope): ReturnType<ThingsObject["shardctl"]> {
    const thrown = thrownBy.get(envelope.member);
    if (thrown !== undefined) return Promise.reject(new Error(thrown));
    const { kind } = envelope.request as { readonly kind: string };
    const isSpoilt = kind === "receive" && spoiltAt.has(envelope.member);
    return super.shardctl(isSpoilt ? spoil(envelope) : envelope);
  }
}

/** Objects behind REAL that store other rows than they were sent, by name. */
export const spoiltAt = new Set<string>();

function spoil(envelope: Envelope): Envelope {
  return JSON.parse(JSON.stringify(envelope).replaceAll("mail", "mile")) as Envelope;
}

/** Errors that objects behind REAL throw instead of an answer, by name. */
export const thrownBy = new Map<string, string>();

/** Switches by which tests break the Worker itself. */
export const switches = { areObjectsBroken: false };

/** Requests of the Worker to the objects behind REAL, as `kind member`, in order. */
export const journal: string[] = [];

/** The binding, with every call of the protocol written down before it is sent. */
function noteCalls(binding: DurableObjectNamespace<RealThings>): DurableObjectNamespace {
  const getByName = (member: string) => ({
    shardctl: (envelope: Envelope) => {
      journal.push(`${(envelope.request as { readonly kind: string }).kind} ${member}`);
      return binding.getByName(member).shardctl(envelope);
    },
  });
  return { getByName } as unknown as DurableObjectNamespace;
}

const { Reconciler, ...worker } = createReconciler<ControlEnv>({
  objects: (env) => {
    if (switches.areObjectsBroken) throw new Error("secret internals of the Worker");
    return { ORDERS: env.ORDERS, BARE: env.BARE, ODD: env.ODD, REAL: noteCalls(env.REAL) };
  },
  coordinator: (env) => env.SHARDCTL,
});
export { Reconciler };
export default worker;

/** The repository that the Worker below follows. */
export const github = new MemoryGithub();
export const WEBHOOK_SECRET = "It's a Secret to Everybody";

const followed = createReconciler<ControlEnv>(
  {
    objects: (env) => ({ ORDERS: env.ORDERS, BARE: env.BARE }),
    coordinator: (env) => env.GITOPS,
    github: () => ({
      repository: "acme/shop",
      repositoryId: 1001,
      ownerId: 501,
      environment: "production",
      credentials: { kind: "token", token: "not-used" },
      webhookSecret: WEBHOOK_SECRET,
      apply: "worker",
      oidc: { audience: AUDIENCE, applyWorkflow: ".github/workflows/apply.yml" },
    }),
  },
  {
    openGithub: () => github,
    openVerifier: ({ repositoryId, ownerId }) =>
      createActionsVerifier({
        issuer: ISSUER,
        repositoryId,
        ownerId,
        fetch: fetchKeys,
        cooldownMs: 0,
      }),
  },
);
/** Takes back what tests have done to the Worker and to its repository. */
export function forgetTests(): void {
  thrownBy.clear();
  switches.areObjectsBroken = false;
  journal.length = 0;
  github.clear();
}

/** The control half of a Worker that follows a repository. */
export const gitops = { fetch: followed.fetch, scheduled: followed.scheduled };
export const GitopsReconciler = followed.Reconciler;
