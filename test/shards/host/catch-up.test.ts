/**
 * Line 4: however many calls are held, an object asks its root one question at a time, and less and
 * less often.
 */
import { expect, it } from "vitest";

import { shardNames } from "../../../src/model/layout/layout.ts";
import { PROTOCOL_VERSION, type ProtocolReply } from "../../../src/model/wire/protocol.ts";
import { success } from "../../../src/model/result.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { Host } from "../../../src/shards/host/host.ts";
import { writeMembership, writeMoving } from "../../../src/shards/member/membership.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { Router } from "../../../src/shards/router.ts";
import { type Runtime, Sql } from "../../../src/shards/storage/storage.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";
import { peersOf } from "../../support/peers-of.ts";

const CALLERS = 50;
const LAYOUT = freshHashLayout("id", 1, shardNames("ns", 1, 1));
const SELF = LAYOUT.members[0] ?? "";

/** A clock that stands still until it is moved on. */
class Clock {
  #now = 1_000_000;
  #timers: { readonly at: number; readonly ring: () => void }[] = [];

  readonly runtime: Runtime = {
    now: () => this.#now,
    sleep: (delayMs, signal) =>
      new Promise((resolve) => {
        this.#timers.push({ at: this.#now + delayMs, ring: resolve });
        signal?.addEventListener("abort", () => resolve());
      }),
    digest: () => Promise.resolve(""),
  };

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const next = this.#timers.toSorted((left, right) => left.at - right.at)[0];
      if (!next || next.at > end) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.ring();
    }
    this.#now = end;
    await settle();
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface Rig {
  readonly clock: Clock;
  readonly asked: string[];
  readonly ended: unknown[];
  readonly host: Host;
  readonly send: (request: MemberRequest) => Promise<ProtocolReply<unknown>>;
}

/** A shard at epoch 1 with 50 calls that were routed by epoch 2. */
function hold(
  isMoving: boolean,
  answer: (request: MemberRequest) => Promise<ProtocolReply<unknown>>,
): Rig {
  const storage = openStorage();
  const sql = new Sql(storage);
  const part = {
    layout: LAYOUT,
    serving: true,
    retired: false,
    operation: 1,
    ended: isMoving ? 0 : 1,
  };
  writeMembership(sql, { namespace: "ns", epoch: 1, ...part });
  const move = {
    operation: 1,
    mode: "shift",
    isSource: false,
    isTarget: true,
    from: LAYOUT,
    to: LAYOUT,
  } as const;
  const fence = {
    fence: 3,
    fenceFloor: 1,
    rehearsed: 0,
    allowMissingKey: true,
    rowsPerSecondMax: null,
  };
  if (isMoving) writeMoving(sql, { ...move, ...fence });
  const clock = new Clock();
  const asked: string[] = [];
  const peers = peersOf((_, { request }) => {
    asked.push(request.kind);
    return answer(request);
  });
  const platform = {
    self: SELF,
    identify: () => "mine" as const,
    idOf: String,
    storage,
    runtime: clock.runtime,
    alone: runAlone,
    peers,
  };
  const target = new (class {
    get(): string {
      return "ran";
    }
  })();
  const host = new Host(platform, target, { tables: [] });
  const ended: unknown[] = [];
  const send = (request: MemberRequest): Promise<ProtocolReply<unknown>> =>
    host.handle({ protocol: PROTOCOL_VERSION, namespace: "ns", member: SELF, request });
  for (let index = 0; index < CALLERS; index++)
    void send({ kind: "call", epoch: 2, keys: [], method: "get", args: [] }).then((reply) =>
      ended.push(reply),
    );
  return { clock, asked, ended, host, send };
}

it("line 4: 50 callers of a member in a move ask the root a few times in two seconds", async () => {
  const { clock, asked } = hold(true, async () => success({ verdict: "pending" }));
  await clock.advance(2_000);
  expect(new Set(asked)).toEqual(new Set(["resolve"]));
  expect(asked.length).toBeGreaterThan(3);
  expect(asked.length).toBeLessThanOrEqual(10);
});

it("line 4: 50 callers of a member that missed an epoch ask for one layout, and all run", async () => {
  const { clock, asked, ended } = hold(false, async () => success({ epoch: 2, layout: LAYOUT }));
  await clock.advance(1);
  expect(asked).toEqual(["layout"]);
  await clock.advance(25);
  expect(ended).toHaveLength(CALLERS);
  expect(ended[0]).toMatchObject(success("ran"));
});

it("line 4: a root that says nothing is asked again, one question at a time", async () => {
  const { clock, asked } = hold(false, () => new Promise(() => undefined));
  await clock.advance(1);
  expect(asked).toEqual(["layout"]);
  await clock.advance(11_000);
  expect(asked.length).toBeGreaterThanOrEqual(2);
  expect(asked.length).toBeLessThanOrEqual(4);
});

it("line 4: a call waits for no pause and for no silent root once its epoch is there", async () => {
  const { clock, asked, ended, send } = hold(true, () => new Promise(() => undefined));
  await clock.advance(300);
  expect(ended).toHaveLength(0);
  await send({
    kind: "activate",
    operation: 1,
    activation: { epoch: 2, layout: LAYOUT, incoming: [], outgoing: [] },
  });
  await clock.advance(25);
  expect(ended).toHaveLength(CALLERS);
  expect(asked).toEqual(["resolve"]);
});

it("line 4: a router's calls share the layouts that they fetch", async () => {
  const clock = new Clock();
  const asked: string[] = [];
  let epoch = 1;
  const peers = peersOf(async (_, { request }) => {
    asked.push(request.kind);
    await clock.runtime.sleep(5);
    if (request.kind === "layout") return success({ epoch, layout: LAYOUT });
    if (request.kind === "call" && request.epoch === 2) return success("ran");
    return { ok: false, failure: { kind: "staleEpoch", message: "", retryable: true } };
  });
  const router = new Router(peers, "ns", clock.runtime);
  const calls = Array.from({ length: CALLERS }, (_, index) => router.call(`k${index}`, "get"));
  await clock.advance(100);
  epoch = 2;
  await clock.advance(2_000);
  expect(new Set(await Promise.all(calls))).toEqual(new Set(["ran"]));
  const layouts = asked.filter((kind) => kind === "layout").length;
  expect(layouts).toBeLessThan(20);
});
