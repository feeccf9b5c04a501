/**
 * The Worker of the crash runs: a class of a user with tables of its own, written to through the
 * router, and control routes for the rig.
 *
 * Messages of the engine take a while to arrive and to be answered, as they do between machines:
 * without that every step would be over within a millisecond, and a random kill would hit none but
 * the longest.
 */
import {
  PROTOCOL_VERSION,
  type Envelope,
  type ProtocolReply,
} from "../../src/model/wire/protocol.ts";
import { LayoutView } from "../../src/shards/client/layout-view.ts";
import type { LayoutReply } from "../../src/shards/protocol/replies.ts";
import { ShardedObject } from "../../src/shards/index.ts";
import { RefusedError } from "../../src/shards/protocol/refused-error.ts";
import { type Router, connect } from "../../src/shards/router.ts";
import {
  type AccountState,
  COUNTED_IDS,
  DOOMED_IDS,
  NAMESPACE,
  NOTES_MAX,
  PARTITIONERS,
  TALLIED_IDS,
  type WriteKind,
  groupOf,
  keyOf,
  regionOf,
  stateText,
} from "./accounts.ts";
import { ALARM_TABLES, AlarmWork } from "./alarm-work.ts";
import {
  ACCOUNTS_SQL,
  type AccountRow,
  type Dump,
  PAYLOAD_SQL,
  type SetAside,
  dumpAside,
  dumpObject,
  toState,
} from "./dump.ts";
import { VERSION, addedColumns } from "./version.ts";

interface CrashEnv {
  readonly LEDGER: DurableObjectNamespace<Ledger>;
  /** Most time that one way of an engine message takes. */
  readonly LATENCY_MS: number;
}

/** Filler rows are large, so that a copy takes several pages. */
const FILLER_BYTES = 1500;
const ACCOUNT_BYTES = 300;
const STEP_POLL_MS = 4;
/** Pause between two alarms of an object that has rows for them, and of one that has none. */
const ALARM_MS = 120;
const IDLE_ALARM_MS = 1_500;
/** Messages of the steps that are over first: these take longer still. */
const SLOW = new Set(["prepare", "activate", "finish", "abandon"]);
const SLOW_FACTOR = 4;
const DELAYED = new Set([
  ...SLOW,
  "copy",
  "verify",
  "drain",
  "chunks",
  "rehearse",
  "fence",
  "unfence",
  "empty",
  "receive",
  "check",
  "stagedKeys",
  "resolve",
  "testify",
  "mend",
]);

export class Ledger extends ShardedObject<CrashEnv> {
  override readonly shards = this.createHost({
    tables: [
      { name: "accounts" },
      { name: "notes", follows: "accounts", by: "account" },
      { name: "tallies", follows: "accounts", by: "account" },
    ],
    partitioners: PARTITIONERS,
  });

  constructor(ctx: DurableObjectState, env: CrashEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS accounts (id TEXT PRIMARY KEY, region TEXT NOT NULL, grp INTEGER NOT NULL, amount INTEGER NOT NULL, serial INTEGER NOT NULL, size INTEGER NOT NULL, payload TEXT NOT NULL, stated INTEGER NOT NULL DEFAULT 0, stated_by INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS notes (account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, serial INTEGER NOT NULL, PRIMARY KEY (account, serial)) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS tallies (account TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE, calls TEXT NOT NULL) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS accounts_by_region ON accounts (region);
      ${ALARM_TABLES}
    `);
    if (VERSION > 1) ctx.storage.transactionSync(() => this.#migrate());
    void ctx.blockConcurrencyWhile(async () => {
      if ((await ctx.storage.getAlarm()) === null)
        await ctx.storage.setAlarm(Date.now() + ALARM_MS);
    });
  }

  /** Writes without being asked, on whichever object it runs: a member, or one that is none. */
  protected override async onAlarm(): Promise<void> {
    const { storage } = this.ctx;
    const isAtHome = await new AlarmWork(storage, (id) => this.#countUp(id)).run();
    await storage.setAlarm(Date.now() + (isAtHome ? Math.random() * ALARM_MS * 2 : IDLE_ALARM_MS));
  }

  /** As an owner writes it who knows nothing of shards: at every start, whatever is missing. */
  #migrate(): void {
    const { sql } = this.ctx.storage;
    for (const { column } of addedColumns(VERSION)) {
      if (
        sql.exec("SELECT 1 FROM pragma_table_info('accounts') WHERE name = ?", column).toArray()
          .length === 0
      )
        sql.exec(`ALTER TABLE accounts ADD COLUMN ${column} TEXT`);
      sql.exec(`UPDATE accounts SET ${column} = 'filled' WHERE ${column} IS NULL`);
      sql.exec(`CREATE INDEX IF NOT EXISTS accounts_by_${column} ON accounts (${column})`);
    }
  }

  override async shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    const { kind } = envelope.request as { readonly kind: string };
    if (!DELAYED.has(kind)) return super.shardctl(envelope);
    await this.#travel(kind);
    const reply = await super.shardctl(envelope);
    await this.#travel(kind);
    return reply;
  }

  /** One write of the user. Answers with the account as it is after it, read in the same turn. */
  write(kind: WriteKind, id: string, serial: number): string {
    return this.ctx.storage.transactionSync(() => {
      this.#change(kind, id, serial);
      return this.readAccount(id);
    });
  }

  readAccount(id: string): string {
    const { sql } = this.ctx.storage;
    const [row] = sql
      .exec<{ amount: number; serial: number }>(
        "SELECT amount, serial FROM accounts WHERE id = ?",
        id,
      )
      .toArray();
    const notes = sql
      .exec<{ serial: number }>("SELECT serial FROM notes WHERE account = ? ORDER BY serial", id)
      .toArray();
    const state: AccountState = row ? { ...row, notes: notes.map((note) => note.serial) } : null;
    return stateText(state);
  }

  /** Rows that are never written again, and those of alarms and of calls to all members. */
  fill(ids: readonly string[]): void {
    const { storage } = this.ctx;
    storage.transactionSync(() => {
      ids.forEach((id, index) => this.#insert("INSERT", id, index + 1, FILLER_BYTES));
      for (const id of [...COUNTED_IDS, ...TALLIED_IDS])
        this.#insert("INSERT", id, 0, ACCOUNT_BYTES);
      for (const id of TALLIED_IDS)
        storage.sql.exec("INSERT INTO tallies (account, calls) VALUES (?, '')", id);
      for (const id of DOOMED_IDS) this.#change("put", id, 1);
    });
  }

  /** Notes a call in every tally that is here. */
  tally(serial: number): number {
    return this.ctx.storage.sql.exec("UPDATE tallies SET calls = calls || ? || ','", String(serial))
      .rowsWritten;
  }

  /**
   * Answers as soon as an operation after `after` is in one of these steps, sooner than asking
   * again and again would see it. False when that operation has ended.
   */
  async untilStep(after: number, steps: readonly string[]): Promise<boolean> {
    const { sql } = this.ctx.storage;
    for (;;) {
      const hasJournal =
        sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").toArray()
          .length > 0;
      const newest =
        "SELECT id, state, record ->> '$.step' AS step FROM shardctl_operations ORDER BY id DESC LIMIT 1";
      const [row] = hasJournal
        ? sql.exec<{ id: number; state: string; step: string }>(newest).toArray()
        : [];
      if (row && row.id > after && row.state !== "running") return false;
      if (row && row.id > after && steps.includes(row.step)) return true;
      await new Promise((resolve) => setTimeout(resolve, STEP_POLL_MS));
    }
  }

  dump(): Dump {
    return dumpObject(this.ctx.id.name ?? "", this.ctx.storage);
  }

  /** Returns the rows that repairs have set aside here. */
  aside(): readonly SetAside[] {
    return dumpAside(this.ctx.storage.sql);
  }

  #change(kind: WriteKind, id: string, serial: number): void {
    const { sql } = this.ctx.storage;
    switch (kind) {
      case "put":
        this.#insert("INSERT", id, serial, ACCOUNT_BYTES);
        return this.#addNote(id, serial);
      case "replace":
        return this.#insert("INSERT OR REPLACE", id, serial, ACCOUNT_BYTES);
      case "update":
      case "increment": {
        const amount = kind === "increment" ? "amount + 1" : "amount";
        const found = sql
          .exec(
            `UPDATE accounts SET serial = ?, amount = ${amount} WHERE id = ? RETURNING id`,
            serial,
            id,
          )
          .toArray();
        sql.exec(`UPDATE accounts SET payload = ${PAYLOAD_SQL} WHERE id = ?`, id);
        if (kind === "increment" && found.length > 0) this.#addNote(id, serial);
        return;
      }
      case "remove":
        sql.exec("DELETE FROM accounts WHERE id = ?", id);
    }
  }

  /** Its serial is its amount, so that its whole state follows from how often it was counted up. */
  #countUp(id: string): void {
    const counted =
      "UPDATE accounts SET amount = amount + 1, serial = amount + 1 WHERE id = ? RETURNING serial";
    const { serial } = this.ctx.storage.sql.exec<{ serial: number }>(counted, id).one();
    this.ctx.storage.sql.exec(`UPDATE accounts SET payload = ${PAYLOAD_SQL} WHERE id = ?`, id);
    this.#addNote(id, serial);
  }

  #insert(verb: string, id: string, serial: number, size: number): void {
    // The values of a version's own columns follow from two that all versions have.
    const added = addedColumns(VERSION).map(({ column }) => column);
    const columns = ["stated", "stated_by", ...added];
    const values = ["serial", String(VERSION), ...added.map(() => "'by ' || serial")];
    const updates = columns.map((column) => `, ${column} = excluded.${column}`).join("");
    const conflict =
      verb === "INSERT"
        ? `ON CONFLICT (id) DO UPDATE SET serial = excluded.serial, payload = excluded.payload${updates}`
        : "";
    this.ctx.storage.sql.exec(
      `${verb} INTO accounts (id, region, grp, amount, serial, size, payload, ${columns.join(", ")})
       SELECT ?1, ?2, ?3, 0, serial, size, ${PAYLOAD_SQL}, ${values.join(", ")} FROM (SELECT CAST(?4 AS INTEGER) AS serial, CAST(?5 AS INTEGER) AS size) WHERE true ${conflict}`,
      id,
      regionOf(id),
      groupOf(id),
      serial,
      size,
    );
  }

  #addNote(id: string, serial: number): void {
    const { sql } = this.ctx.storage;
    sql.exec("INSERT INTO notes (account, serial) VALUES (?, ?)", id, serial);
    sql.exec(
      `DELETE FROM notes WHERE account = ?1 AND serial NOT IN (SELECT serial FROM notes WHERE account = ?1 ORDER BY serial DESC LIMIT ${NOTES_MAX})`,
      id,
    );
  }

  #travel(kind: string): Promise<void> {
    const latencyMs = this.env.LATENCY_MS * (SLOW.has(kind) ? SLOW_FACTOR : 1);
    return new Promise((resolve) => setTimeout(resolve, Math.random() * latencyMs));
  }
}

/** Each one per isolate: its cached layout is stale after every cutover. */
let router: Router<Ledger> | undefined;
const fanOutRouters = new Map<boolean, Router<Ledger>>();

interface WriteBody {
  readonly kind: WriteKind | "read";
  readonly id: string;
  readonly serial: number;
  /**
   * The layout cached by a caller on another machine, which no kill reaches: stale most of the
   * time.
   */
  readonly known: LayoutReply | null;
  /** True for a caller who knows no layout yet, whoever has called before. */
  readonly isStranger?: boolean;
}

async function callOwner(
  env: CrashEnv,
  { kind, id, serial, known, isStranger = false }: WriteBody,
): Promise<unknown> {
  const [method, args] =
    kind === "read" ? (["readAccount", [id]] as const) : (["write", [kind, id, serial]] as const);
  const call = async (view: LayoutView): Promise<unknown> => {
    if (view.layout.kind !== "roundRobin")
      return view.callOwner((shardKey) => keyOf(id, shardKey), method, args);
    const answer = await view.callById(
      "accounts",
      id,
      kind === "put" || kind === "replace",
      method,
      args,
    );
    return answer ?? stateText(null); // not in the directory: there is no such account
  };
  if (known !== null) {
    try {
      return await call(
        new LayoutView(known.layout, known.epoch, PARTITIONERS, (member, request) =>
          ask(env, member, request),
        ),
      );
    } catch (error) {
      if (!(error instanceof RefusedError) || !error.reason.retryable) throw error;
    }
  }
  if (isStranger)
    return connect<Ledger>(env.LEDGER, NAMESPACE, { partitioners: PARTITIONERS }).attempt(call);
  router ??= connect<Ledger>(env.LEDGER, NAMESPACE, { partitioners: PARTITIONERS });
  return router.attempt(call);
}

interface FanOutBody {
  readonly serial: number;
  readonly mayRunTwice: boolean;
}

function callAll(env: CrashEnv, { serial, mayRunTwice }: FanOutBody): Promise<unknown> {
  const known = fanOutRouters.get(mayRunTwice);
  const fanOutRouter =
    known ??
    connect<Ledger>(env.LEDGER, NAMESPACE, {
      partitioners: PARTITIONERS,
      retryUnanswered: mayRunTwice,
    });
  fanOutRouters.set(mayRunTwice, fanOutRouter);
  return fanOutRouter.callAll("tally", serial);
}

/**
 * Every account with its state, as a query over all shards finds it for a caller who knows no
 * layout yet.
 */
async function queryAll(env: CrashEnv): Promise<(readonly [string, string])[]> {
  const stranger = connect<Ledger>(env.LEDGER, NAMESPACE, { partitioners: PARTITIONERS });
  const { data } = await stranger.queryShards({
    query: ACCOUNTS_SQL,
    aggregation: "concat",
    // The notes of an account are where it is, and each shard's own order will do.
    unsafePerShard: true,
  });
  return (data as unknown as AccountRow[]).map(toState);
}

/** @throws RefusedError when the object says no. */
async function ask<Reply>(env: CrashEnv, member: string, request: unknown): Promise<Reply> {
  const envelope = { protocol: PROTOCOL_VERSION, namespace: NAMESPACE, member, request } as const;
  const reply = (await env.LEDGER.getByName(member).shardctl(envelope)) as ProtocolReply<unknown>;
  if (reply.ok) return reply.value as Reply;
  throw new RefusedError(reply.failure);
}

async function untilStep(
  env: CrashEnv,
  { after, steps }: { readonly after: number; readonly steps: readonly string[] },
): Promise<boolean> {
  return env.LEDGER.getByName(NAMESPACE).untilStep(after, steps);
}

async function answerRequest(request: Request, env: CrashEnv): Promise<unknown> {
  const body: unknown = await request.json();
  switch (new URL(request.url).pathname) {
    case "/write":
      return callOwner(env, body as WriteBody);
    case "/all":
      return callAll(env, body as FanOutBody);
    case "/query":
      return queryAll(env);
    case "/aside":
      return env.LEDGER.getByName((body as { readonly member: string }).member).aside();
    case "/root":
      return ask(env, NAMESPACE, body);
    case "/fill":
      await env.LEDGER.getByName(NAMESPACE).fill((body as { readonly ids: readonly string[] }).ids);
      return null;
    case "/untilStep":
      return untilStep(env, body as { readonly after: number; readonly steps: readonly string[] });
    case "/dump":
      return env.LEDGER.getByName((body as { readonly member: string }).member).dump();
    case "/idOf":
      return env.LEDGER.idFromName((body as { readonly member: string }).member).toString();
    default:
      throw new Error(`No such route: ${request.url}`);
  }
}

export default {
  /**
   * 200 with the answer; 409 when it was refused, so that nothing has run; 500 when nobody knows.
   */
  async fetch(request: Request, env: CrashEnv): Promise<Response> {
    try {
      if (request.method !== "POST") return new Response("ready");
      return Response.json({ answer: await answerRequest(request, env) });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof RefusedError)
        return Response.json({ error: message, reason: error.reason.kind }, { status: 409 });
      return Response.json({ error: message }, { status: 500 });
    }
  },
};
