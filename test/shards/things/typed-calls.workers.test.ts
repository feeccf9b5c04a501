/**
 * Typed calls where they used to go wrong: made to a shard, under a key that is stored otherwise,
 * sent again, or in another order.
 */
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";

import { type Key, keyFromSql, toKey } from "../../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import type { Envelope } from "../../../src/model/wire/protocol.ts";
import { Host } from "../../../src/shards/host/host.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { completeThing, keyAt } from "../../../src/shards/things/things.ts";
import { refusal } from "../../support/refusal.ts";
import type { ShardsEnv, Things } from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";

const { THINGS } = env as unknown as ShardsEnv;

/** A namespace sharded by `k`, with one thing that it could not be sharded without. */
async function sharded(
  name: string,
  count: number,
  strategy: "hash" | "roundRobin" = "hash",
): Promise<TestNamespace<Things>> {
  const namespace = new TestNamespace(THINGS, name);
  await namespace.stub().put({ id: "first", data: { k: "first" } });
  await namespace.stub().shard({ key: "k", count, strategy });
  return namespace;
}

/** The first `count` keys that each of the shards owns. */
async function keysOfShards(namespace: TestNamespace<Things>, count: number): Promise<string[][]> {
  const { layout } = await namespace.live();
  if (layout.kind === "roundRobin") throw new Error("A directory has no owner by key");
  const owner = createOwnerLookup(layout, undefined);
  const keys = Array.from({ length: 200 }, (_, index) => `k${index}`);
  return layout.members.map((member) =>
    keys.filter((key) => owner(toKey(key)) === member).slice(0, count),
  );
}

type Answer = Awaited<ReturnType<Host["handle"]>>;

/**
 * Sees every message before its object does. What `intercept` gives is the reply; nothing lets it
 * pass.
 */
function interceptMessages(
  intercept: (
    envelope: Envelope<MemberRequest>,
  ) => Promise<Answer | undefined> | Answer | undefined,
) {
  const handle = Reflect.get(Host.prototype, "handle");
  return vi.spyOn(Host.prototype, "handle").mockImplementation(async function seen(
    this: Host,
    envelope: Envelope,
  ) {
    return (await intercept(envelope as Envelope<MemberRequest>)) ?? handle.call(this, envelope);
  });
}

const REFUSED: Answer = {
  ok: false,
  failure: { kind: "staleEpoch", message: "refused by a test", retryable: true },
};

afterEach(() => {
  vi.restoreAllMocks();
});

describe("calls to one of the shards", () => {
  it.each(["hash", "roundRobin"] as const)("go to their owners: %s", async (strategy) => {
    const namespace = await sharded(`to-a-shard-${strategy}`, 4, strategy);
    const shard = namespace.stub(`${namespace.name}-shard-0`);
    const ids = Array.from({ length: 10 }, (_, index) => `n${index}`);
    for (const id of ids) await shard.put({ id, data: { k: id } });
    for (const id of ids) expect(await namespace.stub().get(id, id)).toMatchObject({ id });
    expect((await shard.listThings()).map((thing) => thing.id)).toEqual(["first", ...ids]);
    expect(await shard.isSharded()).toBe(true);
    expect(await refusal(() => shard.unshard())).toContain(`is a shard of '${namespace.name}'`);
    expect(await namespace.stub().isSharded()).toBe(true);
  });

  it("ask the root for the layout once, not each", async () => {
    const namespace = await sharded("asks-once", 2);
    let asked = 0;
    interceptMessages(({ request }) => {
      // A member that is called tells the root of its epoch, once a minute.
      asked += request.kind === "layout" && request.asker === undefined ? 1 : 0;
      return undefined;
    });
    for (let call = 0; call < 5; call++) await namespace.stub().get("first", "first");
    expect(asked).toBeLessThan(2);
  });
});

describe("one id under two keys", () => {
  it("is refused on one shard, and found only under its own key", async () => {
    const namespace = await sharded("two-keys", 2);
    const [keys = []] = await keysOfShards(namespace, 2);
    const [mine = "", other = ""] = keys;
    const root = namespace.stub();
    await root.put({ id: "x", data: { k: mine, version: 1 } });
    await root.put({ id: "x", data: { k: mine, version: 2 } });
    const group = [
      { id: "y", data: { k: other } },
      { id: "x", data: { k: other } },
    ];
    expect(await refusal(() => root.putMany(group))).toContain(
      'Thing "x" is stored under another shard key: delete it there first',
    );
    expect(await root.get("y", other)).toBeNull();
    expect(await root.get("x", other)).toBeNull();
    expect(await root.delete("x", other)).toBe(false);
    expect((await root.get("x", mine))?.data).toEqual({ k: mine, version: 2 });
    expect(await root.delete("x", mine)).toBe(true);
    expect(await root.putMany(group)).toBe(2);
    expect(await root.get("x", other)).toMatchObject({ id: "x" });
  });

  it("is nothing to an unsharded namespace, or to one with a directory", async () => {
    const whole = THINGS.getByName("two-keys-whole");
    const dealt = (await sharded("two-keys-dealt", 2, "roundRobin")).stub();
    for (const root of [whole, dealt]) {
      await root.put({ id: "x", data: { k: "a" } });
      await root.put({ id: "x", data: { k: "b" } });
      expect((await root.get("x", "a"))?.data).toEqual({ k: "b" });
    }
  });
});

describe("the key of a thing", () => {
  it("is what SQL reads from the row", async () => {
    const data = {
      numbers: {
        big: 2 ** 60,
        bigger: 2 ** 63,
        least: -(2 ** 63),
        huge: 1e21,
        tenth: 0.1,
        zero: -0,
        none: Number.NaN,
        all: Infinity,
      },
      tags: ["a"],
      when: new Date(0),
      other: { yes: true, list: [1], nothing: null, text: "1" },
    };
    const paths = [
      ...Object.keys(data.numbers).map((name) => `data.numbers.${name}`),
      ...Object.keys(data.other).map((name) => `data.other.${name}`),
      "data.tags",
      "data.tags.0",
      "data.tags.length",
      "data.when",
      "data.absent",
      "createdAt",
      "name",
    ];
    const namespace = new TestNamespace(THINGS, "keys-as-stored");
    const thing = completeThing({ id: "x", data }, 2 ** 52);
    await namespace.inside(namespace.name, (object) => void object.putHere([thing]));
    for (const path of paths) {
      const [column = "", ...below] = path.split(".");
      const value =
        below.length === 0
          ? column
          : `json_extract(${column}, '$.${below.map((name) => `"${name}"`).join(".")}')`;
      const [row] = await namespace.sql(
        namespace.name,
        `SELECT typeof(${value}) AS type, CASE typeof(${value}) WHEN 'real' THEN format('%!.17g', ${value}) ELSE CAST(${value} AS TEXT) END AS text FROM things`,
      );
      const stored: Key = keyFromSql(row?.["type"] as string, row?.["text"] as string | null);
      expect({ path, key: toKey(keyAt(thing, path)) }).toEqual({ path, key: stored });
    }
  });

  it("finds every thing under a number above 2^53", async () => {
    const root = THINGS.getByName("big-numbers");
    const things = Array.from({ length: 12 }, (_, index) => ({
      id: `t${index}`,
      data: { k: 2 ** 60 + index * 2 ** 20 },
    }));
    await root.putMany(things);
    await root.shard({ key: "k", count: 8 });
    await root.putMany(things.map(({ id, data }) => ({ id: `late-${id}`, data })));
    const keys = things.map(({ data }) => BigInt(JSON.stringify(data.k)));
    for (const [index, key] of keys.entries()) {
      expect(await root.get(`t${index}`, key)).toMatchObject({ id: `t${index}` });
      expect(await root.get(`late-t${index}`, key)).toMatchObject({ id: `late-t${index}` });
    }
  });
});

describe("order", () => {
  const ids = Array.from(
    { length: 30 },
    (_, index) => `${index % 2 === 0 ? "😀" : "\uff5e"}${index}`,
  );

  it("is SQLite's: pages list every thing, and a merge agrees", async () => {
    const root = (await sharded("order", 3)).stub();
    await root.putMany(ids.map((id) => ({ id, data: { k: id } })));
    const listed: string[] = [];
    for (let pages = 0; pages < 20; pages++) {
      const page = await root.listThings({ after: listed.at(-1) ?? "first", limit: 4 });
      listed.push(...page.map((thing) => thing.id));
      if (page.length < 4) break;
    }
    const merged = await root.queryShards({
      query: "SELECT id FROM things WHERE id > 'first'",
      aggregation: "merge",
      orderBy: "id",
    });
    expect(listed.toSorted()).toEqual(ids.toSorted());
    expect(merged.data).toEqual(listed.map((id) => ({ id })));
  });
});

describe("a call that is refused in part", () => {
  it("sends only the rest again: what was deleted in between stays deleted", async () => {
    const namespace = await sharded("retried-put", 2);
    const [here = [], there = []] = await keysOfShards(namespace, 1);
    const [a, b] = [...here, ...there].map((k) => ({ id: `thing-${k}`, data: { k } }));
    if (!a || !b) throw new Error("Each shard has a key");
    let refusals = 0;
    interceptMessages(async ({ member, request }) => {
      const isPut = request.kind === "call" && request.method === "putHere";
      if (!isPut || member !== `${namespace.name}-shard-1` || refusals > 0) return undefined;
      refusals++;
      while (
        (
          await namespace.sql(
            `${namespace.name}-shard-0`,
            "SELECT id FROM things WHERE id = ?",
            a.id,
          )
        ).length === 0
      ) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await namespace.sql(`${namespace.name}-shard-0`, "DELETE FROM things WHERE id = ?", a.id);
      return REFUSED;
    });
    expect(await namespace.stub().putMany([a, b])).toBe(2);
    expect(refusals).toBe(1);
    expect(await namespace.stub().get(a.id, a.data.k)).toBeNull();
    expect(await namespace.stub().get(b.id, b.data.k)).toMatchObject({ id: b.id });
  });

  it("remembers what it has deleted, and waits for calls that are under way", async () => {
    const namespace = await sharded("retried-delete", 2);
    const [[k = ""] = []] = await keysOfShards(namespace, 1);
    await namespace.stub().put({ id: "x", data: { k } });
    let refusals = 0;
    let deletes = 0;
    interceptMessages(async ({ member, request }) => {
      if (request.kind !== "call" || request.method !== "deleteHere") return undefined;
      deletes++;
      if (member === `${namespace.name}-shard-1`) return refusals++ === 0 ? REFUSED : undefined;
      // The refusal is there first; the deletion is still under way.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return undefined;
    });
    expect(await namespace.stub().delete("x")).toBe(true);
    expect({ refusals: refusals > 0, deletes }).toEqual({ refusals: true, deletes: 4 });
  });
});

describe("relationships made before their thing", () => {
  it.each(["hash", "roundRobin"] as const)(
    "are seen, replaced and removed afterwards: %s",
    async (strategy) => {
      const namespace = await sharded(`early-${strategy}`, 4, strategy);
      const root = namespace.stub();
      const ids = Array.from({ length: 6 }, (_, index) => `f${index}`);
      for (const from of ids) {
        await root.relate({ from, verb: "knows", to: "b", data: { age: "early" } });
        await root.put({ id: from, data: { k: from } });
        await root.relate({ from, verb: "knows", to: "b", data: { age: "late" } });
        await root.relate({ from, verb: "knows", to: "a" });
      }
      for (const from of ids) {
        for (const key of [undefined, from]) {
          const found = (await root.relationshipsOf(from, key)).map(({ to, data }) => ({
            to,
            data,
          }));
          expect(found.map(({ to }) => to)).toEqual(["a", "b"]);
          expect(found[1]?.data).toEqual({ age: "late" });
        }
        expect(await root.unrelate(from, "knows", "b", from)).toBe(true);
        expect(await root.unrelate(from, "knows", "b")).toBe(false);
        expect(await root.relationshipsOf(from)).toHaveLength(1);
      }
    },
  );

  it("go with their thing when it is deleted by its key", async () => {
    const root = (await sharded("early-deleted", 4)).stub();
    for (const from of ["f0", "f1", "f2", "f3", "f4"]) {
      await root.relate({ from, verb: "knows", to: "b" });
      await root.put({ id: from, data: { k: from } });
      expect(await root.delete(from, from)).toBe(true);
      expect(await root.relationshipsOf(from)).toEqual([]);
    }
  });
});

describe("put", () => {
  it("answers with the first createdAt, which is what is stored", async () => {
    const whole = THINGS.getByName("created-whole");
    for (const root of [whole, (await sharded("created", 2)).stub()]) {
      await root.put({ id: "x", data: { k: "a" }, createdAt: 5 });
      expect(await root.put({ id: "x", data: { k: "a" }, createdAt: 9 })).toMatchObject({
        createdAt: 5,
      });
      expect(await root.get("x", "a")).toMatchObject({ createdAt: 5 });
    }
  });
});

describe("queryShards", () => {
  it("counts whatever the form of the query, and refuses what it cannot answer", async () => {
    const root = (await sharded("query-forms", 3)).stub();
    await root.putMany(
      Array.from({ length: 20 }, (_, n) => ({ id: `q${n}`, data: { k: `k${n}`, n } })),
    );
    for (const query of [
      "SELECT count(*) FROM things",
      "SELECT (count(*)) FROM things",
      "/* all */ SELECT count(*) FROM things",
      "WITH every AS (SELECT id FROM things) SELECT count(*) AS n FROM every",
      "SELECT id FROM things",
      "SELECT id, (SELECT count(*) FROM json_each(data)) AS n FROM things",
    ]) {
      expect({
        query,
        data: (await root.queryShards({ query, aggregation: "count" })).data,
      }).toEqual({ query, data: 21 });
    }
    const refused = [
      [
        { query: "SELECT avg(createdAt) FROM things", aggregation: "avg" },
        "averages is not the average",
      ],
      [
        { query: "SELECT id FROM things", aggregation: "merge", orderBy: "type" },
        "orderBy names type, but the query selects id",
      ],
      [
        { query: "SELECT id FROM things", aggregation: "merge", orderBy: "id COLLATE NOCASE" },
        "not 'id COLLATE NOCASE'",
      ],
    ] as const;
    for (const [request, message] of refused)
      expect(await refusal(() => root.queryShards(request))).toContain(message);
  });
});
