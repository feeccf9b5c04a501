/** Tables that compare in their own way, are wide, or feed a search index. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { refusal } from "../../support/refusal.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { beforeFirst } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
let namespaces = 0;

async function open(kind: string, statements: readonly string[]): Promise<TestNamespace<Cases>> {
  const namespace = new TestNamespace(CASES, `${kind}~changed-${namespaces++}`);
  for (const statement of statements) await namespace.sql(namespace.name, statement);
  return namespace;
}

const DOCS = Array.from(
  { length: 30 },
  (_, index) =>
    `INSERT INTO docs VALUES ('d${index}', 'region-${index % 7}', 'mail-${index}@x', 'hello ${index}')`,
);

describe("comparisons that are the table's own", { timeout: 60_000 }, () => {
  it.each(["copy", "verify", "fence"] as const)(
    "a key whose case changes moves the row, before '%s'",
    async (kind) => {
      const namespace = await open("search", DOCS);
      beforeFirst(namespace.name, kind, ({ host }) => {
        host.sql.run("UPDATE docs SET region = upper(region)").toArray();
      });
      await namespace.toHash("region", 3);
      expect(await namespace.contents("docs")).toHaveLength(DOCS.length);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it("a row that is replaced by a unique value in another case does not come back", async () => {
    const namespace = await open("search", DOCS);
    beforeFirst(namespace.name, "verify", ({ host }) => {
      host.sql
        .run("INSERT OR REPLACE INTO docs VALUES ('new', 'region-1', 'MAIL-3@X', 'new')")
        .toArray();
    });
    await namespace.toHash("region", 3);
    const contents = await namespace.contents("docs");
    expect(contents).toHaveLength(DOCS.length);
    expect(contents.filter((row) => row.includes("mail-3@x"))).toEqual([]);
  });
});

describe("what a table has beside its rows", { timeout: 60_000 }, () => {
  it("triggers written in another case do not fire for moved rows, and a search table is named as staying behind", async () => {
    const namespace = await open("search", DOCS);
    const live = await namespace.ask({ kind: "describe", object: "CASES" });
    expect(live.undeclaredTables).toEqual(["docs_search", "marks"]);
    await namespace.toHash("region", 3);
    const { layout } = await namespace.live();
    for (const member of layout.members)
      expect(await namespace.sql(member, "SELECT * FROM marks")).toEqual([]);
  });

  it("97 columns move, 100 are refused with the limit", async () => {
    const namespace = await open("broad", [
      "INSERT INTO broad (id, region, c94) VALUES ('a', 'r', x'00ff'), ('b', 's', 1.0)",
    ]);
    await namespace.toHash("region", 2);
    await namespace.toHash("region", 3);
    const { layout } = await namespace.live();
    const query = "SELECT id || ' ' || typeof(c94) || ' ' || hex(c94) AS found FROM broad";
    const rows = (
      await Promise.all(layout.members.map((member) => namespace.sql(member, query)))
    ).flat();
    expect(new Set(rows.map((row) => row["found"]))).toEqual(
      new Set(["a blob 00FF", "b real 312E30"]),
    );
    const wider = await open("tooBroad", ["INSERT INTO broad (id, region) VALUES ('a', 'r')"]);
    expect(await refusal(() => wider.toHash("region", 2))).toContain(
      "has 100 columns, at most 97 can be moved",
    );
  });
});
