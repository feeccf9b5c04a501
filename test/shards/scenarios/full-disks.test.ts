/**
 * Line 2: members whose storage is full. What cannot be held is found before it is committed,
 * named, and leaves nothing hanging.
 */
import { afterEach, describe, expect, it } from "vitest";

import { shiftMembers } from "../../../src/model/operation-mode.ts";
import { DEFAULT_OPERATION_POLICY, type OperationStatus } from "../../../src/model/operation.ts";
import { type HashLayout, shardNames } from "../../../src/model/layout/layout.ts";
import { PROTOCOL_VERSION } from "../../../src/model/wire/protocol.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { LayoutReply } from "../../../src/shards/protocol/replies.ts";
import type { FakeRuntime } from "../support/fake-runtime.ts";
import { type FakeShop, createShop } from "../support/fake-shop.ts";

const NAME = "shop";
const ROWS = 3_000;
const PAGE_BYTES = 4_096;
let shop: FakeRuntime<FakeShop>;

afterEach(() => shop.close());

function open(): void {
  shop = createShop();
  const { sql } = instance(NAME).ctx.storage;
  sql.exec(
    `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS - 1}) INSERT INTO items SELECT 'item-' || printf('%05d', i) || '-with-a-long-name-that-takes-room', i FROM n`,
  );
}

function instance(member: string): FakeShop {
  return shop.instance(shop.namespace().idFromName(member));
}

async function ask<Reply>(request: MemberRequest, member = NAME): Promise<Reply> {
  const reply = await instance(member).shardctl({
    protocol: PROTOCOL_VERSION,
    namespace: NAME,
    member,
    request,
  });
  if (reply.ok) return reply.value as Reply;
  throw new Error(reply.failure.message);
}

/** Runs an operation to its end. */
async function run(
  to: HashLayout,
  waveRowsMax = DEFAULT_OPERATION_POLICY.waveRowsMax,
): Promise<OperationStatus> {
  const { epoch, layout } = await ask<LayoutReply>({ kind: "layout" });
  const started = await ask<OperationStatus>({
    kind: "start",
    operation: {
      kind: layout.kind === "none" ? "shard" : "rebalance",
      epoch,
      to,
      policy: { ...DEFAULT_OPERATION_POLICY, waveRowsMax },
      correlationId: crypto.randomUUID(),
      requestedBy: "a test",
      refuseEmpty: false,
    },
  });
  for (let tries = 0; tries < 3_000; tries++) {
    const status = await ask<OperationStatus>({ kind: "operation", id: started.id });
    if (status.state !== "running") return status;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(
    `The operation does not end: ${JSON.stringify(await ask({ kind: "operation", id: started.id }))}`,
  );
}

/** The disk of a member takes no more than these pages. */
function limit(member: string, pages: number): void {
  storageOf(member).peek(`PRAGMA max_page_count = ${pages}`);
}

function pagesOf(member: string): number {
  return Number(storageOf(member).peek("PRAGMA page_count")[0]?.["page_count"]);
}

function storageOf(member: string): { peek(query: string): readonly Record<string, unknown>[] } {
  const found = shop.storages.get(shop.namespace().idFromName(member).toString());
  if (!found) throw new Error(`${member} was never opened`);
  return found.database;
}

async function everything(): Promise<string[]> {
  const { layout } = await ask<LayoutReply>({ kind: "layout" });
  return layout.members
    .flatMap((member) =>
      instance(member)
        .ctx.storage.sql.exec<{ id: string }>("SELECT id FROM items")
        .toArray()
        .map(({ id }) => id),
    )
    .toSorted();
}

const TWO = freshHashLayout("id", 0, shardNames(NAME, 0, 2));
const THREE = resizeHashLayout(TWO, shiftMembers(NAME, TWO, 3));
const NEW = `${NAME}-shard-2`;

describe("line 2: a rebalance onto a member with too little room", () => {
  it.each([0.3, 0.5, 0.8, 1.1])(
    "ends before it commits what cannot be activated: %f of what it is to hold",
    async (share) => {
      open();
      await run(TWO);
      const pages = pagesOf(`${NAME}-shard-0`);
      instance(NEW);
      limit(NEW, Math.floor(pages * share));
      const ended = await run(THREE, 400);
      expect(ended.fault?.kind ?? "none").toBe(share > 1 ? "none" : "storageFull");
      expect(ended.fault?.message ?? NEW).toContain(NEW);
      const found = await everything();
      expect([found.length, new Set(found).size]).toEqual([ROWS, ROWS]);
      // Everybody serves: nothing hangs behind a fence.
      const { layout } = await ask<LayoutReply>({ kind: "layout" });
      for (const member of layout.members)
        expect(storageOf(member).peek("SELECT 1 FROM shardctl_meta WHERE key = 'moving'")).toEqual(
          [],
        );
    },
  );

  it("holds the rows of one wave twice, and no more, where that is all the room there is", async () => {
    open();
    await run(TWO);
    instance(NEW);
    const ended = await run(THREE, 400);
    expect(ended.state).toBe("completed");
    const peak = pagesOf(NEW);
    shop.close();
    open();
    await run(TWO);
    instance(NEW);
    limit(NEW, Math.ceil(peak * 0.92));
    expect(await run(THREE, 400)).toMatchObject({ state: "completed", fault: null });
    expect(await everything()).toHaveLength(ROWS);
  });

  it("goes through once there is room", async () => {
    open();
    await run(TWO);
    instance(NEW);
    limit(NEW, 40);
    expect(await run(THREE, 400)).toMatchObject({
      state: "failed",
      fault: { kind: "storageFull" },
    });
    limit(NEW, 1_000_000);
    expect(await run(THREE, 400)).toMatchObject({ state: "completed" });
    expect(await everything()).toHaveLength(ROWS);
  });
});

describe("line 2: a shard onto members with too little room", () => {
  it("names the member and changes nothing", async () => {
    open();
    instance(`${NAME}-shard-1`);
    limit(`${NAME}-shard-1`, 30);
    expect(await run(TWO)).toMatchObject({
      state: "failed",
      fault: { kind: "storageFull" },
      epoch: 0,
    });
    expect(await everything()).toHaveLength(ROWS);
  });
});

describe("line 2: a root that is full itself", () => {
  it("is refused in words that say what to do, and not in SQLite's own", async () => {
    open();
    limit(NAME, pagesOf(NAME));
    await expect(run(TWO)).rejects.toThrow(
      /shop has no room left .*delete rows or drop indexes there/,
    );
    expect(await everything()).toHaveLength(ROWS);
  });

  it(`is sharded when it has room for the private records: ${264 * 1024} bytes`, async () => {
    open();
    limit(NAME, pagesOf(NAME) + (264 * 1024) / PAGE_BYTES);
    expect(await run(TWO)).toMatchObject({ state: "completed" });
    expect(await everything()).toHaveLength(ROWS);
  });
});
