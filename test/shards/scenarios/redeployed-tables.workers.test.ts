/**
 * Tables that a deploy changes in the middle of an operation: what has changed is copied again
 * alone, and nothing is left half done.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { withDirectory } from "../../../src/model/layout/directory.ts";
import type { OperationStatus } from "../../../src/model/operation.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { CASE_TABLES, type CaseTables, deployTables } from "../../support/case-tables.ts";
import { sample } from "../../support/sample.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { beforeFirst, interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
const WITHOUT_STATUS = CASE_TABLES["plain"]?.ddl ?? "";
const ROWS = 40;
let namespaces = 0;

async function open(tables?: CaseTables["tables"]): Promise<TestNamespace<Cases>> {
  const namespace = new TestNamespace(CASES, `plain~redeployed-${namespaces++}`);
  if (tables) deployTables(namespace.name, { ddl: WITHOUT_STATUS, tables });
  const numbers = `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS - 1})`;
  await namespace.sql(
    namespace.name,
    `${numbers} INSERT INTO docs SELECT 'd' || i, 'region-' || (i % 7), 'home-' || (i % 3), 'words ' || i FROM n`,
  );
  await namespace.sql(
    namespace.name,
    `${numbers} INSERT INTO tags SELECT 't' || i, 'region-' || (i % 7) FROM n`,
  );
  return namespace;
}

/** The messages of the namespace, as `kind` or, of rows, `receive` with their tables. */
function listen(namespace: TestNamespace<Cases>): string[] {
  const heard: string[] = [];
  interceptMessages(namespace.name, async ({ request }, forward) => {
    heard.push(
      request.kind === "receive"
        ? `receive ${request.parts.map(({ table }) => table).join(" ")}`
        : request.kind,
    );
    return forward();
  });
  return heard;
}

async function ids(
  namespace: TestNamespace<Cases>,
  table: string,
  where = "true",
): Promise<string[]> {
  const { layout } = await namespace.live();
  const query = `SELECT id FROM ${table} WHERE ${where}`;
  const found = await Promise.all(layout.members.map((member) => namespace.sql(member, query)));
  return found.flat().map((row) => row["id"] as string);
}

async function everyMember(
  namespace: TestNamespace<Cases>,
  statements: readonly string[],
): Promise<void> {
  const { layout } = await namespace.live();
  for (const member of layout.members)
    for (const statement of statements) await namespace.sql(member, statement);
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const STEPS = ["copy", "verify", "fence"] as const satisfies MemberRequest["kind"][];
const WITH_STATUS = {
  ddl: `
    CREATE TABLE IF NOT EXISTS docs (id TEXT PRIMARY KEY, region TEXT, home TEXT, words TEXT, status TEXT);
    CREATE TABLE IF NOT EXISTS tags (id TEXT PRIMARY KEY, region TEXT);
  `,
  tables: [{ name: "docs" }, { name: "tags" }],
};

describe("a table that is rebuilt while its rows move", { timeout: 60_000 }, () => {
  it.each(sample(STEPS, 1))(
    "is copied again, and a row that is deleted on the way does not come back: before '%s'",
    async (kind) => {
      const namespace = await open();
      const heard = listen(namespace);
      const rebuilt = beforeFirst(namespace.name, kind, ({ host }) => {
        for (const statement of [
          "CREATE TABLE docs_new (id TEXT PRIMARY KEY, region TEXT, home TEXT, words TEXT)",
          "INSERT INTO docs_new SELECT * FROM docs",
          "DROP TABLE docs",
          "ALTER TABLE docs_new RENAME TO docs",
          "INSERT INTO docs VALUES ('late', 'region-1', 'home-1', 'late')",
          "DELETE FROM docs WHERE id = 'd7'",
        ])
          host.sql.run(statement).toArray();
      });
      await namespace.toHash("region", 3);
      expect(rebuilt.done).toBe(true);
      expect(await ids(namespace, "docs", "id IN ('late', 'd7')")).toEqual(["late"]);
      expect(await ids(namespace, "docs")).toHaveLength(ROWS);
      expect(await ids(namespace, "tags")).toHaveLength(ROWS);
      // Alone: after the second preparation no row of the other table travels, unless none had yet.
      const again = heard
        .slice(heard.lastIndexOf("recopy"))
        .filter((message) => message.startsWith("receive"));
      expect(again).not.toEqual([]);
      expect(kind === "copy" || !again.some((message) => message.includes("tags"))).toBe(true);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );
});

describe(
  "a table that is rebuilt while its rows move to a layout with a directory",
  { timeout: 60_000 },
  () => {
    it.each(sample(STEPS, 1))(
      "leaves no entry of a row that is lost on the way: before '%s'",
      async (kind) => {
        const namespace = await open();
        const rebuilt = beforeFirst(namespace.name, kind, ({ host }) => {
          for (const statement of [
            "CREATE TABLE docs_new (id TEXT PRIMARY KEY, region TEXT, home TEXT, words TEXT)",
            "INSERT INTO docs_new SELECT * FROM docs WHERE id NOT IN ('d3', 'd7')",
            "DROP TABLE docs",
            "ALTER TABLE docs_new RENAME TO docs",
          ])
            host.sql.run(statement).toArray();
        });
        await namespace.run("shard", withDirectory(await namespace.hashTo("region", 3), true));
        expect(rebuilt.done).toBe(true);
        const { layout } = await namespace.live();
        const query = "SELECT id FROM shardctl_directory WHERE table_name = 'docs'";
        const entries = (
          await Promise.all(layout.members.map((member) => namespace.sql(member, query)))
        ).flat();
        expect(new Set(entries.map((row) => row["id"]))).toEqual(
          new Set(await ids(namespace, "docs")),
        );
        expect(entries).toHaveLength(ROWS - 2);
        expect(await namespace.leftovers()).toEqual([]);
      },
    );
  },
);

describe("line 1g: a plain index that is created while rows move", { timeout: 60_000 }, () => {
  it.each(sample(STEPS, 1))("changes nothing: before '%s'", async (kind) => {
    const namespace = await open();
    const heard = listen(namespace);
    const created = beforeFirst(namespace.name, kind, ({ host }) => {
      host.sql.run("CREATE INDEX docs_by_home ON docs (home)");
    });
    await namespace.toHash("region", 3);
    expect(created.done).toBe(true);
    expect(heard).not.toContain("recopy");
    expect(await ids(namespace, "docs")).toHaveLength(ROWS);
  });
});

describe("a column that a deploy adds on every member while rows move", { timeout: 60_000 }, () => {
  // Once a fence is up on one member, no statement of a test can change it any more.
  it.each(sample(["copy", "verify", "chunks"] as const, 1))(
    "of a rebalance arrives with its values: before '%s'",
    async (kind) => {
      const namespace = await open();
      await namespace.toHash("region", 2);
      const added = beforeFirst(namespace.name, kind, async () => {
        deployTables(namespace.name, WITH_STATUS);
        await everyMember(namespace, [
          "ALTER TABLE docs ADD COLUMN status TEXT",
          "UPDATE docs SET status = 'new'",
        ]);
        await namespace.sql(`${namespace.name}-shard-2`, "ALTER TABLE docs ADD COLUMN status TEXT");
      });
      await namespace.toHash("region", 3);
      expect(added.done).toBe(true);
      expect(await ids(namespace, "docs")).toHaveLength(ROWS);
      expect(await ids(namespace, "docs", "status IS NOT 'new'")).toEqual([]);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it("waits while some members have it only, says so, and goes on when all have it", async () => {
    const namespace = await open();
    await namespace.toHash("region", 2);
    beforeFirst(namespace.name, "verify", async () => {
      await namespace.sql(`${namespace.name}-shard-2`, "ALTER TABLE docs ADD COLUMN status TEXT");
    });
    const started = await namespace.start("rebalance", await namespace.hashTo("region", 3));
    const isWaiting = ({ waitsFor }: OperationStatus): boolean => (waitsFor ?? null) !== null;
    const waiting = await namespace.reached(started.id, isWaiting);
    expect(waiting).toMatchObject({ state: "running", waitsFor: { kind: "tablesDiffer" } });
    expect(waiting.waitsFor?.message).toContain("Table 'docs' has other columns");
    await everyMember(namespace, [
      "ALTER TABLE docs ADD COLUMN status TEXT",
      "UPDATE docs SET status = 'new'",
    ]);
    expect(await namespace.reached(started.id)).toMatchObject({
      state: "completed",
      waitsFor: null,
    });
    expect(await ids(namespace, "docs", "status IS NOT 'new'")).toEqual([]);
    expect(await ids(namespace, "docs")).toHaveLength(ROWS);
  });
});

describe.each(["region", "id"])(
  "two deploys of other tables within one move to shards by %s",
  { timeout: 60_000 },
  (key) => {
    /**
     * Runs one move, held up before the first 'copy' and the first 'verify' until these statements
     * have run on sources and targets, and these have started anew. Updates run on sources alone:
     * targets refuse writes. All from outside: a step that fails ends what its messages wait for.
     */
    async function moveThrough(
      namespace: TestNamespace<Cases>,
      deploys: Readonly<Record<"copy" | "verify", readonly string[]>>,
    ) {
      const { layout } = await namespace.live();
      const to = await namespace.hashTo(key, 3);
      const deployed = new Set<string>();
      const gates = (["copy", "verify"] as const).map((kind) => ({
        kind,
        reached: beforeFirst(namespace.name, kind, async () => {
          while (!deployed.has(kind)) await pause();
        }),
      }));
      const { id } = await namespace.start(key === "region" ? "rebalance" : "rekey", to);
      const members = [...new Set([...layout.members, ...to.members])];
      for (const { kind, reached } of gates) {
        await namespace.reached(id, ({ state }) => reached.done || state !== "running");
        expect([kind, reached.done]).toEqual([kind, true]);
        const isOwner = (member: string): boolean => layout.members.includes(member);
        for (const member of members)
          for (const statement of deploys[kind])
            if (isOwner(member) || !statement.startsWith("UPDATE"))
              await namespace.sql(member, statement);
        for (const member of members) await namespace.abort(member);
        deployed.add(kind);
      }
      expect(await namespace.reached(id)).toMatchObject({ state: "completed" });
    }

    it("arrive with their values: a column in step copy, and more in step verify", async () => {
      const namespace = await open();
      await namespace.toHash("region", 2);
      const heard = listen(namespace);
      await moveThrough(namespace, {
        copy: ["ALTER TABLE docs ADD COLUMN status TEXT", "UPDATE docs SET status = 'new'"],
        verify: [
          "ALTER TABLE docs ADD COLUMN grade INTEGER",
          "UPDATE docs SET grade = length(id)",
          "ALTER TABLE tags ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
        ],
      });
      expect(heard).toContain("recopy");
      expect(
        new Set(await ids(namespace, "docs", "status = 'new' AND grade = length(id)")).size,
      ).toBe(ROWS);
      expect(await ids(namespace, "docs")).toHaveLength(ROWS);
      expect(new Set(await ids(namespace, "tags", "colour = 'red'")).size).toBe(ROWS);
      expect(await ids(namespace, "tags")).toHaveLength(ROWS);
      expect(await namespace.leftovers()).toEqual([]);
    });

    it("leave no trace of the first when the second takes it back", async () => {
      const namespace = await open();
      await namespace.toHash("region", 2);
      await moveThrough(namespace, {
        copy: [
          "ALTER TABLE docs ADD COLUMN status TEXT",
          "UPDATE docs SET status = 'new', words = words || '!'",
        ],
        verify: ["ALTER TABLE docs DROP COLUMN status"],
      });
      expect(
        new Set(await ids(namespace, "docs", "words = 'words ' || substr(id, 2) || '!'")).size,
      ).toBe(ROWS);
      expect(await ids(namespace, "docs")).toHaveLength(ROWS);
      const { layout } = await namespace.live();
      for (const member of layout.members)
        expect(
          await namespace.sql(
            member,
            "SELECT name FROM pragma_table_info('docs') WHERE name = 'status'",
          ),
        ).toEqual([]);
      expect(await namespace.leftovers()).toEqual([]);
    });
  },
);

describe(
  "line 1c: a column that is added between the cutover and the activation of a wave",
  { timeout: 60_000 },
  () => {
    it.each(["docs", "tags"])("does not keep the wave from its end: %s", async (table) => {
      const namespace = await open();
      await namespace.toHash("region", 2);
      const added = beforeFirst(namespace.name, "activate", async () => {
        await namespace.sql(
          `${namespace.name}-shard-2`,
          `ALTER TABLE ${table} ADD COLUMN status TEXT DEFAULT 'new'`,
        );
      });
      await namespace.toHash("region", 3);
      expect(added.done).toBe(true);
      expect(await ids(namespace, "docs")).toHaveLength(ROWS);
      expect(await ids(namespace, "tags")).toHaveLength(ROWS);
      expect(await namespace.leftovers()).toEqual([]);
    });

    it("nor does one that is dropped or renamed", async () => {
      const namespace = await open();
      await namespace.toHash("region", 2);
      beforeFirst(namespace.name, "activate", async () => {
        for (const member of [0, 1, 2].map((index) => `${namespace.name}-shard-${index}`)) {
          await namespace.sql(member, "ALTER TABLE docs DROP COLUMN words");
          await namespace.sql(member, "ALTER TABLE docs RENAME COLUMN home TO house");
        }
      });
      await namespace.toHash("region", 3);
      expect(await ids(namespace, "docs", "house IS NOT NULL")).toHaveLength(ROWS);
      expect(await namespace.leftovers()).toEqual([]);
    });
  },
);

describe("a deploy between the cutover and the activation of a wave", { timeout: 60_000 }, () => {
  const MEMBERS = [0, 1, 2];

  it.each([
    ["that takes a table away", ["DROP TABLE tags"]],
    ["that renames a table", ["ALTER TABLE tags RENAME TO labels"]],
    ["that renames a key", ["ALTER TABLE tags RENAME COLUMN id TO tag"]],
  ])("%s leaves nobody fenced", async (_, statements) => {
    const namespace = await open();
    await namespace.toHash("region", 2);
    const deployed = beforeFirst(namespace.name, "activate", async () => {
      for (const member of MEMBERS.map((index) => `${namespace.name}-shard-${index}`))
        for (const statement of statements) await namespace.sql(member, statement);
    });
    const { id } = await namespace.start("rebalance", await namespace.hashTo("region", 3));
    expect(await namespace.reached(id)).toMatchObject({ state: "completed" });
    expect(deployed.done).toBe(true);
    expect(await ids(namespace, "docs")).toHaveLength(ROWS);
  });
});

describe(
  "line 1d: another shard key of a table that is deployed in the middle",
  { timeout: 60_000 },
  () => {
    it.each(sample(STEPS, 1))(
      "ends the operation before its cutover, and nothing has moved: before '%s'",
      async (kind) => {
        const namespace = await open([{ name: "docs", shardKeys: { tenant: "region" } }]);
        await namespace.toHash("tenant", 2);
        const deployed = beforeFirst(namespace.name, kind, async () => {
          deployTables(namespace.name, {
            ddl: WITHOUT_STATUS,
            tables: [{ name: "docs", shardKeys: { tenant: "home" } }],
          });
          const { layout } = await namespace.live();
          for (const member of layout.members) await namespace.abort(member);
        });
        const started = await namespace.start("rebalance", await namespace.hashTo("tenant", 3));
        const ended = await namespace.reached(started.id);
        expect(deployed.done).toBe(true);
        expect(ended).toMatchObject({ state: "failed", fault: { kind: "schema" } });
        expect(ended.fault?.message).toContain("declares its tables in another way");
        const found = await ids(namespace, "docs");
        expect([found.length, new Set(found).size]).toEqual([ROWS, ROWS]);
        expect(await namespace.leftovers([`${namespace.name}-shard-2`])).toEqual([]);
      },
    );
  },
);
