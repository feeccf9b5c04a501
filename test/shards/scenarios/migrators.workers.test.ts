/**
 * A deploy with a migration in every step of an operation, by the host's own steps, drizzle-orm's
 * and kysely's migrators: every row is there once and has the value, every member has run every
 * step, and nothing is left over.
 */
import { describe, expect, it } from "vitest";

import type { OperationStatus } from "../../../src/model/operation.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { MIGRATORS, type MigratorName, type Step } from "../../support/migrated.ts";
import { sample } from "../../support/sample.ts";
import { beforeFirst } from "../support/intercept.ts";
import { CREATE, MARK, MigratedNamespace, STATUS } from "../support/migrated-namespace.ts";

const ROWS = 30;
const STEPS = [
  "copy",
  "verify",
  "fence",
  "promote",
  "activate",
  "finish",
] as const satisfies MemberRequest["kind"][];
const OPERATIONS = {
  shard: { from: 1, key: "region", to: 2 },
  rebalance: { from: 2, key: "region", to: 3 },
  rekey: { from: 2, key: "home", to: 2 },
} as const;
type OperationName = keyof typeof OPERATIONS;
let namespaces = 0;

async function open(migrator: MigratorName, from: number): Promise<MigratedNamespace> {
  const namespace = new MigratedNamespace(`${migrator}-${namespaces++}`, migrator);
  await namespace.load(ROWS);
  if (from > 1) await namespace.toHash("region", from);
  return namespace;
}

/** Everybody who takes part, the root last: it drives the operation, and dies with it. */
async function everybody(
  namespace: MigratedNamespace,
  { key, to }: { key: string; to: number },
): Promise<string[]> {
  const { layout } = await namespace.live();
  const next = await namespace.hashTo(key, to);
  return [...new Set([...layout.members, ...next.members])]
    .filter((member) => member !== namespace.name)
    .concat(namespace.name);
}

function expected(value: (index: number) => string): string[] {
  return Array.from({ length: ROWS }, (_, index) => `d${index} ${value(index)}`).toSorted();
}

const CASES = MIGRATORS.flatMap((migrator) =>
  (Object.keys(OPERATIONS) as OperationName[]).flatMap((operation) =>
    STEPS.map((step) => ({ migrator, operation, step })),
  ),
);

describe("a deploy in the middle of an operation", { timeout: 120_000 }, () => {
  it.each(sample(CASES, 3))(
    "$migrator, $operation, before '$step'",
    async ({ migrator, operation, step }) => {
      const plan = OPERATIONS[operation];
      const namespace = await open(migrator, plan.from);
      const members = await everybody(namespace, plan);
      const deployed = beforeFirst(namespace.name, step, async () =>
        namespace.deploy([CREATE, STATUS], members),
      );
      await namespace.toHash(plan.key, plan.to);
      expect(deployed.done).toBe(true);
      expect(await namespace.values("status")).toEqual(expected(() => "new"));
      for (const member of members) expect(await namespace.notes(member)).toBe(2);
      expect(await namespace.leftovers(members)).toEqual([]);
    },
  );
});

describe("a step that changes rows only", { timeout: 120_000 }, () => {
  const EARLY = MIGRATORS.flatMap((migrator) =>
    (["rebalance", "rekey"] as const).flatMap((operation) =>
      (["source", "target"] as const).map((early) => ({ migrator, operation, early })),
    ),
  );

  it.each(sample(EARLY, 2))(
    "reaches each row once where one $early has run it first: $migrator, $operation",
    async ({ early, ...rest }) => {
      const plan = OPERATIONS[rest.operation];
      const namespace = await open(rest.migrator, plan.from);
      const members = await everybody(namespace, plan);
      const { layout } = await namespace.live();
      const to = await namespace.hashTo(plan.key, plan.to);
      const first =
        early === "source"
          ? layout.members[0]
          : to.members.findLast((member) => !layout.members.includes(member));
      const deployed = beforeFirst(namespace.name, "verify", async () =>
        namespace.deploy([CREATE, MARK], [first ?? ""]),
      );
      const started = await namespace.start(rest.operation, to);
      const waiting = await namespace.reached(started.id, isWaiting);
      expect(deployed.done).toBe(true);
      expect(waiting).toMatchObject({ state: "running", waitsFor: { kind: "tablesDiffer" } });
      // Meanwhile everybody is served.
      for (const region of ["r0", "r1", "r2", "r3", "r4", "r5", "r6"])
        await namespace.router.at(region).put(`while-${region}`, region);
      for (const member of members) if (member !== first) await namespace.abort(member);
      expect(await namespace.reached(started.id)).toMatchObject({
        state: "completed",
        waitsFor: null,
      });
      const homes = await namespace.values("home");
      expect(homes.filter((home) => home.startsWith("d"))).toEqual(
        expected((index) => `h${index % 5}!`),
      );
      expect(homes.filter((home) => home.startsWith("while"))).toHaveLength(7);
      for (const member of members) expect(await namespace.notes(member)).toBe(2);
      expect(await namespace.leftovers(members)).toEqual([]);
    },
  );

  it.each(sample(MIGRATORS, 1))(
    "does so where the operation begins while some members lack it: %s",
    async (migrator) => {
      const namespace = await open(migrator, 2);
      const sources = [`${namespace.name}-shard-0`, `${namespace.name}-shard-1`];
      // The new shard is made by the new version; of the sources one has it from the start.
      await namespace.deploy([CREATE, MARK], sources.slice(1));
      const started = await namespace.start("rebalance", await namespace.hashTo("region", 3));
      const waiting = await namespace.reached(started.id, isWaiting);
      expect(waiting).toMatchObject({ state: "running", waitsFor: { kind: "tablesDiffer" } });
      expect(waiting.waitsFor?.message).toContain("have not run the same steps");
      await namespace.abort(sources[0] ?? "");
      expect(await namespace.reached(started.id)).toMatchObject({
        state: "completed",
        waitsFor: null,
      });
      expect(await namespace.values("home")).toEqual(expected((index) => `h${index % 5}!`));
      expect(await namespace.leftovers([namespace.name])).toEqual([]);
    },
  );

  it.each(sample(MIGRATORS, 1))(
    "lets rows only go where the same one has run, not another: %s",
    async (migrator) => {
      const namespace = await open(migrator, 2);
      const other: Step = { id: "2.5-other", up: ["UPDATE docs SET home = home || '?'"] };
      const sources = [`${namespace.name}-shard-0`, `${namespace.name}-shard-1`];
      await namespace.deploy([CREATE, MARK], sources);
      for (const source of sources) await namespace.sql(source, "SELECT 1");
      await namespace.deploy([CREATE, other], []);
      const started = await namespace.start("rebalance", await namespace.hashTo("region", 3));
      const waiting = await namespace.reached(started.id, isWaiting);
      expect(waiting).toMatchObject({ state: "running", waitsFor: { kind: "tablesDiffer" } });
      await namespace.ask({ kind: "cancel", id: started.id });
      expect(await namespace.reached(started.id)).toMatchObject({ state: "cancelled" });
      expect(await namespace.values("home")).toEqual(expected((index) => `h${index % 5}!`));
    },
  );
});

describe("a deploy that is rolled back", { timeout: 120_000 }, () => {
  it.each(sample(["host", "drizzle"] as const, 1))(
    "in the middle of an operation, which then ends: %s",
    async (migrator) => {
      const namespace = await open(migrator, 2);
      const plan = OPERATIONS.rebalance;
      const members = await everybody(namespace, plan);
      const forth = beforeFirst(namespace.name, "verify", async () => {
        await namespace.deploy([CREATE, STATUS], members.slice(0, 1));
        await namespace.sql(members[0] ?? "", "SELECT 1");
      });
      const started = await namespace.start("rebalance", await namespace.hashTo(plan.key, plan.to));
      await namespace.reached(started.id, isWaiting);
      expect(forth.done).toBe(true);
      // One member keeps the column: the operation cannot go on, and may be cancelled, until the
      // version is back.
      await namespace.deploy([CREATE], members);
      await namespace.router.at("r1").put("old", "r1");
      expect(await namespace.ask({ kind: "operation", id: started.id })).toMatchObject({
        state: "running",
      });
      await namespace.deploy([CREATE, STATUS], members);
      expect(await namespace.reached(started.id)).toMatchObject({ state: "completed" });
      const statuses = await namespace.values("status");
      expect(statuses).toHaveLength(ROWS + 1);
      // Only the host's steps fill in rows that an older version writes: drizzle runs each step
      // once.
      const lacking = statuses.filter((status) => !status.endsWith(" new"));
      expect(lacking).toEqual(migrator === "host" ? [] : ["old null"]);
      expect(await namespace.leftovers(members)).toEqual([]);
    },
  );

  it("of which no member keeps a trace in its tables does not keep rows from a new member", async () => {
    const namespace = await open("host", 2);
    const plan = OPERATIONS.rebalance;
    const members = await everybody(namespace, plan);
    const filled: Step = {
      id: "2-filled",
      up: [],
      backfill: ["UPDATE docs SET home = 'filled' WHERE home <> 'filled'"],
    };
    await namespace.deploy([CREATE, filled], members);
    for (const member of members) await namespace.sql(member, "SELECT 1");
    await namespace.deploy([CREATE], members);
    await namespace.router.at("r1").put("old", "r1");
    await namespace.toHash(plan.key, plan.to);
    await namespace.deploy([CREATE, filled], members);
    const homes = await namespace.values("home");
    expect(homes.filter((home) => home.startsWith("d"))).toEqual(expected(() => "filled"));
    expect(homes).toHaveLength(ROWS + 1);
  });
});

function isWaiting({ waitsFor }: OperationStatus): boolean {
  return (waitsFor ?? null) !== null;
}
