/**
 * Refusals, retention and reports of a root: versions of a partitioner, requests that cannot be
 * right, and the outcome of a stopped move.
 */
import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { type Layout, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { PROTOCOL_VERSION, type ProtocolReply } from "../../../src/model/wire/protocol.ts";
import { doChores } from "../../../src/shards/root/chores.ts";
import { drive } from "../../../src/shards/root/driver.ts";
import { Journal } from "../../../src/shards/root/journal.ts";
import type { DriverContext } from "../../../src/shards/root/progress.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { Router } from "../../../src/shards/router.ts";
import { ShardHost } from "../../../src/shards/index.ts";
import { createPeers, platformRuntime } from "../../../src/shards/platform/platform.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import { EngineFault } from "../../../src/shards/storage/faults.ts";
import { refusal } from "../../support/refusal.ts";
import {
  type Shop,
  type ShardsEnv,
  type Things,
  partitioners,
} from "../../support/shards-worker.ts";
import { interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";
import { operationRecord } from "../support/operation-record.ts";

const { THINGS, SHOP } = env as unknown as ShardsEnv;

async function load(name: string, count = 40): Promise<TestNamespace<Things>> {
  const namespace = new TestNamespace(THINGS, name);
  await namespace
    .stub()
    .putMany(
      Array.from({ length: count }, (_, index) => ({ id: `t${index}`, data: { k: `k${index}` } })),
    );
  return namespace;
}

async function send<Class extends Things | Shop>(
  namespace: TestNamespace<Class>,
  request: MemberRequest,
  member = namespace.name,
  asNamespace = namespace.name,
): Promise<ProtocolReply<unknown>> {
  const endpoint = namespace.stub(member) as unknown as {
    shardctl(envelope: object): Promise<ProtocolReply<unknown>>;
  };
  return endpoint.shardctl({ protocol: PROTOCOL_VERSION, namespace: asNamespace, member, request });
}

describe("versions of a partitioner", () => {
  it("a rekey from one version to the next finds every row before and after", async () => {
    const namespace = await load("versions");
    const layout = (version: number): Layout => {
      const members = [0, 1].map((index) => `versions-v${version}-${index}`);
      return {
        kind: "custom",
        shardKey: "data.k",
        generation: version,
        members,
        partitioner: { name: "byTail", version },
      };
    };
    const things = THINGS.getByName("versions");
    const router = new Router<Things>(createPeers(THINGS), "versions", platformRuntime, {
      partitioners,
    });
    const found = async (): Promise<boolean> => {
      for (let index = 0; index < 40; index++) {
        if ((await router.at(`k${index}`).getHere(`t${index}`)) === null) return false;
        if ((await things.get(`t${index}`, `k${index}`)) === null) return false;
      }
      return true;
    };
    await namespace.run("shard", layout(1));
    expect(await found()).toBe(true);
    expect(
      (await namespace.ask({ kind: "describe", object: "THINGS" })).partitioners,
    ).toContainEqual({
      name: "byTail",
      version: 2,
    });
    await namespace.run("rekey", layout(2));
    expect(await found()).toBe(true);
    expect((await namespace.sql("versions-v2-1", "SELECT count(*) AS n FROM things"))[0]).toEqual({
      n: 20,
    });
    expect(await namespace.leftovers()).toEqual([]);
  });
});

describe("a key of another type than its column", () => {
  it("is refused where the column would turn it into text, and runs as text", async () => {
    const namespace = new TestNamespace<Shop>(SHOP, "typed-keys");
    const router = new Router<Shop>(createPeers(SHOP), "typed-keys", platformRuntime);
    await router.at("5").addOrder({ id: 1, customer: "5", total: 1, lines: [] });
    await namespace.toHash("customer_id", 2);
    for (const key of [5, 5.5, 5n])
      expect(await refusal(() => router.at(key).ordersOf("5"))).toContain(
        "column id is TEXT: pass the key as text",
      );
    expect(await router.at("5").ordersOf("5")).toEqual([1]);
    expect(await router.at(null).ordersOf("5")).toBeInstanceOf(Array);
  });
});

describe("what a router may call", () => {
  it.each([
    "createHost",
    "onAlarm",
    "handle",
    "alarm",
    "shardctl",
    "constructor",
    "toString",
    "shards",
    "namespace",
    "own",
    "hasOwnProperty",
  ])("not %s", async (method) => {
    const namespace = await load(`callable-${method}`, 1);
    await namespace.inside(namespace.name, (object) => Object.assign(object, { own: () => "own" }));
    const reply = await send(namespace, { kind: "call", epoch: 0, keys: [], method, args: [] });
    expect(reply).toMatchObject({
      ok: false,
      failure: { kind: "invalid", message: expect.stringContaining(`no method '${method}'`) },
    });
  });

  it("but methods of the class, and of those that it extends", async () => {
    const namespace = await load("callable", 1);
    const call = { kind: "call", epoch: 0, keys: [] } as const;
    expect(await send(namespace, { ...call, method: "whereAmI", args: [] })).toMatchObject({
      ok: true,
      value: "callable",
    });
    expect(await send(namespace, { ...call, method: "getHere", args: ["t0"] })).toMatchObject({
      ok: true,
      value: { id: "t0" },
    });
  });
});

describe("a message for another namespace", () => {
  it("is refused by a root that was never sharded, and changes nothing", async () => {
    const namespace = await load("mine", 3);
    expect(
      await send(
        namespace,
        { kind: "call", epoch: 0, keys: [], method: "whereAmI", args: [] },
        "mine",
        "yours",
      ),
    ).toMatchObject({
      ok: false,
      failure: {
        kind: "outOfStep",
        message: expect.stringContaining("mine knows nothing of namespace 'yours'") as string,
      },
    });
    expect(await namespace.stub().listThings()).toHaveLength(3);
  });

  it("is refused by a member of one, and ends a start that names it", async () => {
    const first = await load("first");
    await first.stub().shard({ key: "id", count: 2 });
    expect(await send(first, { kind: "count" }, "first-shard-0", "second")).toMatchObject({
      ok: false,
      failure: { kind: "invalid" },
    });
    const second = await load("second");
    const targetShards = ["second-a", "first-shard-0"];
    expect(
      await refusal(() => second.stub().shard({ key: "id", count: 2, targetShards })),
    ).toContain(
      "first-shard-0 is part of namespace 'first', the message is for 'second'. Nothing was changed: choose other names for the shards",
    );
    expect(await second.stub().listThings()).toHaveLength(40);
    expect(await first.stub().listThings()).toHaveLength(40);
  });

  it("leaves a namespace with rows its own, when it was to become a shard of another", async () => {
    const own = await load("own-rows", 3);
    const other = await load("greedy", 3);
    expect(
      await refusal(() =>
        other.stub().shard({ key: "id", count: 2, targetShards: ["greedy-a", "own-rows"] }),
      ),
    ).toContain("own-rows already holds 3 rows");
    await own.stub().put({ id: "t3", data: {} });
    expect(await own.stub().listThings()).toHaveLength(4);
  });
});

describe("a root", () => {
  it("refuses a layout and limits that cannot be", async () => {
    const namespace = await load("wrong-start", 3);
    const members = ["wrong-a"];
    const short = {
      kind: "hash",
      shardKey: "id",
      generation: 0,
      members,
      ranges: [{ end: 9, member: "wrong-a" }],
    } as const;
    const full = { ...short, ranges: [{ end: 16_384, member: "wrong-a" }] };
    expect(await refusal(() => namespace.start("shard", short))).toContain(
      "must end at 16384, not at 9",
    );
    expect(await refusal(() => namespace.start("shard", full, { waveRowsMax: 0 }))).toContain(
      "waveRowsMax must be",
    );
    expect(await namespace.ask({ kind: "history", limit: 10 })).toEqual([]);
  });

  it("does not call what it could not count empty", async () => {
    const namespace = await load("uncounted", 3);
    interceptMessages("uncounted", async ({ request }, forward) => {
      if (request.kind === "count") throw new Error("the count failed");
      return forward();
    });
    expect(await refusal(() => namespace.stub().shard({ key: "id", count: 2 }))).toContain(
      "uncounted is unreachable (the count failed)",
    );
  });

  it("keeps the newest hundred epochs", async () => {
    const namespace = await load("epochs", 1);
    const kept = await namespace.inside("epochs", (_, state) => {
      const journal = new Journal(new Sql(state.storage), "epochs");
      ensureSchema(new Sql(state.storage));
      for (let epoch = 1; epoch <= 250; epoch++)
        journal.commitEpoch(epoch, unshardedLayout("epochs", 0), 1, epoch);
      const found = state.storage.sql
        .exec<{ low: number; high: number }>(
          "SELECT min(epoch) AS low, max(epoch) AS high FROM shardctl_registry",
        )
        .one();
      return { ...found, live: journal.registry().epoch };
    });
    expect(kept).toEqual({ low: 151, high: 250, live: 250 });
  });

  it("says how far a stopped rebalance came", async () => {
    const namespace = await load("halfway", 200);
    await namespace.toHash("id", 2);
    let fences = 0;
    interceptMessages("halfway", async ({ request }, forward) => {
      if (request.kind === "promote" && ++fences > 2)
        throw new EngineFault("duplicateId", "Rows do not fit. Nothing was changed");
      return forward();
    });
    const started = await namespace.start("rebalance", await namespace.hashTo("id", 3), {
      waveRowsMax: 4,
    });
    const ended = await namespace.reached(started.id);
    expect(ended.state).toBe("failed");
    expect(ended.fault?.message).toMatch(
      new RegExp(
        `^Rows do not fit\\. [1-9]\\d* of ${ended.waves} waves are cut over, and the layout is valid at epoch ${ended.epoch}$`,
      ),
    );
    expect((await namespace.contents("things")).length).toBe(200);
  });
});

describe("a class without the two methods", () => {
  it.each([
    ["alarm", { shardctl: () => undefined }],
    ["shardctl", { alarm: () => undefined }],
  ])("cannot have a host: it lacks %s", async (missing, target) => {
    const message = await runInDurableObject(THINGS.getByName("lacking"), (_, state) => {
      try {
        new ShardHost(state, target, { tables: [] }).isSharded();
        return "no error";
      } catch (error) {
        return String(error);
      }
    });
    expect(message).toContain("must hand its messages and alarms to the host. Add:");
    expect(message).toContain(`\n  ${missing}(`);
  });
});

/** A driver over the object's own storage, with a clock and members that the test makes up. */
function fakeDriver(
  state: DurableObjectState,
  ask: (member: string, kind: string) => Promise<object>,
): DriverContext & { clock: { now: number } } {
  const sql = new Sql(state.storage);
  ensureSchema(sql);
  const clock = { now: 1_000 };
  // An answer that has come is heard before any time is up.
  const sleep = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
  const runtime = { ...platformRuntime, now: () => clock.now, sleep };
  const quiet = { emit: () => undefined, committed: () => undefined, changed: () => undefined };
  const reach = (member: string, request: object): Promise<never> =>
    ask(member, (request as MemberRequest).kind) as Promise<never>;
  return { sql, runtime, journal: new Journal(sql, "driven"), ask: reach, ...quiet, clock };
}

const FENCED = operationRecord(
  {
    from: unshardedLayout("driven", 0),
    to: { kind: "roundRobin", shardKey: "id", generation: 0, members: ["driven-shard-0"] },
  },
  { kind: "shard", mode: "swap", step: "fence", waveCount: 1 },
);

describe("the driver", () => {
  it("carries a cutover on to its activation although its budget is used up, and then hands over", async () => {
    const namespace = new TestNamespace(THINGS, "driven");
    const found = await namespace.inside("driven", async (_, state) => {
      const asked: string[] = [];
      const driver = fakeDriver(state, async (member, kind) => {
        asked.push(`${kind} ${member}`);
        if (kind === "fence") driver.clock.now += 600;
        return { backlog: 0 };
      });
      driver.journal.insert(FENCED);
      driver.journal.putWaves(1, [{ moves: [], rows: 0 }]);
      await drive(driver, 500);
      const step = driver.journal.running()?.step;
      driver.journal.update({ ...FENCED, state: "completed" });
      return { asked, step };
    });
    expect(found.step).toBe("cleanUp");
    // All members of a swap are told at once.
    expect(new Set(found.asked.slice(-2))).toEqual(
      new Set(["activate driven-shard-0", "activate driven"]),
    );
  });

  it("asks a bounded number of members for their chores, and goes on without those that hang", async () => {
    const namespace = new TestNamespace(THINGS, "chores");
    const found = await namespace.inside("chores", async (_, state) => {
      const asked: string[] = [];
      const driver = fakeDriver(state, (member) => {
        asked.push(member);
        return member === "m07" ? Promise.resolve({}) : new Promise(() => undefined);
      });
      for (let index = 0; index < 40; index++) {
        const member = `m${String(index).padStart(2, "0")}`;
        driver.journal.putChore({ member, kind: "finish", operation: 1, dueAt: 1, tries: 0 });
      }
      await doChores(driver);
      const left = driver.journal.chores();
      driver.sql.run("DELETE FROM shardctl_chores");
      return { asked: asked.length, left: left.map(({ member, tries }) => ({ member, tries })) };
    });
    expect(found.asked).toBe(32);
    expect(found.left).toHaveLength(39);
    expect(found.left.some(({ member }) => member === "m07")).toBe(false);
    expect(found.left.filter(({ tries }) => tries === 1)).toHaveLength(31);
  });
});
