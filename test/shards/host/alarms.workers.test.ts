/**
 * Line 4 on the real runtime: what a class does with `ctx.storage`'s alarm, in every step of an
 * operation.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { ShardsEnv, Timers } from "../../support/shards-worker.ts";
import { interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { TIMERS } = env as unknown as ShardsEnv;

const FAR_MS = 3_600_000;
const ROWS = 300;

async function load(name: string): Promise<TestNamespace<Timers>> {
  const namespace = new TestNamespace(TIMERS, name);
  await namespace.inside(name, (_, { storage }) => {
    for (let index = 0; index < ROWS; index++)
      storage.sql.exec("INSERT INTO items (id) VALUES (?)", `i${index}`);
  });
  return namespace;
}

/** Until the operation has ended, by what is stored: a message would revive it. */
async function untilOver(namespace: TestNamespace<Timers>): Promise<string> {
  for (let poll = 0; poll < 400; poll++) {
    const [row] = await namespace.sql(
      namespace.name,
      "SELECT state FROM shardctl_operations ORDER BY id DESC LIMIT 1",
    );
    if (row?.["state"] !== "running") return JSON.stringify(row?.["state"]);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return "stalled";
}

const MEDDLING: Readonly<Record<string, (storage: DurableObjectStorage) => Promise<unknown>>> = {
  "sets an alarm for much later": (storage) => storage.setAlarm(Date.now() + FAR_MS),
  "deletes its alarm": (storage) => storage.deleteAlarm(),
  "sets an alarm in a transaction": (storage) =>
    storage.transaction((txn) => txn.setAlarm(Date.now() + FAR_MS)),
};

const KINDS: readonly MemberRequest["kind"][] = [
  "prepare",
  "copy",
  "verify",
  "fence",
  "activate",
  "finish",
];

describe.each(Object.keys(MEDDLING))("line 4: a class that %s", (name) => {
  it.each([...KINDS])("before %s stalls no operation", async (kind) => {
    const namespace = await load(`alarms ${name} ${kind}`);
    interceptMessages(namespace.name, async ({ member, request }, forward) => {
      const meddle = MEDDLING[name] ?? (() => Promise.resolve());
      if (request.kind === kind)
        await namespace.inside(member, (_, { storage }) => meddle(storage));
      if (request.kind === kind)
        await namespace.inside(namespace.name, (_, { storage }) => meddle(storage));
      const answer = await forward();
      if (request.kind === kind)
        await namespace.inside(namespace.name, (_, { storage }) => meddle(storage));
      return answer;
    });
    await namespace.start("shard", await namespace.hashTo("id", 2));
    await namespace.inside(namespace.name, (_, { storage }) => MEDDLING[name]?.(storage));
    expect(await untilOver(namespace)).toBe('"completed"');
    expect((await namespace.contents("items")).length).toBe(ROWS);
  });
});

it("line 4: the class's own alarm is served while an operation runs, and after a crash", async () => {
  const namespace = await load("alarms served");
  const at = Date.now() + 300;
  await namespace.inside(namespace.name, (_, { storage }) => storage.setAlarm(at));
  await namespace.toHash("id", 2);
  expect(await namespace.inside(namespace.name, (_, { storage }) => storage.getAlarm())).toBeOneOf([
    at,
    null,
  ]);
  await expect
    .poll(() => namespace.sql(namespace.name, "SELECT at FROM served"), { timeout: 5_000 })
    .toHaveLength(1);
  const later = Date.now() + 200;
  await namespace.inside(namespace.name, (_, { storage }) => storage.setAlarm(new Date(later)));
  await namespace.abort(namespace.name);
  await expect
    .poll(() => namespace.sql(namespace.name, "SELECT at FROM served"), { timeout: 10_000 })
    .toHaveLength(2);
  const [first, second] = (
    await namespace.sql(namespace.name, "SELECT at FROM served ORDER BY at")
  ).map((row) => row["at"]);
  expect(first).toBeGreaterThanOrEqual(at);
  expect(second).toBeGreaterThanOrEqual(later);
});

it("line 4: an alarm is rolled back with the transaction that set it", async () => {
  const namespace = await load("alarms rolled back");
  await namespace.toHash("id", 2);
  const alarm = await namespace.inside(namespace.name, async (_, { storage }) => {
    await storage.setAlarm(Date.now() + FAR_MS);
    const before = await storage.getAlarm();
    await storage
      .transaction(async (txn) => {
        await txn.deleteAlarm();
        throw new Error("rolled back");
      })
      .catch(() => undefined);
    return { before, after: await storage.getAlarm() };
  });
  expect(alarm.before).not.toBeNull();
  expect(alarm.after).toBe(alarm.before);
});

it("line 4: deleteAll takes the class's own alarm with it, and none of the engine's", async () => {
  const namespace = await load("alarms deleted");
  const start = await namespace.hashTo("id", 2);
  interceptMessages(namespace.name, (_, forward) =>
    new Promise<void>((resolve) => setTimeout(resolve, 200)).then(forward),
  );
  await namespace.start("shard", start);
  const left = await namespace.inside(namespace.name, async (_, { storage }) => {
    await storage.setAlarm(Date.now() + FAR_MS);
    await storage.deleteAll();
    const real = Object.getPrototypeOf(storage) as DurableObjectStorage;
    return { own: await storage.getAlarm(), engine: await real.getAlarm.call(storage) };
  });
  expect(left.own).toBeNull();
  expect(left.engine).not.toBeNull();
});

it("line 5: an object that was first opened by its hex id serves, whether or not the runtime names it", async () => {
  const name = "opened by id";
  const byId = TIMERS.get(TIMERS.idFromString(TIMERS.idFromName(name).toString()));
  const endpoint = byId as unknown as { shardctl(envelope: object): Promise<unknown> };
  const envelope = { protocol: 1, namespace: name, member: name, request: { kind: "health" } };
  expect(await endpoint.shardctl(envelope)).toMatchObject({ ok: true });
  const namespace = await load(name);
  await namespace.toHash("id", 2);
  expect(await namespace.contents("items")).toHaveLength(ROWS);
});
