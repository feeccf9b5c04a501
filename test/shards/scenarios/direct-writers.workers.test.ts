/**
 * Code that is no routed call writes while rows move: timers, alarms, sockets. Foreign keys hold
 * for what it writes, at every moment: a child without its parent is refused, and a row that is
 * deleted takes along what points at it, or stays.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { Cases, Shop, ShardsEnv } from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";

const { SHOP, CASES } = env as unknown as ShardsEnv;
const PARENTS = 240;
/** Writers must not go on for ever after a test that failed. */
const TURNS_MAX = 20_000;
const REFUSALS = /FOREIGN KEY constraint failed|shardctl: /;

interface Story {
  readonly shardKey: string;
  /** Inserts a child whose parent is nowhere. */
  readonly orphan: string;
  /** Names a parent of whose key the writers may dispose. */
  readonly victim: string;
  readonly deletion: string;
  /** Children of a parent. */
  readonly children: string;
}

interface Found {
  /** Statements that ran or were refused. */
  tried: number;
  /** Parents whose deletion was let through. */
  readonly deleted: unknown[];
  /** Children that were let in without their parent. */
  orphans: number;
  /** Children that stayed when their parent went. */
  left: number;
}

/** Writes from timers of every object that is or will be a member. */
class DirectWriters {
  readonly #found: Found = { tried: 0, deleted: [], orphans: 0, left: 0 };
  readonly #namespace: TestNamespace<Shop> | TestNamespace<Cases>;
  readonly #story: Story;
  readonly #working = new Map<string, Promise<void>>();
  #isStopped = false;

  constructor(namespace: TestNamespace<Shop> | TestNamespace<Cases>, story: Story) {
    this.#namespace = namespace;
    this.#story = story;
  }

  workOn(members: readonly string[]): void {
    for (const member of members)
      if (!this.#working.has(member)) this.#working.set(member, this.#write(member));
  }

  async stop(): Promise<Found> {
    this.#isStopped = true;
    await Promise.all(this.#working.values());
    return this.#found;
  }

  #write(member: string): Promise<void> {
    return this.#namespace.inside(
      member,
      async (_: unknown, { storage: { sql } }: DurableObjectState) => {
        for (let turn = 0; !this.#isStopped && turn < TURNS_MAX; turn++) {
          this.#writeOnce(sql, turn);
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
      },
    );
  }

  #writeOnce(sql: SqlStorage, turn: number): void {
    const passes = (statement: string, param: SqlStorageValue): boolean => {
      this.#found.tried++;
      try {
        return sql.exec(statement, param).rowsWritten > 0;
      } catch (error) {
        if (!REFUSALS.test(String(error))) throw error;
        return false;
      }
    };
    if (passes(this.#story.orphan, -1 - turn)) this.#found.orphans++;
    const [victim] =
      turn % 8 === 0 ? sql.exec<{ id: SqlStorageValue }>(this.#story.victim).toArray() : [];
    if (!victim || !passes(this.#story.deletion, victim.id)) return;
    this.#found.deleted.push(victim.id);
    this.#found.left += sql.exec(this.#story.children, victim.id).toArray().length;
  }
}

/** Takes a namespace through the four operations, with writers at work on all that take part. */
async function moveAround(
  namespace: TestNamespace<Shop> | TestNamespace<Cases>,
  story: Story,
): Promise<Found> {
  const writers = new DirectWriters(namespace, story);
  writers.workOn([namespace.name]);
  for (const count of [2, 4, 3]) {
    writers.workOn((await namespace.hashTo(story.shardKey, count)).members);
    await namespace.toHash(story.shardKey, count);
  }
  writers.workOn((await namespace.unshardedTo()).members);
  await namespace.unshard();
  return writers.stop();
}

describe(
  "writers 3: writes that are no routed call obey foreign keys at every moment",
  { timeout: 120_000 },
  () => {
    it("of tables that cascade", async () => {
      const namespace = new TestNamespace(SHOP, "direct writers");
      const lines = ["a", "b", "c"];
      await namespace.inside(namespace.name, (shop) => {
        for (let id = 1; id <= PARENTS; id++)
          shop.addOrder({ id, customer: `c${id % 60}`, total: id, lines });
      });
      const found = await moveAround(namespace, {
        shardKey: "customer_id",
        orphan: "INSERT INTO order_lines (order_id, line) VALUES (?, 0)",
        victim: "SELECT id FROM orders WHERE id % 7 = 0 LIMIT 1",
        deletion: "DELETE FROM orders WHERE id = ?",
        children: "SELECT 1 FROM order_lines WHERE order_id = ?",
      });
      expect(found).toMatchObject({ orphans: 0, left: 0 });
      expect(found.deleted.length).toBeGreaterThan(0);
      const kept = Array.from({ length: PARENTS }, (_, index) => index + 1).filter(
        (id) => !found.deleted.includes(id),
      );
      const query =
        "SELECT id, (SELECT count(*) FROM order_lines WHERE order_id = id) AS n FROM orders ORDER BY id";
      expect(await namespace.sql(namespace.name, query)).toEqual(
        kept.map((id) => ({ id, n: lines.length })),
      );
      expect(await namespace.sql(namespace.name, "PRAGMA foreign_key_check")).toEqual([]);
    });

    it.each([
      {
        kind: "family",
        what: "tables that restrict",
        fill: (n: number) => [
          `INSERT INTO owners VALUES ('o${n}', 'r${n % 60}')`,
          `INSERT INTO pets VALUES ('p${n}', 'o${n}', 'r${n % 60}')`,
        ],
        orphan: "INSERT INTO pets VALUES (?1, ?1, 'r1')",
        victim: "SELECT id FROM owners LIMIT 1",
        deletion: "DELETE FROM owners WHERE id = ?",
        children: "SELECT 1 FROM pets WHERE owner_id = ?",
        rows: { pets: PARENTS, owners: PARENTS },
      },
      {
        kind: "selfish",
        what: "a table that points at itself",
        fill: (n: number) => [
          `INSERT INTO nodes VALUES ('n${n}', NULL, 'r${n % 60}')`,
          `INSERT INTO nodes VALUES ('m${n}', 'n${n}', 'r${n % 60}')`,
        ],
        orphan: "INSERT INTO nodes VALUES (?1, ?1 || '-', 'r1')",
        victim: "SELECT id FROM nodes WHERE id IN ('n7', 'n77', 'n177')",
        deletion: "DELETE FROM nodes WHERE id = ?",
        children: "SELECT 1 FROM nodes WHERE parent_id = ?",
        rows: null,
      },
    ])("of $what", async ({ kind, fill, rows, ...story }) => {
      const namespace = new TestNamespace(CASES, `${kind}~direct writers`);
      await namespace.inside(namespace.name, (object) => {
        for (let n = 0; n < PARENTS; n++) for (const statement of fill(n)) object.write(statement);
      });
      const found = await moveAround(namespace, { shardKey: "region", ...story });
      expect(found).toMatchObject({ orphans: 0, left: 0 });
      const nodes = 2 * (PARENTS - found.deleted.length);
      for (const [table, count] of Object.entries(rows ?? { nodes }))
        expect(await namespace.contents(table)).toHaveLength(count);
      expect(await namespace.sql(namespace.name, "PRAGMA foreign_key_check")).toEqual([]);
    });
  },
);
