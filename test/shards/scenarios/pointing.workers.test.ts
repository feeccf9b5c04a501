/**
 * Rows that point at each other by foreign keys and have keys of their own: nothing dangles after a
 * cutover, or there is none.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import type { Layout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import { refusal } from "../../support/refusal.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { beforeFirst } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
const REGIONS = Array.from({ length: 60 }, (_, index) => `r${index}`);
const OWNERS = REGIONS.map(
  (region, index) => `INSERT INTO owners VALUES ('o${index}', '${region}')`,
);

async function open(
  kind: string,
  name: string,
  statements: readonly string[],
): Promise<TestNamespace<Cases>> {
  const namespace = new TestNamespace(CASES, `${kind}~${name}`);
  for (const statement of statements) await namespace.sql(namespace.name, statement);
  return namespace;
}

/** Two regions of different shards, by number. */
function apart(layout: Layout): [number, number] {
  const owner = createOwnerLookup(layout);
  const other = REGIONS.findIndex((region) => owner(toKey(region)) !== owner(toKey("r0")));
  return [0, other];
}

async function dangling(namespace: TestNamespace<Cases>): Promise<unknown[]> {
  const { layout } = await namespace.live();
  return (
    await Promise.all(
      layout.members.map((member) => namespace.sql(member, "PRAGMA foreign_key_check")),
    )
  ).flat();
}

describe("in a swap, after the targets have been checked", { timeout: 60_000 }, () => {
  const write = async (
    name: string,
    statements: (here: number, there: number) => readonly string[],
  ): Promise<string> => {
    const namespace = await open("family", name, OWNERS);
    const [here, there] = apart(await namespace.hashTo("region", 3));
    const pets = [
      `INSERT INTO pets VALUES ('p0', 'o${here}', 'r${here}')`,
      `INSERT INTO pets VALUES ('p1', 'o${there}', 'r${there}')`,
    ];
    for (const statement of pets) await namespace.sql(namespace.name, statement);
    const wrote = beforeFirst(namespace.name, "fence", ({ host }) => {
      for (const statement of statements(here, there)) host.sql.run(statement).toArray();
    });
    const message = await refusal(() => namespace.toHash("region", 3));
    expect(wrote.done).toBe(true);
    expect(await dangling(namespace)).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
    expect((await namespace.live()).epoch).toBe(message === "nothing was refused" ? 1 : 0);
    return message;
  };

  it("a row that points at one of another shard is found", async () => {
    const message = await write("late-child", (here, there) => [
      `INSERT INTO pets VALUES ('late', 'o${there}', 'r${here}')`,
    ]);
    expect(message).toMatch(
      /1 rows of 'pets' point at rows of 'owners' that would not be with them on .*Nothing was changed/,
    );
  });

  it("a row that is left behind by the one it points at is found", async () => {
    const message = await write("late-parent", (here, there) => [
      `UPDATE owners SET region = 'r${there}' WHERE id = 'o${here}'`,
    ]);
    expect(message).toContain("1 rows of 'pets' point at rows of 'owners'");
  });

  it("rows that go together are moved", async () => {
    const message = await write("late-family", (here, there) => [
      `INSERT INTO pets VALUES ('late', 'o${there}', 'r${there}')`,
      "INSERT INTO owners VALUES ('new', 'r5')",
      "INSERT INTO pets VALUES ('newer', 'new', 'r5')",
      `UPDATE pets SET region = 'r${there}', owner_id = 'o${there}' WHERE owner_id = 'o${here}'`,
      `UPDATE owners SET region = 'r${there}' WHERE id = 'o${here}'`,
      "DELETE FROM owners WHERE id = 'o7'",
    ]);
    expect(message).toBe("nothing was refused");
  });
});

describe("in a shift", { timeout: 60_000 }, () => {
  /** A region that leaves its shard when there is one more, and one that stays on the same. */
  const parted = async (
    namespace: TestNamespace<Cases>,
  ): Promise<{ member: string; leaving: number; staying: number }> => {
    const [before, after] = [
      (await namespace.live()).layout,
      await namespace.hashTo("region", 3),
    ].map((layout) => createOwnerLookup(layout)) as [
      (key: ReturnType<typeof toKey>) => string,
      (key: ReturnType<typeof toKey>) => string,
    ];
    const leaving = REGIONS.findIndex((region) => before(toKey(region)) !== after(toKey(region)));
    const member = before(toKey(REGIONS[leaving]));
    const staying = REGIONS.findIndex(
      (region) => before(toKey(region)) === member && after(toKey(region)) === member,
    );
    return { member, leaving, staying };
  };

  it("a row that would stay behind is found, and one that would go alone", async () => {
    const namespace = await open("family", "parted", OWNERS);
    await namespace.toHash("region", 2);
    const { member, leaving, staying } = await parted(namespace);
    await namespace.sql(member, `INSERT INTO pets VALUES ('p', 'o${leaving}', 'r${staying}')`);
    expect(await refusal(() => namespace.toHash("region", 3))).toMatch(
      /1 rows of 'pets' stay on .* while the rows of 'owners' that they point at leave.*Nothing was changed/,
    );
    expect(await dangling(namespace)).toEqual([]);
    expect((await namespace.live()).epoch).toBe(1);
    await namespace.sql(member, "DELETE FROM pets");
    await namespace.sql(member, `INSERT INTO pets VALUES ('p', 'o${staying}', 'r${leaving}')`);
    expect(await refusal(() => namespace.toHash("region", 3))).toMatch(
      /1 rows of 'pets' point at rows of 'owners'/,
    );
    await namespace.sql(member, `UPDATE pets SET owner_id = 'o${leaving}'`);
    await namespace.toHash("region", 3);
    expect(await dangling(namespace)).toEqual([]);
    expect(await namespace.contents("pets")).toHaveLength(1);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it("a row of a table that is not declared is found", async () => {
    const notes = REGIONS.map(
      (region, index) => `INSERT INTO notes VALUES ('o${index}', '${region}')`,
    );
    const namespace = await open("outside", "pinned", notes);
    await namespace.toHash("region", 2);
    const { member, leaving, staying } = await parted(namespace);
    await namespace.sql(member, `INSERT INTO pins VALUES ('p', 'o${leaving}')`);
    expect(await refusal(() => namespace.toHash("region", 3))).toContain(
      "1 rows of 'pins' stay on",
    );
    await namespace.sql(member, `UPDATE pins SET note_id = 'o${staying}'`);
    await namespace.toHash("region", 3);
    expect(await dangling(namespace)).toEqual([]);
  });

  it("writers 3: no row of a table that is not declared comes to point at one whose leave is decided", async () => {
    const notes = REGIONS.map(
      (region, index) => `INSERT INTO notes VALUES ('o${index}', '${region}')`,
    );
    const namespace = await open("outside", "pinned late", notes);
    await namespace.toHash("region", 2);
    const { member, leaving, staying } = await parted(namespace);
    await namespace.sql(member, `INSERT INTO pins VALUES ('p', 'o${staying}')`);
    const refusals: string[] = [];
    const wrote = beforeFirst(namespace.name, "activate", async () => {
      for (const statement of [
        `INSERT INTO pins VALUES ('late', 'o${leaving}')`,
        `UPDATE pins SET note_id = 'o${leaving}'`,
        "DELETE FROM pins WHERE id = 'none'",
      ])
        refusals.push(await refusal(() => namespace.sql(member, statement)));
    });
    await namespace.toHash("region", 3);
    expect(wrote.done).toBe(true);
    expect(refusals).toEqual([
      expect.stringContaining("the namespace is being moved, nothing was written"),
      expect.stringContaining("the namespace is being moved, nothing was written"),
      "nothing was refused",
    ]);
    expect(await dangling(namespace)).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
    expect(await namespace.sql(member, `INSERT INTO pins VALUES ('later', 'o${staying}')`)).toEqual(
      [],
    );
  });
});
