/** Operations under concurrent writers: nothing acknowledged is lost, doubled or undone. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { WRITE_BLOCK_MESSAGES } from "../../../src/shards/move/write-blocks.ts";
import type { Thing } from "../../../src/shards/index.ts";
import { connect } from "../../../src/shards/router.ts";
import { refusal } from "../../support/refusal.ts";
import type { ShardsEnv, Things } from "../../support/shards-worker.ts";
import { beforeFirst } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";
import { startWriters } from "../support/writers.ts";

const { THINGS } = env as unknown as ShardsEnv;

function open(name: string): TestNamespace<Things> {
  return new TestNamespace(THINGS, name);
}

function whole(id: string): Thing {
  return {
    id,
    type: "",
    name: null,
    data: { country: `c${id.length % 3}` },
    visibility: "private",
    createdAt: 1,
    updatedAt: 1,
  };
}

async function load(namespace: TestNamespace<Things>, count: number): Promise<void> {
  await namespace.stub().putMany(Array.from({ length: count }, (_, index) => whole(`t${index}`)));
}

describe("operations under writers", { timeout: 120_000 }, () => {
  it("shard, rebalance up and down, rekey and unshard", async () => {
    const namespace = open("busy");
    const writers = await startWriters(namespace, 4, 1500);
    await namespace.toHash("id", 3);
    await namespace.toHash("id", 6, { waveRowsMax: 400 });
    await namespace.toHash("id", 2, { waveRowsMax: 200 });
    await namespace.toHash("data.country", 3);
    await namespace.unshard();
    expect(writers.acknowledged).toBeGreaterThan(20);
    expect(await writers.stop()).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
  });
});

describe("calls by an old layout", { timeout: 60_000 }, () => {
  it("never reach a member that does not own the key any more", async () => {
    const namespace = open("stale");
    await load(namespace, 40);
    const ids = Array.from({ length: 40 }, (_, index) => `t${index}`);
    const byId = connect<Things>(THINGS, "stale");
    const byCountry = connect<Things>(THINGS, "stale");
    expect(await byId.at("t1").whereAmI()).toBe("stale");
    const moves = [
      () => namespace.toHash("id", 3),
      () => namespace.toHash("id", 5),
      () => namespace.toHash("id", 2),
      () => namespace.unshard(),
    ];
    for (const move of moves) {
      await byCountry.layout(); // cached before the move, used after it
      await move();
      const { layout } = await namespace.live();
      const owner = createOwnerLookup(layout);
      const places = await Promise.all(ids.map((id) => byId.at(id).whereAmI()));
      expect(places).toEqual(ids.map((id) => owner(toKey(id))));
      for (const id of ids.slice(0, 8))
        expect(await byCountry.at(id).getHere(id)).toMatchObject({ id });
    }
  });

  it("fail, when they are by another shard key than the one they say", async () => {
    const namespace = open("rekeyed");
    await load(namespace, 10);
    await namespace.toHash("id", 2);
    const router = connect<Things>(THINGS, "rekeyed", { shardKey: "id" });
    expect(await router.at("t1").getHere("t1")).toMatchObject({ id: "t1" });
    await namespace.toHash("data.country", 2);
    expect(await refusal(() => router.at("t1").getHere("t1"))).toContain(
      "'rekeyed' is sharded by data.country, but this caller routes by id",
    );
  });

  it("run once, when the method lets another call's refusal escape after it has written", async () => {
    const namespace = open("escaped");
    await load(namespace, 10);
    await namespace.toHash("id", 2);
    const router = connect<Things>(THINGS, "escaped");
    // Run again, it would find its own row, and say so.
    expect(await refusal(() => router.at("once").putAndBeRefused("once"))).toBe(
      "Another member is being moved",
    );
    expect(await router.at("once").getHere("once")).toMatchObject({ id: "once" });
  });

  it("see each row exactly once while rows move", async () => {
    const namespace = open("counted");
    await load(namespace, 300);
    const counts = new Set<unknown>();
    const state = { isOver: false };
    const counting = (async () => {
      const router = connect<Things>(THINGS, "counted");
      while (!state.isOver) {
        const { data } = await router.queryShards({
          query: "SELECT id FROM things",
          aggregation: "concat",
        });
        counts.add(
          `${(data as unknown[]).length} rows, ${new Set((data as { id: string }[]).map((row) => row.id)).size} ids`,
        );
        // Without a pause the local runtime gets to no timer and no alarm.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    try {
      await namespace.toHash("id", 2);
      await namespace.toHash("id", 4, { waveRowsMax: 100 });
      await namespace.toHash("data.country", 3);
      await namespace.unshard();
    } finally {
      state.isOver = true;
    }
    await counting;
    expect([...counts]).toEqual(["300 rows, 300 ids"]);
  });

  it("that still run when the fence goes up are waited for, and kept", async () => {
    const namespace = open("slow-call");
    await load(namespace, 20);
    const router = connect<Things>(THINGS, "slow-call");
    const calls: Promise<unknown>[] = [];
    const started = beforeFirst("slow-call", "fence", () => {
      calls.push(router.call("slow", "putSlowly", "slow", "c1", 150));
    });
    const sharding = namespace.toHash("id", 2);
    // In the test's own context: a call that is under way when the fence is asked for.
    const own = router.call("slow-too", "putSlowly", "slow-too", "c1", 200);
    await Promise.all([sharding, own]);
    await Promise.all(calls);
    expect(started.done).toBe(true);
    const { layout } = await namespace.live();
    const found = await Promise.all(
      layout.members.map((member) =>
        namespace.sql(member, "SELECT id FROM things WHERE id LIKE 'slow%'"),
      ),
    );
    expect(new Set(found.flat().map((row) => row["id"]))).toEqual(new Set(["slow", "slow-too"]));
    expect(found.flat()).toHaveLength(2);
  });
});

describe("writes that bypass the router", { timeout: 60_000 }, () => {
  it("are refused by every object that is no member", async () => {
    const namespace = open("guarded");
    await load(namespace, 20);
    await namespace.toHash("id", 3);
    await namespace.toHash("id", 2);
    for (const object of ["guarded", "guarded-shard-2"]) {
      for (const statement of [
        "UPDATE things SET name = 'x'",
        "DELETE FROM things",
        "INSERT INTO things VALUES ('x', '', NULL, '{}', '', 1, 1)",
        `INSERT INTO relationships VALUES ('x', 'y', 'z', '{}', 1)`,
      ]) {
        // An UPDATE or DELETE of no row fires no trigger.
        if (
          (await namespace.exactRows(object, "things")).length === 0 &&
          !statement.startsWith("INSERT")
        )
          continue;
        expect(await refusal(() => namespace.sql(object, statement))).toContain(
          WRITE_BLOCK_MESSAGES.notMember,
        );
      }
    }
    expect(await refusal(() => namespace.stub("guarded-shard-2").putHere([whole("y")]))).toContain(
      WRITE_BLOCK_MESSAGES.notMember,
    );
    await namespace.unshard();
    await namespace.sql("guarded", "UPDATE things SET name = 'x' WHERE id = 't1'");
    const insert = "INSERT INTO things VALUES ('x', '', NULL, '{}', '', 1, 1)";
    expect(await refusal(() => namespace.sql("guarded-shard-0", insert))).toContain(
      WRITE_BLOCK_MESSAGES.notMember,
    );
  });

  it("are refused behind a fence, by a message that says to retry", async () => {
    const namespace = open("fenced");
    await load(namespace, 20);
    const refused: string[] = [];
    const tried = beforeFirst("fenced", "activate", async () => {
      refused.push(await refusal(async () => namespace.sql("fenced", "DELETE FROM things")));
    });
    await namespace.toHash("id", 2);
    expect(tried.done).toBe(true);
    expect(refused).toHaveLength(1);
    expect(refused[0]).toContain(WRITE_BLOCK_MESSAGES.moving);
  });
});
