/**
 * `directory: true` on strategies with a key: ids are unique over the shards, and found without
 * their key, through every operation.
 */
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import {
  directoryMember,
  hasKeyedDirectory,
  withDirectory,
} from "../../../src/model/layout/directory.ts";
import { type Layout, shardNames } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import {
  operationModeFor,
  shiftMembers,
  swapGeneration,
} from "../../../src/model/operation-mode.ts";
import type { Envelope } from "../../../src/model/wire/protocol.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import { Host } from "../../../src/shards/host/host.ts";
import type { Thing } from "../../../src/shards/index.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { directoryText } from "../../../src/shards/move/move-plan.ts";
import { connect } from "../../../src/shards/router.ts";
import { textOf } from "../../../src/shards/storage/storage.ts";
import { refusal } from "../../support/refusal.ts";
import {
  type Cases,
  type Shop,
  type ShardsEnv,
  type Things,
  partitioners,
} from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";
import { startWriters } from "../support/writers.ts";

const { CASES, THINGS, SHOP } = env as unknown as ShardsEnv;
const KEY = "data.country";
const COUNTRIES = Array.from({ length: 24 }, (_, index) => `c${index}`);

afterEach(() => {
  vi.restoreAllMocks();
});

type Strategy = "hash" | "range" | "custom";

function layoutOf(
  name: string,
  strategy: Strategy,
  generation: number,
  count: number,
  directory = true,
  shardKey = KEY,
): Layout {
  const members = shardNames(name, generation, count);
  const ends = Array.from({ length: count - 1 }, (_, index) => toKey(`c${index + 1}`));
  const fresh: Record<Strategy, () => Layout> = {
    hash: () => freshHashLayout(shardKey, generation, members),
    range: () => ({
      kind: "range",
      shardKey,
      generation,
      members,
      ranges: members.map((member, index) => ({ end: ends[index] ?? null, member })),
    }),
    custom: () => ({
      kind: "custom",
      shardKey,
      generation,
      members,
      partitioner: { name: "byTail", version: 2 },
    }),
  };
  return withDirectory(fresh[strategy](), directory);
}

/** A namespace with a directory, over `count` shards; empty but for `rows` things. */
async function open(
  name: string,
  count = 3,
  strategy: Strategy = "hash",
  rows = 0,
): Promise<TestNamespace<Things>> {
  const namespace = new TestNamespace(THINGS, name);
  if (rows > 0)
    await namespace
      .stub()
      .putMany(Array.from({ length: rows }, (_, index) => thing(`r${index}`, `c${index % 5}`)));
  await namespace.run("shard", layoutOf(name, strategy, 0, count));
  return namespace;
}

function thing(id: string, country: string): Thing {
  return {
    id,
    type: "",
    name: null,
    data: { country },
    visibility: "private",
    createdAt: 1,
    updatedAt: 1,
  };
}

/** Two countries of different shards. */
async function apart(namespace: TestNamespace<Things>): Promise<[string, string]> {
  const owner = createOwnerLookup((await namespace.live()).layout, partitioners);
  const first = COUNTRIES[0] ?? "";
  const other = COUNTRIES.find((country) => owner(toKey(country)) !== owner(toKey(first))) ?? "";
  return [first, other];
}

/**
 * Every difference between the entries of the directory and the rows; `mayLag` lets entries stand
 * whose row is gone.
 */
async function directoryProblems(
  namespace: TestNamespace<Things>,
  mayLag = false,
): Promise<string[]> {
  const { layout } = await namespace.live();
  const keys = new Map<string, string>();
  const entries = new Map<string, string>();
  const problems: string[] = [];
  for (const member of layout.members) {
    for (const row of await namespace.sql(
      member,
      "SELECT id, json_extract(data, '$.country') AS k FROM things",
    )) {
      const id = textOf(row["id"] ?? null);
      if (keys.has(id)) problems.push(`${id} is stored twice`);
      keys.set(id, directoryText(toKey(row["k"] as string | null)));
    }
    if (member === namespace.name && (await namespace.live()).epoch === 0) continue;
    for (const row of await namespace.sql(
      member,
      "SELECT id, owner FROM shardctl_directory WHERE table_name = 'things'",
    )) {
      const id = textOf(row["id"] ?? null);
      if (entries.has(id)) problems.push(`the directory has ${id} twice`);
      entries.set(id, textOf(row["owner"] ?? null));
      if (!hasKeyedDirectory(layout))
        problems.push(`${member} has an entry of ${id}, but there is no directory`);
      else if (directoryMember(layout, id) !== member)
        problems.push(`the entry of ${id} stands on ${member}`);
    }
  }
  if (!hasKeyedDirectory(layout)) return problems;
  for (const [id, key] of keys)
    if (entries.get(id) !== key)
      problems.push(`the directory says ${entries.get(id)} of ${id}, which has ${key}`);
  for (const id of entries.keys())
    if (!keys.has(id) && !mayLag) problems.push(`the directory has ${id}, which is gone`);
  return problems;
}

/** Waits until the entries of deleted rows are given back. */
async function settled(namespace: TestNamespace<Things>): Promise<string[]> {
  let problems = await directoryProblems(namespace);
  for (let tries = 0; tries < 80 && problems.length > 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    problems = await directoryProblems(namespace);
  }
  return problems;
}

/** Sees every message before its object does; what `intercept` gives is the reply. */
function interceptMessages(
  intercept: (
    envelope: Envelope<MemberRequest>,
    pass: () => ReturnType<Host["handle"]>,
  ) => ReturnType<Host["handle"]> | undefined,
): void {
  const handle = Reflect.get(Host.prototype, "handle");
  vi.spyOn(Host.prototype, "handle").mockImplementation(function seen(
    this: Host,
    envelope: Envelope,
  ) {
    const pass = (): ReturnType<Host["handle"]> => handle.call(this, envelope);
    return intercept(envelope as Envelope<MemberRequest>, pass) ?? pass();
  });
}

describe.each(["hash", "range", "custom"] as const)("ids in a directory: %s", (strategy) => {
  it("are stored once, found by two hops, and given back", async () => {
    const namespace = await open(`unique-${strategy}`, 3, strategy, 20);
    const [first, other] = await apart(namespace);
    const root = namespace.stub();
    await root.put(thing("x", first));
    expect(await refusal(() => root.put(thing("x", other)))).toContain(
      '"x" of things is stored under another shard key',
    );
    expect(await root.get("x")).toMatchObject({ data: { country: first } });
    expect(await root.get("r7")).toMatchObject({ id: "r7" });
    expect(await root.get("nowhere")).toBeNull();
    expect(await settled(namespace)).toEqual([]);
    const seen: string[] = [];
    interceptMessages(({ request }) => {
      if (request.kind === "call" || request.kind === "locate") seen.push(request.kind);
      return undefined;
    });
    await root.get("x");
    expect(seen).toEqual(["locate", "call"]);
    vi.restoreAllMocks();
    expect(await root.delete("x")).toBe(true);
    expect(await root.delete("x")).toBe(false);
    await root.put(thing("x", other));
    expect(await root.get("x")).toMatchObject({ data: { country: other } });
    expect(await root.get("x", first)).toBeNull();
    expect(await settled(namespace)).toEqual([]);
  });
});

describe("writers of one id", { timeout: 60_000 }, () => {
  it("under many keys at once: one of them stores it", async () => {
    const namespace = await open("contended", 4);
    for (let round = 0; round < 6; round++) {
      const id = `x${round}`;
      const outcomes = await Promise.all(
        COUNTRIES.slice(0, 8).map(async (country) => {
          const router = connect<Things>(THINGS, namespace.name);
          const put = (): Promise<unknown> =>
            router.at(country, { table: "things", ids: [id] }).putHere([thing(id, country)]);
          return (await refusal(put)) === "nothing was refused" ? [country] : [];
        }),
      );
      const stored = outcomes.flat();
      expect(stored).toHaveLength(1);
      expect(await namespace.stub().get(id)).toMatchObject({ data: { country: stored[0] } });
    }
    expect(await settled(namespace)).toEqual([]);
  });

  it("that delete it and store it under another key never make two of it", async () => {
    const namespace = await open("restless", 4);
    const acknowledged = await Promise.all(
      [0, 1, 2, 3].map(async (writer) => {
        let writes = 0;
        for (let step = 0; step < 25; step++) {
          const country = COUNTRIES[(writer * 7 + step) % 8] ?? "";
          const isPut =
            (await refusal(() => namespace.stub().put(thing("x", country)))) ===
            "nothing was refused";
          if (isPut) writes++;
          expect(await directoryProblems(namespace, true)).toEqual([]);
          if (isPut) await namespace.stub().delete("x");
        }
        return writes;
      }),
    );
    expect(acknowledged.reduce((sum, writes) => sum + writes, 0)).toBeGreaterThan(10);
    await namespace.stub().delete("x");
    expect(await settled(namespace)).toEqual([]);
  });
});

describe("code of the class", () => {
  const shop = async (name: string): Promise<TestNamespace<Shop>> => {
    const namespace = new TestNamespace(SHOP, name);
    await namespace.run("shard", layoutOf(name, "hash", 0, 3, true, "customer_id"));
    return namespace;
  };
  const order = (id: number, customer: string) => ({ id, customer, total: 1, lines: ["a", "b"] });

  it("stores what it has claimed, and nothing else", async () => {
    const namespace = await shop("shop-claims");
    const router = connect<Shop>(SHOP, namespace.name);
    const add = (id: number, customer: string): Promise<unknown> =>
      router
        .at(customer, { table: "orders", ids: [id] }, { table: "customers", ids: [customer] })
        .addOrder(order(id, customer));
    await add(1, "ann");
    await add(2, "ann");
    expect(await router.at("ann").ordersOf("ann")).toEqual([1, 2]);
    for (const customer of ["bob", "cid", "dan", "eve"])
      expect(await refusal(() => add(1, customer))).toContain(
        '"1" of orders is stored under another shard key',
      );
    const unclaimed = await refusal(() => router.at("bob").addOrder(order(3, "bob")));
    expect(unclaimed).toContain("was not claimed for its shard key: nothing was written");
    expect(await router.at("bob").ordersOf("bob")).toEqual([]);
    expect(await router.callById("orders", "2", false, "ordersOf", "ann")).toEqual([1, 2]);
    expect(await router.callById("orders", "9", false, "ordersOf", "ann")).toBeUndefined();
  });

  it("cannot change the key of a row in place", async () => {
    const namespace = await shop("shop-keys");
    const router = connect<Shop>(SHOP, namespace.name);
    await router
      .at("ann", { table: "orders", ids: [1] }, { table: "customers", ids: ["ann"] })
      .addOrder(order(1, "ann"));
    const owner = createOwnerLookup((await namespace.live()).layout)(toKey("ann"));
    const update = (set: string): Promise<string> =>
      namespace.inside(owner, (_, { storage }) => {
        try {
          storage.sql.exec(`UPDATE orders SET ${set}`);
        } catch (error) {
          return String(error);
        }
        return "nothing was refused";
      });
    expect(await update("customer_id = 'bob'")).toContain(
      "the shard key of a row cannot change in place",
    );
    expect(await update("id = 2")).toContain("was not claimed for its shard key");
    expect(await update("note = 'x'")).toBe("nothing was refused");
  });

  it("claims an id that is another one in the directory, though the table counts both as one", async () => {
    const namespace = new TestNamespace<Cases>(CASES, "folded~ids");
    await namespace.run("shard", layoutOf(namespace.name, "hash", 0, 3, true, "region"));
    const router = connect<Cases>(CASES, namespace.name);
    await router
      .at("r1", { table: "names", ids: ["anna"] })
      .write("INSERT INTO names VALUES ('anna', 'r1', 1)");
    const replace = "REPLACE INTO names VALUES ('Anna', 'r1', 2)";
    expect(await refusal(() => router.at("r1").write(replace))).toContain(
      "was not claimed for its shard key",
    );
    await router.at("r1", { table: "names", ids: ["Anna"] }).write(replace);
    await router.callById("names", "Anna", false, "write", "UPDATE names SET n = n + 1");
    const rows = await namespace.contents("names");
    expect(rows).toEqual([expect.stringContaining("n=integer:3")]);
  });
});

describe("operations under writers", { timeout: 240_000 }, () => {
  it("carry the directory along, make it, and let it go", async () => {
    const namespace = new TestNamespace(THINGS, "moving-ids");
    const writers = await startWriters(namespace, 3, 600);
    const rekeyTo = async (
      strategy: Strategy,
      count: number,
      directory: boolean,
    ): Promise<Layout> => {
      const { layout } = await namespace.live();
      return layoutOf(
        namespace.name,
        strategy,
        swapGeneration(namespace.name, layout, count),
        count,
        directory,
      );
    };
    const rebalanceTo = async (count: number): Promise<Layout> => {
      const { layout } = await namespace.live();
      if (layout.kind !== "hash") throw new Error(`Not ${layout.kind}`);
      const to = resizeHashLayout(layout, shiftMembers(namespace.name, layout, count));
      expect(operationModeFor(layout, to)).toBe("shift");
      return to;
    };
    const steps: [Parameters<typeof namespace.run>[0], () => Promise<Layout>][] = [
      ["shard", () => rekeyTo("hash", 3, true)],
      ["rebalance", () => rebalanceTo(5)],
      ["rebalance", () => rebalanceTo(2)],
      ["rekey", () => rekeyTo("range", 3, true)],
      ["rebalance", () => rekeyTo("range", 4, true)],
      ["rekey", () => rekeyTo("custom", 3, true)],
      ["rekey", () => rekeyTo("hash", 2, false)],
      ["rekey", () => rekeyTo("hash", 3, true)],
      ["unshard", () => namespace.unshardedTo()],
    ];
    for (const [kind, to] of steps) {
      await namespace.run(kind, await to(), { waveRowsMax: 300 });
      expect(await directoryProblems(namespace, true)).toEqual([]);
    }
    expect(writers.acknowledged).toBeGreaterThan(40);
    expect(await writers.stop()).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it("keep one id under one key, although many want it under others", async () => {
    const namespace = await open("wanted", 3, "hash", 300);
    const over = new AbortController();
    const refusals: string[] = [];
    let stored = 0;
    const working = [0, 1, 2].map(async (writer) => {
      for (let step = 0; !over.signal.aborted && step < 10_000; step++) {
        await new Promise((resolve) => setTimeout(resolve, 3));
        const id = `x${(step + writer) % 3}`;
        const country = COUNTRIES[(writer * 5 + step * 3) % 9] ?? "";
        if (step % 2 === 1) await namespace.stub().delete(id);
        const refused = await refusal(() => namespace.stub().put(thing(id, country)));
        if (refused === "nothing was refused") stored++;
        else refusals.push(refused);
      }
    });
    try {
      for (const count of [5, 2, 4]) {
        const { layout } = await namespace.live();
        if (layout.kind !== "hash") throw new Error(`Not ${layout.kind}`);
        const to = resizeHashLayout(layout, shiftMembers(namespace.name, layout, count));
        await namespace.run("rebalance", to, { waveRowsMax: 120 });
        expect(await directoryProblems(namespace, true)).toEqual([]);
      }
    } finally {
      over.abort();
    }
    await Promise.all(working);
    expect(stored).toBeGreaterThan(5);
    expect(
      refusals.filter((refused) => !refused.includes("is stored under another shard key")),
    ).toEqual([]);
    expect(await directoryProblems(namespace, true)).toEqual([]);
  });
});

describe("a crash", { timeout: 60_000 }, () => {
  it("between the claim and the row leaves an entry that is in nobody's way", async () => {
    const namespace = await open("crashed-claim");
    const [first, other] = await apart(namespace);
    const { layout } = await namespace.live();
    const owner = createOwnerLookup(layout)(toKey(first));
    let isArmed = true;
    interceptMessages(({ request }, pass) => {
      if (request.kind !== "claim" || !isArmed) return undefined;
      isArmed = false;
      return pass().then(async (reply) => {
        await namespace.abort(owner);
        return reply;
      });
    });
    const router = connect<Things>(THINGS, namespace.name);
    const put = (country: string): Promise<unknown> =>
      router.at(country, { table: "things", ids: ["x"] }).putHere([thing("x", country)]);
    expect(await refusal(() => put(first))).not.toBe("nothing was refused");
    if (!hasKeyedDirectory(layout)) throw new Error("no directory");
    const holder = directoryMember(layout, "x");
    const entry = (): Promise<unknown> =>
      namespace.sql(holder, "SELECT owner FROM shardctl_directory WHERE id = 'x'");
    expect(await entry()).toEqual([{ owner: `t${first}` }]);
    expect(await namespace.stub().get("x")).toBeNull();
    await put(other);
    expect(await entry()).toEqual([{ owner: `t${other}` }]);
    expect(await namespace.stub().get("x")).toMatchObject({ data: { country: other } });
    expect(await settled(namespace)).toEqual([]);
  });

  it("after a delete, before its id was given back: the next call gives it back", async () => {
    const namespace = await open("crashed-release");
    const [first] = await apart(namespace);
    const owner = createOwnerLookup((await namespace.live()).layout)(toKey(first));
    const root = namespace.stub();
    await root.put(thing("x", first));
    interceptMessages(({ request }) => {
      if (request.kind !== "release") return undefined;
      throw new Error("a test keeps ids from being given back");
    });
    await root.delete("x");
    await namespace.abort(owner);
    vi.restoreAllMocks();
    expect(await directoryProblems(namespace)).toEqual(["the directory has x, which is gone"]);
    await root.get("y", first);
    expect(await settled(namespace)).toEqual([]);
  });

  it("of nobody: a claim that comes late, or twice, changes nothing for a row that stands", async () => {
    const namespace = await open("late-claim");
    const [first, other] = await apart(namespace);
    await namespace.stub().put(thing("x", first));
    await namespace.stub().delete("x");
    await namespace.stub().put(thing("x", other));
    const { layout, epoch } = await namespace.live();
    if (!hasKeyedDirectory(layout)) throw new Error("no directory");
    const late = {
      kind: "claim",
      epoch,
      claims: [{ table: "things", id: "x", key: toKey(first) }],
    } as const;
    await expect(namespace.ask(late, directoryMember(layout, "x"))).rejects.toThrow(
      "is stored under another shard key",
    );
    expect(await settled(namespace)).toEqual([]);
  });
});

describe("switching the directory on", { timeout: 60_000 }, () => {
  it("finds ids that stand under two keys, lists them, and changes nothing", async () => {
    const namespace = new TestNamespace(THINGS, "doubled");
    await namespace
      .stub()
      .putMany(Array.from({ length: 30 }, (_, index) => thing(`r${index}`, `c${index % 5}`)));
    await namespace.run("shard", layoutOf(namespace.name, "hash", 0, 3, false));
    const [first, other] = await apart(namespace);
    for (const id of ["x", "y"])
      for (const country of [first, other]) await namespace.stub().put(thing(id, country));
    const before = await namespace.contents("things");
    const started = await namespace.start("rekey", layoutOf(namespace.name, "hash", 1, 4));
    const ended = await namespace.reached(started.id);
    expect(ended).toMatchObject({ state: "failed", fault: { kind: "duplicateId" } });
    const ids = JSON.stringify(await namespace.ask({ kind: "ids" }));
    for (const id of ["x", "y"]) {
      expect(ids).toContain(JSON.stringify(`"${id}"`).slice(1, -1));
      expect(ended.fault?.message).not.toContain(`"${id}"`);
    }
    expect(ended.fault?.message).toContain("stand under more than one shard key");
    expect((await namespace.live()).epoch).toBe(1);
    expect(await namespace.contents("things")).toEqual(before);
    expect(await namespace.leftovers(shardNames(namespace.name, 1, 4))).toEqual([]);
    for (const id of ["x", "y"]) await namespace.stub().delete(id, other);
    await namespace.run("rekey", layoutOf(namespace.name, "hash", 2, 4));
    expect(await directoryProblems(namespace)).toEqual([]);
  });

  it("is refused for a table without a single-column primary key", async () => {
    const namespace = new TestNamespace(CASES, "values~directory");
    const layout = withDirectory(
      freshHashLayout("region", 0, shardNames(namespace.name, 0, 2)),
      true,
    );
    const ended = await namespace.reached((await namespace.start("shard", layout)).id);
    expect(ended.fault).toMatchObject({ kind: "unsupportedTable" });
  });
});
