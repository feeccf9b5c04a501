/**
 * Every message of the engine, lost, answered in vain, doubled, late, or sent by or to an object
 * that is killed: the operation still ends by itself, no acknowledged write is lost, and nothing is
 * left behind.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { ShardsEnv, Things } from "../../support/shards-worker.ts";
import { sample } from "../../support/sample.ts";
import { type Intercept, interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";
import { startWriters } from "../support/writers.ts";

const { THINGS } = env as unknown as ShardsEnv;

type Kind = MemberRequest["kind"];

/** Every message of the engine, but those of a cancelled operation. */
const KINDS: readonly Kind[] = [
  "activate",
  "check",
  "chunks",
  "copy",
  "drain",
  "fence",
  "finish",
  "prepare",
  "promote",
  "receive",
  "rehearse",
  "stagedKeys",
  "verify",
];

const LATE_MS = 250;

/** Faults that one message can meet. */
const FAULTS: Readonly<Record<string, (namespace: TestNamespace<Things>) => Intercept>> = {
  "is lost": () => async () => {
    throw new Error("The message was lost");
  },
  "is answered in vain": () => async (_, forward) => {
    await forward();
    throw new Error("The answer was lost");
  },
  "arrives twice": () => async (_, forward) => {
    await forward();
    return forward();
  },
  "arrives once more, late": () => async (_, forward) => {
    const answer = await forward();
    void new Promise((resolve) => setTimeout(resolve, LATE_MS))
      .then(forward)
      .catch(() => undefined);
    return answer;
  },
  "comes behind one of an older operation and epoch":
    () =>
    async ({ host, member, request }, forward) => {
      const stale = makeStale(request);
      // Refused, or of no effect: the end of the test tells. An answer would be none that anybody
      // waits for.
      if (stale !== null) await host.ask(member, stale).catch(() => undefined);
      return forward();
    },
  "finds its receiver killed":
    (namespace) =>
    async ({ member }, forward) => {
      await namespace.abort(member);
      return forward();
    },
  "is the last that its receiver does":
    (namespace) =>
    async ({ member }, forward) => {
      const answer = await forward();
      await namespace.abort(member);
      return answer;
    },
  "is the last that its sender does":
    (namespace) =>
    async ({ host }, forward) => {
      const answer = await forward();
      await namespace.abort(host.platform.self ?? "");
      return answer;
    },
};

/**
 * The same message as the operation before would have sent it, by the epoch before. Null for the
 * first operation, and for what is stale already.
 */
function makeStale(request: MemberRequest): MemberRequest | null {
  if (
    !("operation" in request) ||
    request.kind === "start" ||
    request.operation < 2 ||
    staleRequests.has(request)
  )
    return null;
  // Without the token, which is of this operation: as an older library would have sent it.
  const { token: _, registryEpoch: __, ...unnamed } = request;
  const stale: MemberRequest = {
    ...unnamed,
    operation: request.operation - 1,
    ...("epoch" in request ? { epoch: Math.max(0, request.epoch - 1) } : {}),
    ...("activation" in request
      ? { activation: { ...request.activation, epoch: request.activation.epoch - 1 } }
      : {}),
  };
  staleRequests.add(stale);
  return stale;
}

const staleRequests = new WeakSet<MemberRequest>();

/**
 * Lets the fault happen to the n-th message of every kind in each operation; says to which kinds it
 * did.
 */
function injectFault(
  namespace: TestNamespace<Things>,
  kinds: readonly Kind[],
  nth: number,
  intercept: Intercept,
): Set<Kind> {
  const sent = new Map<string, number>();
  const hit = new Set<Kind>();
  interceptMessages(namespace.name, async (message, forward) => {
    const { request } = message;
    if (!("operation" in request) || !kinds.includes(request.kind)) return forward();
    const counter = `${JSON.stringify(request.operation)} ${request.kind}`;
    sent.set(counter, (sent.get(counter) ?? 0) + 1);
    if (sent.get(counter) !== nth) return forward();
    hit.add(request.kind);
    return intercept(message, forward);
  });
  return hit;
}

const FAULT_NAMES = Object.keys(FAULTS);

function interceptOf(namespace: TestNamespace<Things>, fault: string): Intercept {
  const intercept = FAULTS[fault]?.(namespace);
  if (!intercept) throw new Error(`No fault '${fault}'`);
  return intercept;
}

describe.concurrent("faults", { timeout: 120_000 }, () => {
  it.each(
    sample(
      FAULT_NAMES.flatMap((fault) => [1, 2].map((nth) => ({ nth, fault }))),
      2,
    ),
  )("message $nth of every kind $fault, in every operation", async ({ nth, fault }) => {
    const namespace = new TestNamespace(THINGS, `fault-${nth}-${FAULT_NAMES.indexOf(fault)}`);
    await makeRowsRivals(namespace);
    const writers = await startWriters(namespace, 2);
    const hit = injectFault(namespace, [...KINDS, "unfence"], nth, interceptOf(namespace, fault));
    await namespace.toHash("id", 2);
    await namespace.toHash("id", 4, { waveRowsMax: 40 });
    await namespace.toHash("data.country", 2);
    await namespace.unshard();
    const problems = await writers.stop();
    hit.delete("unfence");
    expect([...hit].toSorted()).toEqual(KINDS);
    expect(problems).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it.each(
    sample(
      FAULT_NAMES.map((fault) => ({ fault })),
      1,
    ),
  )("an 'abandon' $fault, after a cancel in every step before the cutover", async ({ fault }) => {
    const namespace = new TestNamespace(THINGS, `abandon-${FAULT_NAMES.indexOf(fault)}`);
    const writers = await startWriters(namespace, 2);
    const targets = ["shard-0", "shard-1", "g1-shard-0", "g1-shard-1"].map(
      (suffix) => `${namespace.name}-${suffix}`,
    );
    const hit = injectFault(namespace, ["abandon"], 1, interceptOf(namespace, fault));
    const ended: string[] = [];
    for (const step of ["prepare", "copy", "verify", "fence"] as const) {
      const cancelling = cancelAt(namespace, step);
      const started = await namespace.start("shard", await namespace.hashTo("id", 2));
      const status = await namespace.reached(started.id);
      ended.push(`${step}: ${status.state}, epoch ${status.epoch}`);
      cancelling();
    }
    await namespace.settled();
    expect(ended).toEqual(
      ["prepare", "copy", "verify", "fence"].map((step) => `${step}: cancelled, epoch 0`),
    );
    expect(hit).toEqual(new Set(["abandon"]));
    expect(await namespace.leftovers(targets.slice(0, 2))).toEqual([]);
    expect(
      await Promise.all(targets.slice(0, 2).map((target) => namespace.exactRows(target, "things"))),
    ).toEqual([[], []]);
    await namespace.toHash("id", 2);
    expect(await writers.stop()).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
  });
});

/**
 * Rows of a table with unique values may displace each other: they are compared a second time,
 * which is a message of its own kind.
 */
async function makeRowsRivals(namespace: TestNamespace<Things>): Promise<void> {
  const shards = ["shard-0", "shard-1", "shard-2", "shard-3", "g1-shard-0", "g1-shard-1"].map(
    (suffix) => `${namespace.name}-${suffix}`,
  );
  for (const member of [namespace.name, ...shards])
    await namespace.sql(member, "CREATE UNIQUE INDEX uniqueIds ON things (id, type)");
}

/**
 * Cancels the running operation when the root sends the first message of a kind; returns how to
 * stop doing so.
 */
function cancelAt(namespace: TestNamespace<Things>, kind: Kind): () => void {
  let isOn = true;
  interceptMessages(namespace.name, async ({ host, request }, forward) => {
    if (
      isOn &&
      request.kind === kind &&
      "operation" in request &&
      typeof request.operation === "number"
    ) {
      isOn = false;
      host.root.cancel(request.operation);
    }
    return forward();
  });
  return () => {
    isOn = false;
  };
}
