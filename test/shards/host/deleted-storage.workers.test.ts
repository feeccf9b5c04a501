/**
 * Line 1 of what writers may meet, on the real runtime: a class that deletes the storage of its
 * objects.
 */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";

import { RefusedError, connect } from "../../../src/shards/router.ts";
import type { ShardsEnv, Timers } from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";

const { TIMERS } = env as unknown as ShardsEnv;

const ROWS = 20;

async function shardedIn(name: string): Promise<TestNamespace<Timers>> {
  const namespace = new TestNamespace(TIMERS, name);
  await namespace.inside(name, (_, { storage }) => {
    for (let index = 0; index < ROWS; index++)
      storage.sql.exec("INSERT INTO items (id) VALUES (?)", `i${index}`);
  });
  await namespace.toHash("id", 2);
  return namespace;
}

/** The number of rows that a new caller finds; the kind of the refusal instead. */
async function found(name: string): Promise<number | string> {
  try {
    const { data } = await connect(TIMERS, name).queryShards({
      query: "SELECT count(*) AS n FROM items",
      aggregation: "sum",
    });
    return data as number;
  } catch (error) {
    if (error instanceof RefusedError) return error.reason.kind;
    throw error;
  }
}

async function repaired(
  namespace: TestNamespace<Timers>,
  acceptLoss: readonly string[],
): Promise<void> {
  const repair = { members: [], acceptLoss };
  const { fingerprint } = await namespace.ask({ kind: "planRepair", repair });
  await namespace.ask({ kind: "repair", repair, fingerprint, by: "a test" });
}

it("writers 1: a root that has deleted its storage serves nothing, and is repaired from its shards", async () => {
  const namespace = await shardedIn("root deleted");
  await namespace.inside(namespace.name, (_, { storage }) => storage.deleteAll());
  expect(await found(namespace.name)).toBe("registryLost");
  await namespace.abort(namespace.name);
  expect(await found(namespace.name)).toBe("registryLost");
  const { disorder } = await namespace.ask({ kind: "describe", object: "TIMERS" });
  expect(disorder?.kind).toBe("registryLost");
  await repaired(namespace, []);
  expect(await found(namespace.name)).toBe(ROWS);
});

it("writers 1: a shard that has deleted its storage serves nothing until its loss is accepted", async () => {
  const namespace = await shardedIn("shard deleted");
  const member = `${namespace.name}-shard-0`;
  const left = (await namespace.sql(`${namespace.name}-shard-1`, "SELECT id FROM items")).length;
  await namespace.inside(member, (_, { storage }) => storage.deleteAll());
  expect(await found(namespace.name)).toBe("outOfStep");
  const { disorder } = await namespace.ask({ kind: "describe", object: "TIMERS" });
  expect(disorder).toMatchObject({ kind: "outOfStep", members: [member] });
  await expect(repaired(namespace, [])).rejects.toThrow(`--accept-loss ${member}`);
  await namespace.abort(member);
  await repaired(namespace, [member]);
  expect(await found(namespace.name)).toBe(left);
});

it("writers 1: an object that was never sharded deletes its storage, and is as before", async () => {
  const namespace = new TestNamespace(TIMERS, "never sharded");
  await namespace.inside(namespace.name, (_, { storage }) => storage.deleteAll());
  await namespace.abort(namespace.name);
  expect(await found(namespace.name)).toBe(0);
  expect(
    await namespace.sql(
      namespace.name,
      "SELECT name FROM sqlite_master WHERE name LIKE 'shardctl%'",
    ),
  ).toStrictEqual([]);
});
