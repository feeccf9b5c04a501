/**
 * Operations that must not reach their cutover, are cancelled on the way, or are held back: what
 * they leave is a valid layout. The tests run at the same time: some wait while the engine retries.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import type { RowsPart } from "../../../src/shards/protocol/messages.ts";
import type { PrepareReply } from "../../../src/shards/protocol/replies.ts";
import { connect } from "../../../src/shards/router.ts";
import { refusal } from "../../support/refusal.ts";
import { sample } from "../../support/sample.ts";
import type { ShardsEnv, Things } from "../../support/shards-worker.ts";
import { beforeFirst, interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";
import { startWriters } from "../support/writers.ts";

const { THINGS } = env as unknown as ShardsEnv;

async function open(name: string, count: number): Promise<TestNamespace<Things>> {
  const namespace = new TestNamespace(THINGS, name);
  await namespace.stub().putMany(
    Array.from({ length: count }, (_, index) => ({
      id: `t${String(index).padStart(4, "0")}`,
      data: { country: `c${index % 11}` },
    })),
  );
  return namespace;
}

describe.concurrent("an id under two keys", { timeout: 60_000 }, () => {
  it.each(sample(["rekey", "unshard"] as const, 1))(
    "ends a %s before its cutover, named, and nothing has changed",
    async (kind) => {
      const namespace = await open(`twice-${kind}`, 50);
      await namespace.toHash("data.country", 4);
      // On each shard under a key of that shard, by calls that do not look for the others: the same
      // id is several things now.
      const router = connect<Things>(THINGS, namespace.name);
      const owner = createOwnerLookup((await namespace.live()).layout);
      const countryOf = new Map(
        Array.from({ length: 11 }, (_, index) => `c${index}`).map((country) => [
          owner(toKey(country)),
          country,
        ]),
      );
      countryOf.delete(owner(toKey("c7"))); // has it already
      for (const country of countryOf.values()) {
        const thing = {
          id: "t0007",
          type: "",
          name: null,
          data: { country },
          visibility: "",
          createdAt: 1,
          updatedAt: 1,
        };
        await router.call(country, "putHere", [thing]);
      }
      const before = await namespace.contents("things");
      const { layout, epoch } = await namespace.live();
      expect(before.filter((row) => row.includes("id=text:5:7430303037"))).toHaveLength(
        countryOf.size + 1,
      );
      const message = await refusal(() =>
        kind === "rekey" ? namespace.toHash("id", 3) : namespace.unshard(),
      );
      expect(message).toMatch(
        /ids stand under more than one shard key and would become one row: \(not shown\)\. Nothing was changed.*--ids/,
      );
      expect(await namespace.contents("things")).toEqual(before);
      expect(await namespace.live()).toEqual({ layout, epoch });
      expect(await namespace.leftovers()).toEqual([]);
      const targets =
        kind === "rekey"
          ? [0, 1, 2].map((index) => `twice-rekey-g1-shard-${index}`)
          : ["twice-unshard"];
      for (const target of targets) expect(await namespace.exactRows(target, "things")).toEqual([]);
    },
  );
});

describe.concurrent("rows without the shard key", { timeout: 60_000 }, () => {
  it.each([
    ["missing", "{}"],
    ["null", '{"country":null}'],
    ["empty", '{"country":""}'],
    ["no JSON", "not json"],
  ])("end the operation when they are not allowed: %s", async (name, data) => {
    const namespace = await open(`keyless-${name}`, 20);
    await namespace.sql(
      namespace.name,
      "INSERT INTO things VALUES ('lost', '', NULL, ?, '', 1, 1)",
      data,
    );
    const message = await refusal(() =>
      namespace.toHash("data.country", 2, { allowMissingKey: false }),
    );
    expect(message).toContain(
      `Row (not shown) of table 'things' has no shard key, and policy.onMissingKey is reject`,
    );
    expect((await namespace.live()).epoch).toBe(0);
    expect(await namespace.contents("things")).toHaveLength(21);
    expect(await namespace.leftovers()).toEqual([]);
    await namespace.toHash("data.country", 2);
    expect(await namespace.contents("things")).toHaveLength(21);
  });

  it("end it too when they are written while it runs", async () => {
    const namespace = await open("keyless-written", 20);
    const wrote = beforeFirst("keyless-written", "verify", ({ host }) => {
      host.sql.run("INSERT INTO things VALUES ('late', '', NULL, '{}', '', 1, 1)");
    });
    const message = await refusal(() =>
      namespace.toHash("data.country", 2, { allowMissingKey: false }),
    );
    expect(wrote.done).toBe(true);
    expect(message).toContain(`Row (not shown) of table 'things' has no shard key`);
    expect(await namespace.contents("things")).toHaveLength(21);
  });
});

describe.concurrent("cancelled", { timeout: 60_000 }, () => {
  it("between two waves: what was cut over stays, the rest never left, writers notice nothing", async () => {
    const namespace = new TestNamespace(THINGS, "half-way");
    const writers = await startWriters(namespace, 2, 400);
    await namespace.toHash("id", 2);
    const to = await namespace.hashTo("id", 6);
    const state = { fences: 0, answer: undefined as unknown };
    interceptMessages("half-way", async ({ host, request }, forward) => {
      if (request.kind === "fence" && host.root.journal.running()?.wavesDone !== 0) {
        state.fences++;
        state.answer ??= host.root.cancel(request.operation);
      }
      return forward();
    });
    const started = await namespace.start("rebalance", to, { waveRowsMax: 40 });
    const ended = await namespace.reached(started.id);
    expect(ended).toMatchObject({ state: "cancelled", fault: { kind: "cancelled" } });
    expect(state.answer).toMatchObject({ ok: true });
    const { layout, epoch } = await namespace.live();
    expect(epoch).toBeGreaterThan(1);
    expect(layout.members.length).toBeLessThan(6);
    expect(await namespace.leftovers()).toEqual([]);
    // From there it goes on, and back.
    await namespace.toHash("id", 6);
    await namespace.toHash("id", 2);
    expect(await writers.stop()).toEqual([]);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it("too late: after the cutover it only goes forward", async () => {
    const namespace = await open("too-late", 30);
    const answers: unknown[] = [];
    beforeFirst("too-late", "activate", ({ host, request }) => {
      if ("operation" in request && typeof request.operation === "number")
        answers.push(host.root.cancel(request.operation));
    });
    await namespace.toHash("id", 2);
    expect(answers).toEqual([
      {
        ok: false,
        failure: expect.objectContaining({
          kind: "tooLate",
          message: expect.stringContaining("it can only go forward") as string,
        }) as object,
      },
    ]);
  });

  it("twice, or when it has ended, is no error", async () => {
    const namespace = await open("again", 10);
    const ended = await namespace.toHash("id", 2);
    expect(await namespace.ask({ kind: "cancel", id: ended.id })).toMatchObject({
      state: "completed",
    });
    expect(await refusal(() => namespace.ask({ kind: "cancel", id: 99 }))).toBe(
      "'again' has no operation 99",
    );
  });
});

describe.concurrent("one at a time", { timeout: 60_000 }, () => {
  it("refuses a second operation while one runs, and a plan for another epoch", async () => {
    const namespace = await open("single", 30);
    const to = await namespace.hashTo("id", 2);
    const messages: string[] = [];
    beforeFirst("single", "verify", async () => {
      messages.push(await refusal(() => namespace.start("shard", to)));
    });
    await namespace.run("shard", to);
    expect(messages).toEqual(["Operation 1 (shard) is running: wait for it, or cancel it"]);
    const operation = {
      kind: "unshard",
      epoch: 0,
      to: await namespace.unshardedTo(),
      correlationId: "stale",
      requestedBy: "a test",
      refuseEmpty: false,
    } as const;
    const policy = {
      allowMissingKey: true,
      rowsPerSecondMax: null,
      waveRowsMax: 100,
      retainHours: 1,
    };
    expect(
      await refusal(() => namespace.ask({ kind: "start", operation: { ...operation, policy } })),
    ).toContain("is at epoch 1, the plan was made for epoch 0: plan again");
  });

  it("starts at once what is asked for while the root is busy with something else", async () => {
    const namespace = await open("busy-root", 30);
    const state = { isEmptying: false };
    interceptMessages("busy-root", async ({ request }, forward) => {
      if (request.kind === "empty") {
        state.isEmptying = true;
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
      return forward();
    });
    await namespace.toHash("id", 2, { retainHours: 0 });
    for (let poll = 0; poll < 400 && !state.isEmptying; poll++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(state.isEmptying).toBe(true);
    await namespace.toHash("id", 3);
    // The root was a retired member with nothing to keep.
    expect(await namespace.exactRows("busy-root", "things")).toEqual([]);
    expect(await namespace.contents("things")).toHaveLength(30);
  });
});

describe.concurrent("a throttle", { timeout: 60_000 }, () => {
  it("copies in pages of a second's worth, over several slices", async () => {
    const copied = async (
      name: string,
      rowsPerSecondMax: number | null,
    ): Promise<{ slices: number; page: number }> => {
      const namespace = await open(name, 90);
      const seen = { slices: 0, page: 0 };
      interceptMessages(name, async ({ request }, forward) => {
        if (request.kind === "copy") seen.slices++;
        if (request.kind === "receive")
          seen.page = Math.max(seen.page, ...request.parts.map((part: RowsPart) => part.rowCount));
        return forward();
      });
      await namespace.toHash("id", 1, { rowsPerSecondMax });
      expect(await namespace.contents("things")).toHaveLength(90);
      return seen;
    };
    // How many slices that takes is up to the machine.
    expect((await copied("unbounded", null)).page).toBe(90);
    const throttled = await copied("throttled", 30);
    expect(throttled.page).toBeLessThanOrEqual(30);
    expect(throttled.slices).toBeGreaterThan(1);
  });
});

/**
 * Starts an operation, returns what it waits for, and cancels it: a deploy that has yet to reach
 * all could make the tables the same.
 */
async function waitedFor(namespace: TestNamespace<Things>, count: number): Promise<string> {
  const { id } = await namespace.start("shard", await namespace.hashTo("id", count));
  const { waitsFor } = await namespace.reached(id, (status) => (status.waitsFor ?? null) !== null);
  await namespace.ask({ kind: "cancel", id });
  await namespace.reached(id);
  return waitsFor?.message ?? "";
}

describe.concurrent("a target whose table is not its source's", { timeout: 60_000 }, () => {
  const columns =
    "type TEXT NOT NULL, data TEXT NOT NULL, visibility TEXT NOT NULL, createdAt INTEGER NOT NULL, updatedAt INTEGER NOT NULL";
  // Each row fills a page of its own: what displaces a row comes in another message.
  const large = JSON.stringify({ text: "x".repeat(700_000) });

  const others: [string, string[]][] = [
    ["index", ["CREATE UNIQUE INDEX names ON things (name)"]],
    [
      "case",
      [
        "DROP TABLE things",
        `CREATE TABLE things (id TEXT PRIMARY KEY COLLATE NOCASE, name TEXT, ${columns})`,
      ],
    ],
  ];
  it.each(others)(
    "and counts several rows as one gets nothing, though there is nothing to copy: %s",
    async (name, statements) => {
      const namespace = new TestNamespace(THINGS, `empty-${name}`);
      const wrote = beforeFirst(namespace.name, "verify", ({ host }) => {
        for (const id of ["A", "a"])
          host.sql
            .run("INSERT INTO things VALUES (?, '', 'same', ?, '', 1, 1)", id, large)
            .toArray();
      });
      for (const statement of statements) await namespace.sql(`empty-${name}-shard-0`, statement);
      const message = await waitedFor(namespace, 1);
      expect(message).toContain(`counts rows as the same row on empty-${name}-shard-0`);
      expect(message).toContain(
        `as it does not on empty-${name}: a row could take another's place there. Nothing was changed`,
      );
      expect(wrote.done).toBe(false);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it.each(sample(others, 1))(
    "and in which one row displaces another keeps every row, if nobody knew before: %s",
    async (name, statements) => {
      const namespace = new TestNamespace(THINGS, `displaced-${name}`);
      interceptMessages(namespace.name, async ({ request }, forward) =>
        request.kind === "prepare"
          ? { ...((await forward()) as PrepareReply), uniqueRules: [] }
          : forward(),
      );
      for (const id of ["A", "a"])
        await namespace.sql(
          namespace.name,
          "INSERT INTO things VALUES (?, '', 'same', ?, '', 1, 1)",
          id,
          large,
        );
      for (const statement of statements)
        await namespace.sql(`displaced-${name}-shard-0`, statement);
      expect(await refusal(() => namespace.toHash("id", 1))).toContain("differ from their source");
      expect(await namespace.sql(namespace.name, "SELECT id FROM things ORDER BY id")).toEqual([
        { id: "A" },
        { id: "a" },
      ]);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it("but for the order of its columns gets every value in its own", async () => {
    const namespace = await open("reordered", 20);
    await namespace.sql("reordered", "UPDATE things SET name = 'name of ' || id");
    const contents = async (): Promise<string[]> =>
      (await namespace.contents("things"))
        .map((row) => row.split(" ").toSorted().join(" "))
        .toSorted();
    const before = await contents();
    await namespace.sql("reordered-shard-0", "DROP TABLE things");
    await namespace.sql(
      "reordered-shard-0",
      `CREATE TABLE things (name TEXT, id TEXT PRIMARY KEY, ${columns})`,
    );
    await namespace.toHash("id", 2);
    expect(await contents()).toEqual(before);
  });

  it("and has a column by another name gets nothing", async () => {
    const namespace = await open("renamed", 20);
    await namespace.sql("renamed-shard-0", "ALTER TABLE things RENAME COLUMN name TO title");
    expect(await waitedFor(namespace, 2)).toContain(
      "has other columns on renamed-shard-0 (createdAt, data, id, title, type, updatedAt, visibility) than on renamed (createdAt,",
    );
    expect(await namespace.contents("things")).toHaveLength(20);
  });

  it.each([
    ["not null", "name TEXT NOT NULL"],
    ["check", "name TEXT CHECK (name IS NOT NULL)"],
  ])(
    "and refuses a row says so before the cutover, whether members stay or not: %s",
    async (rule, column) => {
      const name = `refusing-${rule.slice(0, 3)}`;
      const namespace = await open(name, 20);
      const build = async (member: string, of: string): Promise<void> => {
        await namespace.sql(member, "DROP TABLE things");
        await namespace.sql(member, `CREATE TABLE things (id TEXT PRIMARY KEY, ${of}, ${columns})`);
      };
      await build(`${name}-shard-0`, column);
      expect(await refusal(() => namespace.toHash("id", 1))).toMatch(/constraint failed/);
      await build(`${name}-shard-0`, "name TEXT");
      await namespace.toHash("id", 1);
      await build(`${name}-shard-1`, column);
      expect(await refusal(() => namespace.toHash("id", 2))).toMatch(/constraint failed/);
      expect((await namespace.live()).epoch).toBe(1);
      expect(await namespace.contents("things")).toHaveLength(20);
      expect(await namespace.leftovers()).toEqual([]);
    },
  );

  it("and would store a value as another keeps the source's rows, where members stay", async () => {
    const namespace = await open("affine", 40);
    await namespace.toHash("id", 1);
    await namespace.sql("affine-shard-0", "UPDATE things SET name = '007'");
    await namespace.sql("affine-shard-1", "DROP TABLE things");
    await namespace.sql(
      "affine-shard-1",
      `CREATE TABLE things (id TEXT PRIMARY KEY, name INTEGER, ${columns})`,
    );
    const before = await namespace.contents("things");
    expect(await refusal(() => namespace.toHash("id", 2))).toContain("differ from their source");
    expect(await namespace.contents("things")).toEqual(before);
    expect(await namespace.leftovers()).toEqual([]);
  });
});
