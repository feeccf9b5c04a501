/**
 * Line 1f: an object whose private tables are those of a newer library serves nothing and writes
 * nothing, until that library is back.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { PROTOCOLS_SPOKEN, type ProtocolReply } from "../../../src/model/wire/protocol.ts";
import { unshardedLayout } from "../../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { Host } from "../../../src/shards/host/host.ts";
import type { Message, MessageKind } from "../../../src/shards/protocol/messages.ts";
import { SCHEMA_VERSION, ensureSchema } from "../../../src/shards/storage/schema.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import type { SimStorage } from "../../sim/storage.ts";
import { MixedWorld } from "../support/mixed-world.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";

const NEWER = SCHEMA_VERSION + 1;
const KEY = { type: "text", text: "a" } as const;
const LAYOUT = unshardedLayout("ns", 0);
const OPERATION = { operation: 1 };
const POLICY = DEFAULT_OPERATION_POLICY;
const START = {
  kind: "shard",
  epoch: 0,
  to: freshHashLayout("id", 1, ["a", "b"]),
  policy: POLICY,
  correlationId: "c",
  requestedBy: "a test",
  refuseEmpty: false,
} as const;

/** One message of every kind: a new kind has to be entered here. */
const MESSAGES: { readonly [Kind in MessageKind]: Message<Kind> } = {
  describe: { kind: "describe", object: "O" },
  distribute: { kind: "distribute", distribution: { by: "slots", shardKey: "id" } },
  start: { kind: "start", operation: START },
  operation: { kind: "operation", id: 1 },
  history: { kind: "history", limit: 10 },
  cancel: { kind: "cancel", id: 1 },
  pause: { kind: "pause", id: 1, reason: "r", by: "b" },
  resume: { kind: "resume", id: 1 },
  ids: { kind: "ids" },
  planRepair: { kind: "planRepair", repair: { members: [], acceptLoss: [] } },
  repair: { kind: "repair", repair: { members: [], acceptLoss: [] }, fingerprint: "f", by: "b" },
  layout: { kind: "layout" },
  call: { kind: "call", epoch: 0, keys: [KEY], method: "put", args: ["a"] },
  query: { kind: "query", epoch: 0, query: "SELECT id FROM items", params: [] },
  admit: { kind: "admit", epoch: 0, method: "put", among: [] },
  dismiss: { kind: "dismiss", ticket: "1/1" },
  locate: { kind: "locate", epoch: 0, table: "items", id: "a", deal: true },
  claim: { kind: "claim", epoch: 0, claims: [{ table: "items", id: "a", key: KEY }] },
  release: { kind: "release", epoch: 0, rows: [{ table: "items", id: "a" }] },
  probe: { kind: "probe", epoch: 0, rows: [{ table: "items", id: "a" }] },
  enter: { kind: "enter", epoch: 0, owner: "o", claims: [{ table: "items", id: "a", key: KEY }] },
  suspectDirectory: { kind: "suspectDirectory", since: 1 },
  enterIds: { kind: "enterIds", epoch: 0, since: 1, budgetMs: 1 },
  trustDirectory: { kind: "trustDirectory", since: 1 },
  prepare: {
    kind: "prepare",
    ...OPERATION,
    epoch: 0,
    mode: "swap",
    from: LAYOUT,
    to: START.to,
    allowMissingKey: true,
    rowsPerSecondMax: null,
  },
  recopy: { kind: "recopy", ...OPERATION, part: "source", round: 1, tables: [], floors: [] },
  copy: { kind: "copy", ...OPERATION, budgetMs: 10 },
  verify: { kind: "verify", ...OPERATION, budgetMs: 10 },
  drain: { kind: "drain", ...OPERATION, budgetMs: 10 },
  chunks: { kind: "chunks", ...OPERATION, waveRowsMax: 10 },
  rehearse: { kind: "rehearse", ...OPERATION, incoming: [] },
  promote: { kind: "promote", ...OPERATION, attempt: 1, incoming: [], outgoing: [] },
  hold: { kind: "hold", ...OPERATION, attempt: 1, among: [], fromMs: 0, holdMs: 0, waitMs: 0 },
  fence: { kind: "fence", ...OPERATION, attempt: 1, budgetMs: 10 },
  unfence: { kind: "unfence", ...OPERATION, attempt: 1 },
  activate: {
    kind: "activate",
    ...OPERATION,
    activation: { epoch: 1, layout: START.to, incoming: [], outgoing: [] },
  },
  finish: { kind: "finish", ...OPERATION, epoch: 1, layout: START.to },
  abandon: { kind: "abandon", ...OPERATION, epoch: 0, layout: LAYOUT },
  empty: { kind: "empty", ...OPERATION },
  testify: { kind: "testify", layout: null },
  mend: { kind: "mend", epoch: 1, layout: LAYOUT, endedUpTo: 0, known: null },
  count: { kind: "count" },
  health: { kind: "health" },
  receive: { kind: "receive", ...OPERATION, source: "x", sequence: 1, parts: [] },
  check: { kind: "check", ...OPERATION, source: "x", parts: [] },
  stagedKeys: {
    kind: "stagedKeys",
    ...OPERATION,
    table: "items",
    source: "x",
    range: { kind: "slots", from: 0, to: 1 },
    after: null,
  },
  resolve: { kind: "resolve", ...OPERATION, attempt: 0 },
};

/** The user's class: what it did. */
class Target {
  readonly calls: string[] = [];

  put(id: string): void {
    this.calls.push(id);
  }
}

let storage: SimStorage;
let target: Target;
const now = 1_000;

function open(): Host {
  target = new Target();
  const runtime = {
    now: () => now,
    sleep: () => Promise.resolve(),
    digest: () => Promise.resolve(""),
  };
  const peers = { send: () => Promise.reject(new Error("It must ask nobody")) };
  return new Host(
    {
      self: "ns",
      identify: () => "mine" as const,
      idOf: String,
      storage,
      runtime,
      alone: runAlone,
      peers,
    },
    target,
    {
      tables: [{ name: "items" }],
    },
  );
}

function send(host: Host, request: Message<MessageKind>): Promise<ProtocolReply<unknown>> {
  return host.handle({ protocol: 1, namespace: "ns", member: "ns", request });
}

function setSchema(version: number): void {
  storage.sql.exec("UPDATE shardctl_meta SET value = ? WHERE key = 'schema'", String(version));
}

/** Everything that is stored, as text. */
function contents(): string {
  const tables = storage.peek<{ name: string; sql: string }>(
    "SELECT name, sql FROM sqlite_master ORDER BY name",
  );
  return JSON.stringify(
    tables.map(({ name, sql }) => [
      name,
      sql,
      sql?.startsWith("CREATE TABLE") ? storage.peek(`SELECT * FROM "${name}"`) : [],
    ]),
  );
}

/** Leaves no free page. */
function fillUp(): void {
  // Rows of a page each, in the order of their place: what is left in the end is no page.
  storage.sql.exec("CREATE TABLE filler (content TEXT)");
  storage.flush();
  const pages = Number(storage.peek("PRAGMA page_count")[0]?.["page_count"]);
  storage.peek(`PRAGMA max_page_count = ${pages}`);
  const fill = (): void => {
    for (let row = 0; row < 10_000; row++) {
      storage.sql.exec("INSERT INTO filler VALUES (?)", "x".repeat(3_000));
      storage.flush();
    }
  };
  expect(fill).toThrow(/full/);
  storage.discard();
}

beforeEach(() => {
  storage = openStorage();
  storage.sql.exec("CREATE TABLE items (id TEXT PRIMARY KEY)");
  storage.sql.exec("INSERT INTO items VALUES ('a')");
  ensureSchema(new Sql(storage));
  storage.flush();
});

describe("line 1f: an object written by a newer library", () => {
  it.each(Object.values(MESSAGES))("refuses $kind, and writes nothing", async (message) => {
    setSchema(NEWER);
    const before = contents();
    const answer = await send(open(), message);
    expect(answer).toMatchObject({
      ok: false,
      failure: { kind: "newerSchema", retryable: true },
      speaks: PROTOCOLS_SPOKEN,
    });
    expect(answer.ok ? "" : answer.failure.message).toContain(
      `schema ${NEWER}, this library knows ${SCHEMA_VERSION}`,
    );
    expect(target.calls).toEqual([]);
    expect(contents()).toBe(before);
  });

  it("runs no alarm, and keeps it for the library that knows what is due", async () => {
    const first = open();
    await send(first, MESSAGES.start);
    first.userAlarm.set(now);
    setSchema(NEWER);
    storage.flush();
    const before = contents();
    storage.takeAlarm();
    let isRun = false;
    await open().onAlarm(() => {
      isRun = true;
    });
    expect(isRun).toBe(false);
    expect(contents()).toBe(before);
    expect(await storage.getAlarm()).toBeGreaterThan(now);
  });

  it("serves again when that library is back", async () => {
    setSchema(NEWER);
    await send(open(), MESSAGES.call);
    setSchema(SCHEMA_VERSION);
    expect(await send(open(), MESSAGES.call)).toMatchObject({ ok: true });
    expect(target.calls).toEqual(["a"]);
  });

  it("is waited for by callers of either version, who notice nothing else", async () => {
    const mixed = new MixedWorld(1, "new");
    try {
      await mixed.fill();
      await mixed.operate("shard");
      const { storage: member } = mixed.world.object("a0");
      const write = (version: number) => (): void => {
        member.sql.exec("UPDATE shardctl_meta SET value = ? WHERE key = 'schema'", String(version));
        member.flush();
        mixed.deploy("a0", "new");
      };
      mixed.when(() => mixed.isIn("copy"), write(NEWER));
      mixed.after(3_000, write(SCHEMA_VERSION));
      expect(await mixed.operate("rebalance")).toMatchObject({ state: "completed" });
      expect(await mixed.flaws()).toEqual([]);
    } finally {
      mixed.close();
    }
  });
});

describe("an object written by an older library", () => {
  it("gets the tables that have been added since, with its first message", async () => {
    storage.sql.exec("DROP TABLE shardctl_freed");
    expect(await send(open(), MESSAGES.health)).toMatchObject({ ok: true });
    expect(
      storage.peek("SELECT name FROM sqlite_master WHERE name = 'shardctl_freed'"),
    ).toHaveLength(1);
  });

  it("serves without them while no space is left", async () => {
    storage.sql.exec("DROP TABLE shardctl_freed");
    fillUp();
    const filled = open();
    expect(await send(filled, MESSAGES.health)).toMatchObject({ ok: true });
    expect(await send(filled, MESSAGES.call)).toMatchObject({ ok: true });
    expect(
      storage.peek("SELECT name FROM sqlite_master WHERE name = 'shardctl_freed'"),
    ).toHaveLength(0);
  });

  describe("in a move, when no space is left", () => {
    /**
     * Lacks a table and a trigger, as an older library or a deploy leaves it, and has no free page.
     */
    const openFull = async (): Promise<Host> => {
      storage.sql.exec("DROP TABLE shardctl_freed");
      storage.sql.exec("DROP TRIGGER shardctl_guard_insert_items");
      storage.flush();
      fillUp();
      return open();
    };

    it("serves as a source without the guards that it needs at a fence only, and is not fenced without them", async () => {
      expect(await send(open(), MESSAGES.prepare)).toMatchObject({ ok: true });
      const host = await openFull();
      expect(await send(host, MESSAGES.call)).toMatchObject({ ok: true });
      expect(target.calls).toHaveLength(1);
      const fenced = await send(host, { ...MESSAGES.fence, ifIdle: true });
      expect(fenced).toMatchObject({ ok: false, failure: { fault: { kind: "storageFull" } } });
      expect(await send(host, MESSAGES.call)).toMatchObject({ ok: true });
    });

    it("ends an attempt behind whose fence guards are missing, and puts them up when there is room", async () => {
      expect(await send(open(), MESSAGES.prepare)).toMatchObject({ ok: true });
      expect(await send(open(), { ...MESSAGES.fence, ifIdle: true })).toMatchObject({ ok: true });
      const host = await openFull();
      expect(await send(host, MESSAGES.health)).toMatchObject({ ok: true });
      expect(await send(host, { ...MESSAGES.fence, ifIdle: true })).toMatchObject({
        ok: false,
        failure: { kind: "moving" },
      });
      storage.peek("PRAGMA max_page_count = 100000");
      expect(await send(host, MESSAGES.health)).toMatchObject({ ok: true });
      expect(
        storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_guard_insert_items'"),
      ).toHaveLength(1);
    });
  });

  it("has nothing made for it while it was never sharded", async () => {
    storage = openStorage();
    expect(await send(open(), MESSAGES.health)).toMatchObject({ ok: true });
    expect(storage.peek("SELECT name FROM sqlite_master")).toEqual([]);
  });
});
