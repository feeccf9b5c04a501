/**
 * Line 4: an operation advances whatever the class does with its storage's alarm, and the class has
 * its own alarm all the same.
 */
import { afterEach, describe, expect, it, vi } from "vitest";

import { PROTOCOL_VERSION, type ProtocolReply } from "../../../src/model/wire/protocol.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { FakeId, FakeRuntime, FakeStorage } from "../support/fake-runtime.ts";
import { type FakeShop, type ShopOptions, createShop } from "../support/fake-shop.ts";

const FAR_MS = 3_600_000;

let runtime: FakeRuntime<FakeShop>;
afterEach(() => {
  runtime.close();
  vi.restoreAllMocks();
});

interface Opened {
  readonly id: FakeId;
  readonly shop: FakeShop;
  readonly storage: FakeStorage;
}

/** An object with rows, never sharded. */
function open(options: ShopOptions = {}, name = "orders"): Opened {
  runtime = createShop(options);
  const id = runtime.namespace().idFromName(name);
  const shop = runtime.instance(id);
  for (let index = 0; index < 200; index++) shop.put(`i${index}`, index);
  return { id, shop, storage: storageOf(id) };
}

function storageOf(id: FakeId): FakeStorage {
  const storage = runtime.storages.get(id.toString());
  if (!storage) throw new Error("The object was never opened");
  return storage;
}

function send(
  id: FakeId,
  request: MemberRequest,
  member = id.name ?? "",
): Promise<ProtocolReply<unknown>> {
  return runtime
    .namespace()
    .get(id)
    .shardctl({ protocol: PROTOCOL_VERSION, namespace: "orders", member, request });
}

/** As it is stored: no message is sent, which would revive what has stalled. */
function stateOf({ database }: FakeStorage): unknown {
  if (database.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").length === 0)
    return undefined;
  return database.peek("SELECT state FROM shardctl_operations ORDER BY id DESC LIMIT 1")[0]?.[
    "state"
  ];
}

const MEDDLING: Readonly<Record<string, (storage: DurableObjectStorage) => Promise<unknown>>> = {
  "sets an alarm for much later": (storage) => storage.setAlarm(Date.now() + FAR_MS),
  "sets it as a Date": (storage) => storage.setAlarm(new Date(Date.now() + FAR_MS)),
  "deletes it": (storage) => storage.deleteAlarm(),
  "sets it and deletes it": async (storage) => {
    await storage.setAlarm(Date.now() + FAR_MS);
    await storage.deleteAlarm();
  },
  "sets it in a transaction": (storage) =>
    storage.transaction((txn) => txn.setAlarm(Date.now() + FAR_MS)),
  "deletes it in a transaction": (storage) => storage.transaction((txn) => txn.deleteAlarm()),
  "sets it in a transaction that fails": (storage) =>
    storage
      .transaction(async (txn) => {
        await txn.setAlarm(Date.now() + FAR_MS);
        throw new Error("rolled back");
      })
      .catch(() => undefined),
};

describe.each(Object.keys(MEDDLING))("line 4: a class that %s", (name) => {
  it("again and again, on root and shards, stalls no operation", async () => {
    const { shop } = open();
    const meddle = async (): Promise<void> => {
      for (const hex of runtime.storages.keys()) {
        const id = runtime.namespace().idFromString(hex);
        await MEDDLING[name]?.(runtime.instance(id).ctx.storage);
      }
    };
    await meddle();
    for (const work of [
      () => shop.shards.shard({ key: "id", count: 2, timeout: 20_000 }),
      () => shop.shards.rebalanceShards({ targetCount: 3, timeout: 20_000 }),
      () => shop.shards.unshard({ timeout: 20_000 }),
    ]) {
      const over = new AbortController();
      const working = work().finally(() => over.abort());
      while (!over.signal.aborted) {
        await meddle();
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await working;
    }
    expect(shop.get("i7")).toBe(7);
  });
});

describe("line 4: the class's own alarm", () => {
  it("is served at its time, once, while an operation runs and afterwards", async () => {
    const served: number[] = [];
    const { shop } = open({ onAlarm: () => served.push(Date.now()) });
    await shop.shards.shard({ key: "id", count: 2, mode: "staged" });
    const first = Date.now() + 60;
    await shop.ctx.storage.setAlarm(first);
    expect(await shop.ctx.storage.getAlarm()).toBe(first);
    await expect.poll(() => served.length).toBe(1);
    expect(served[0]).toBeGreaterThanOrEqual(first);
    expect(await shop.ctx.storage.getAlarm()).toBeNull();
    await shop.shards.setAlarm(Date.now() + 10);
    await expect.poll(() => served.length).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(served).toHaveLength(2);
  });

  it("that was set before shardctl came is kept by an operation, and served", async () => {
    runtime = createShop();
    const id = runtime.namespace().idFromName("orders");
    runtime.instance(id);
    runtime.evict(id);
    const at = Date.now() + 400;
    storageOf(id).arm(at);
    const shop = runtime.instance(id);
    shop.put("a");
    await shop.shards.shard({ key: "id", count: 2 });
    // On a busy machine it may have been served by now.
    const kept = await shop.ctx.storage.getAlarm();
    expect(kept === at || shop.alarms === 1).toBe(true);
    await expect.poll(() => shop.alarms, { timeout: 10_000 }).toBe(1);
  });

  it("that was set before shardctl came is kept by an object that becomes a shard", async () => {
    const { shop } = open();
    const id = runtime.namespace().idFromName("orders-shard-1");
    const shard = runtime.instance(id);
    const at = Date.now() + FAR_MS;
    await shard.ctx.storage.setAlarm(at);
    await shop.shards.shard({ key: "id", count: 2 });
    expect(await shard.ctx.storage.getAlarm()).toBe(at);
    expect(await runtime.instance(id).shards.getAlarm()).toBe(at);
    await shard.shards.deleteAlarm();
    expect(await shard.ctx.storage.getAlarm()).toBeNull();
  });

  it.each([
    ["set", 2 * FAR_MS],
    ["deleted", null],
  ] as const)("%s while the first message waits for it is what counts", async (_, wanted) => {
    const { shop, id } = open();
    const at = wanted === null ? null : Date.now() + wanted;
    await shop.ctx.storage.setAlarm(Date.now() + FAR_MS);
    const starting = send(id, { kind: "empty", operation: 1 });
    await (at === null ? shop.ctx.storage.deleteAlarm() : shop.ctx.storage.setAlarm(at));
    await starting;
    expect(await shop.ctx.storage.getAlarm()).toBe(at);
  });

  it("is null while its handler runs, may be set to the same time again, and deleted", async () => {
    const seen: (number | null)[] = [];
    const { shop } = open({
      onAlarm: async ({ ctx, alarms }) => {
        seen.push(await ctx.storage.getAlarm());
        if (alarms === 1) await ctx.storage.setAlarm(at);
        if (alarms === 2) {
          await ctx.storage.setAlarm(Date.now() + FAR_MS);
          await ctx.storage.deleteAlarm();
        }
      },
    });
    await shop.shards.shard({ key: "id", count: 2 });
    const at = Date.now() + 20;
    await shop.ctx.storage.setAlarm(at);
    await expect.poll(() => shop.alarms).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(seen).toEqual([null, null]);
    expect(shop.alarms).toBe(2);
    expect(await shop.ctx.storage.getAlarm()).toBeNull();
  });

  it("is rolled back with the transaction that sets it", async () => {
    const { shop } = open();
    await shop.shards.shard({ key: "id", count: 2 });
    const at = Date.now() + FAR_MS;
    await shop.ctx.storage.setAlarm(at);
    expect(() =>
      shop.ctx.storage.transactionSync(() => {
        void shop.ctx.storage.setAlarm(at + 1);
        throw new Error("rolled back");
      }),
    ).toThrow("rolled back");
    expect(await shop.ctx.storage.getAlarm()).toBe(at);
  });

  it("hands the runtime its options, and the runtime's own words for what is no time", async () => {
    const { shop, storage } = open();
    await shop.shards.shard({ key: "id", count: 2 });
    const options = { allowConcurrency: true, allowUnconfirmed: true };
    await shop.ctx.storage.setAlarm(Date.now() + FAR_MS, options);
    expect(storage.set.at(-1)?.options).toEqual(options);
    await expect(shop.ctx.storage.setAlarm(-1)).rejects.toThrow(
      "cannot be called with an alarm time <= 0",
    );
    await expect(shop.ctx.storage.setAlarm(new Date(Number.NaN))).rejects.toThrow("alarm time");
  });

  it("is not lost when the host is made twice", async () => {
    const { shop, id } = open();
    await shop.shards.shard({ key: "id", count: 2 });
    const at = Date.now() + FAR_MS;
    await shop.ctx.storage.setAlarm(at);
    runtime.evict(id);
    expect(await runtime.instance(id).ctx.storage.getAlarm()).toBe(at);
  });

  it("is logged where alarm() hands no handler to the host", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const { shop } = open({ onAlarm: null });
    await shop.shards.shard({ key: "id", count: 2 });
    expect(warn).not.toHaveBeenCalled();
    await shop.ctx.storage.setAlarm(Date.now() + 5);
    await expect
      .poll(() => warn.mock.calls)
      .toMatchObject([[expect.stringContaining("shards.onAlarm(() => …)")]]);
    expect(await shop.ctx.storage.getAlarm()).toBeNull();
  });

  it("is tried again after a failure, also where an operation has begun meanwhile", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const { shop } = open({
      onAlarm: async ({ shards, alarms }) => {
        if (alarms > 1) return;
        await shards.shard({ key: "id", count: 2, mode: "staged" });
        throw new Error("the handler failed");
      },
    });
    await shop.ctx.storage.setAlarm(Date.now() + 5);
    await expect.poll(() => shop.alarms, { timeout: 5_000 }).toBe(2);
    expect(log).toHaveBeenCalledTimes(1);
    expect(shop.shards.isSharded()).toBe(true);
  });

  it("does not wait for an operation, nor an operation for its handler", async () => {
    let letGo = (): void => undefined;
    const { shop, storage } = open({
      onAlarm: () => new Promise<void>((resolve) => (letGo = resolve)),
    });
    await shop.ctx.storage.setAlarm(Date.now() + 5);
    await expect.poll(() => shop.alarms).toBe(1);
    await shop.shards.shard({ key: "id", count: 2, mode: "staged" });
    await expect.poll(() => stateOf(storage), { timeout: 5_000 }).toBe("completed");
    letGo();
    await expect.poll(() => shop.ctx.storage.getAlarm()).toBeNull();
  });
});

describe("line 4: an object that was never sharded", () => {
  it("has the runtime's own alarm, and no private tables for it", async () => {
    const { shop, storage } = open();
    const at = Date.now() + FAR_MS;
    await shop.ctx.storage.setAlarm(at, { allowUnconfirmed: true });
    expect(storage).toMatchObject({
      alarm: at,
      set: [{ at, options: { allowUnconfirmed: true } }],
    });
    expect(await shop.shards.getAlarm()).toBe(at);
    await shop.ctx.storage.deleteAlarm();
    expect(storage.alarm).toBeNull();
    expect(
      storage.database.peek("SELECT name FROM sqlite_master WHERE name LIKE 'shardctl%'"),
    ).toEqual([]);
  });

  it("has its handler tried again by the runtime", async () => {
    const { shop } = open({
      onAlarm: ({ alarms }) => {
        if (alarms < 3) throw new Error("the handler failed");
      },
    });
    await shop.ctx.storage.setAlarm(Date.now() + 5);
    await expect.poll(() => shop.alarms).toBe(3);
  });
});

describe("line 4: deleteAll", () => {
  it("leaves the engine its alarm while an operation runs", async () => {
    const { shop, storage } = open();
    await shop.shards.shard({ key: "id", count: 2, mode: "staged" });
    storage.close();
    await shop.ctx.storage.deleteAll();
    expect(storage.alarm).not.toBeNull();
  });

  it("deletes the class's own alarm, and gives the object its alarm back when nothing runs", async () => {
    const { shop, storage } = open();
    await shop.shards.shard({ key: "id", count: 2 });
    await shop.shards.unshard();
    storage.database.sql.exec("DELETE FROM shardctl_chores");
    await shop.ctx.storage.setAlarm(Date.now() + FAR_MS);
    await shop.ctx.storage.deleteAll();
    expect(storage.alarm).toBeNull();
    const at = Date.now() + FAR_MS;
    await shop.ctx.storage.setAlarm(at);
    expect(storage.alarm).toBe(at);
    // Its registry goes on: whoever knows the epoch of the unshard is not turned away.
    expect(storage.database.peek("SELECT epoch FROM shardctl_registry")).toEqual([{ epoch: 2 }]);
    expect(shop.shards.isWhole()).toBe(true);
  });
});

/** The clock of the real runtime stands still while an event is handled. */
function freezeClockPerTurn(): void {
  let frozen: number | undefined;
  vi.spyOn(Date, "now").mockImplementation(() => {
    if (frozen === undefined) setImmediate(() => (frozen = undefined));
    return (frozen ??= Math.floor(performance.timeOrigin + performance.now()));
  });
}

it("line 4: no alarm is set for now or earlier", async () => {
  freezeClockPerTurn();
  const { shop } = open({ onAlarm: async ({ ctx }) => ctx.storage.setAlarm(Date.now() - 1_000) });
  await shop.shards.shard({ key: "id", count: 2 });
  await shop.ctx.storage.setAlarm(Date.now() - 1_000);
  await expect.poll(() => shop.alarms).toBeGreaterThan(2);
  await shop.shards.rebalanceShards({ targetCount: 3 });
  const set = [...runtime.storages.values()].flatMap((storage) => storage.set);
  expect(set.length).toBeGreaterThan(5);
  expect(set.filter(({ now, at }) => at <= now)).toEqual([]);
});

/**
 * Messages that revive an operation whose alarm is missing, or set for much later, where the host
 * may not replace the storage's alarm.
 */
const LOOKS: readonly MemberRequest[] = [
  { kind: "describe", object: "" },
  { kind: "operation", id: 1 },
  { kind: "history", limit: 1 },
  { kind: "resolve", operation: 1, attempt: 0 },
  { kind: "layout" },
  { kind: "count" },
  { kind: "health" },
  { kind: "call", epoch: 0, keys: [], method: "get", args: ["i1"] },
];

describe.each(LOOKS.map((request) => [request.kind, request] as const))(
  "line 4: a message %s",
  (_, request) => {
    it.each([
      ["missing", null],
      ["set for much later", FAR_MS],
    ] as const)("revives an operation whose alarm is %s", async (_name, delayMs) => {
      const { id, shop, storage } = open();
      storage.isTicking = false;
      await shop.shards.shard({ key: "id", count: 2, mode: "staged" });
      // One turn of the driver: the root captures, so that calls know of the move.
      const driving = shop.alarm();
      await expect
        .poll(() => storage.database.peek("SELECT 1 FROM shardctl_meta WHERE key = 'moving'"), {
          interval: 1,
        })
        .toHaveLength(1);
      runtime.evict(id);
      storage.isTicking = true;
      storage.arm(delayMs === null ? null : Date.now() + delayMs);
      await send(id, request);
      await expect.poll(() => stateOf(storage), { timeout: 5_000 }).toBe("completed");
      await driving;
      // An alarm that the engine did not set was the class's own.
      const own = await runtime.instance(id).ctx.storage.getAlarm();
      expect(own !== null && own > Date.now()).toBe(delayMs !== null);
    });
  },
);
