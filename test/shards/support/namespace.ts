/**
 * A namespace on the real runtime as tests see it: the protocol from outside, and every object's
 * database from inside.
 *
 * Rows are compared as SQLite has them (storage class and exact bytes), never through JavaScript
 * numbers.
 */
import { runInDurableObject } from "cloudflare:test";

import { type Layout, shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import {
  operationModeFor,
  shiftMembers,
  swapGeneration,
} from "../../../src/model/operation-mode.ts";
import {
  DEFAULT_OPERATION_POLICY,
  type OperationKind,
  type OperationPolicy,
  type OperationStatus,
} from "../../../src/model/operation.ts";
import type { ProtocolReply } from "../../../src/model/wire/protocol.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import type { MemberRequest, ReplyTo } from "../../../src/shards/protocol/messages.ts";
import type { LayoutReply } from "../../../src/shards/protocol/replies.ts";
import type { ShardHost } from "../../../src/shards/index.ts";

/** Polls of one operation; with the pause in between, about a minute. */
const POLLS_MAX = 2_400;
const POLL_PAUSE_MS = 25;
/**
 * An operation is woken after this many polls: an object that was aborted in its alarm gets it back
 * only after seconds.
 */
const POLLS_PER_POKE = 12;
const ASKS_MAX = 20;
/** The oldest that is spoken: objects of either version take it. */
const PROTOCOL = 1;

type Row = Record<string, SqlStorageValue>;

/** Any class of a sharded namespace. */
type Sharded = Rpc.DurableObjectBranded & { readonly shards: ShardHost };

export class TestNamespace<Class extends Sharded> {
  readonly binding: DurableObjectNamespace<Class>;
  readonly name: string;

  constructor(binding: DurableObjectNamespace<Class>, name: string) {
    this.binding = binding;
    this.name = name;
  }

  /** A new stub every time: one is dead after its object was aborted. */
  stub(member = this.name): DurableObjectStub<Class> {
    return this.binding.get(this.binding.idFromName(member));
  }

  inside<Value>(
    member: string,
    work: (object: Class, state: DurableObjectState) => Value | Promise<Value>,
  ): Promise<Value> {
    return runInDurableObject(
      this.stub(member) as DurableObjectStub<never>,
      work as (object: never, state: DurableObjectState) => Value,
    );
  }

  sql(
    member: string,
    query: string,
    ...params: (string | number | null | ArrayBuffer)[]
  ): Promise<Row[]> {
    return this.inside(member, (_, state) =>
      state.storage.sql.exec<Row>(query, ...params).toArray(),
    );
  }

  /** Writes where keys are not checked, as a constructor does: rows of other members. */
  stray(
    member: string,
    query: string,
    ...params: (string | number | null | ArrayBuffer)[]
  ): Promise<void> {
    return this.inside(member, (_, { storage: { sql } }) => {
      sql.exec("PRAGMA legacy_alter_table = OFF");
      sql.exec(query, ...params);
      sql.exec("PRAGMA legacy_alter_table = ON");
    });
  }

  /**
   * Asks again while the object does not answer, as it may just be killed. @throws Error with its
   * own words when it refuses.
   */
  async ask<const Request extends MemberRequest>(
    request: Request,
    member = this.name,
  ): Promise<ReplyTo<Request>> {
    const reply = await this.#send(request, member);
    if (reply.ok) return reply.value;
    throw new Error(reply.failure.message);
  }

  async #send<const Request extends MemberRequest>(
    request: Request,
    member: string,
  ): Promise<ProtocolReply<ReplyTo<Request>>> {
    for (let tries = 1; ; tries++) {
      const endpoint = this.stub(member) as unknown as {
        shardctl(envelope: object): Promise<ProtocolReply<ReplyTo<Request>>>;
      };
      try {
        return await endpoint.shardctl({
          protocol: PROTOCOL,
          namespace: this.name,
          member,
          request,
        });
      } catch (error) {
        if (tries >= ASKS_MAX) throw error;
        await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE_MS));
      }
    }
  }

  /**
   * Kills the object where it stands: what it had not yet stored is gone, and so is whatever it was
   * doing.
   */
  async abort(member: string): Promise<void> {
    await this.inside(member, (_, state) => state.abort("a test aborts this object")).catch(
      () => undefined,
    );
  }

  live(): Promise<LayoutReply> {
    return this.ask({ kind: "layout" });
  }

  async start(
    kind: OperationKind,
    to: Layout,
    policy: Partial<OperationPolicy> = {},
  ): Promise<OperationStatus> {
    const { epoch } = await this.live();
    const operation = {
      kind,
      epoch,
      to,
      policy: { ...DEFAULT_OPERATION_POLICY, ...policy },
      correlationId: crypto.randomUUID(),
      requestedBy: "a test",
      refuseEmpty: false,
    };
    return this.ask({ kind: "start", operation });
  }

  /** The operation as it is once `until` is true of it; by default once it has ended. */
  async reached(
    id: number,
    until = (status: OperationStatus): boolean => status.state !== "running",
  ): Promise<OperationStatus> {
    for (let poll = 0; poll < POLLS_MAX; poll++) {
      const status = await this.ask({ kind: "operation", id });
      if (until(status)) return status;
      if (poll % POLLS_PER_POKE === POLLS_PER_POKE - 1)
        await this.ask({ kind: "resolve", operation: id, attempt: 0 });
      await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE_MS));
    }
    throw new Error(
      `Operation ${id} did not get there: ${JSON.stringify(await this.ask({ kind: "operation", id }))}`,
    );
  }

  /**
   * Waits until the root has told every member what it missed; retired members that wait to be
   * emptied may wait on.
   */
  async settled(): Promise<void> {
    for (let poll = 0; poll < POLLS_MAX; poll++) {
      const open = await this.sql(
        this.name,
        "SELECT member FROM shardctl_chores WHERE kind <> 'empty'",
      );
      if (open.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE_MS));
    }
    throw new Error(`Members of ${this.name} were not told that an operation is over`);
  }

  /** Runs an operation to its end. @throws Error unless it completes. */
  async run(
    kind: OperationKind,
    to: Layout,
    policy: Partial<OperationPolicy> = {},
  ): Promise<OperationStatus> {
    const started = await this.start(kind, to, policy);
    const ended = await this.reached(started.id);
    if (ended.state !== "completed")
      throw new Error(`${kind} ended as ${ended.state}: ${ended.fault?.message ?? ""}`);
    return ended;
  }

  /** A hash layout that the live one can go to: with its key a shift, with another a swap. */
  async hashTo(shardKey: string, count: number): Promise<Layout> {
    const { layout } = await this.live();
    if (layout.kind === "hash" && layout.shardKey === shardKey)
      return resizeHashLayout(layout, shiftMembers(this.name, layout, count));
    const generation = swapGeneration(this.name, layout, count);
    return freshHashLayout(shardKey, generation, shardNames(this.name, generation, count));
  }

  async unshardedTo(): Promise<Layout> {
    const { layout } = await this.live();
    return unshardedLayout(this.name, swapGeneration(this.name, layout, 1));
  }

  /** Shards, rebalances or rekeys, whichever leads to a hash by this key. */
  async toHash(
    shardKey: string,
    count: number,
    policy: Partial<OperationPolicy> = {},
  ): Promise<OperationStatus> {
    const { layout } = await this.live();
    const to = await this.hashTo(shardKey, count);
    const kind =
      layout.kind === "none"
        ? "shard"
        : operationModeFor(layout, to) === "shift"
          ? "rebalance"
          : "rekey";
    return this.run(kind, to, policy);
  }

  async unshard(policy: Partial<OperationPolicy> = {}): Promise<OperationStatus> {
    return this.run("unshard", await this.unshardedTo(), policy);
  }

  /**
   * Every row of a table on every member of the live layout, one exact text each, sorted. A row
   * held twice is listed twice.
   */
  async contents(table: string): Promise<string[]> {
    const { layout } = await this.live();
    const perMember = await Promise.all(
      layout.members.map((member) => this.exactRows(member, table)),
    );
    return perMember.flat().toSorted();
  }

  /** Every row of a table on one member. */
  exactRows(member: string, table: string): Promise<string[]> {
    return this.inside(member, async (_, state) => {
      const { sql } = state.storage;
      const columns = sql
        .exec<{ name: string; hidden: number }>(`PRAGMA table_xinfo("${table}")`)
        .toArray()
        .map((column) => column.name);
      const cells = columns.flatMap((column, index) => {
        const name = `"${column.replaceAll('"', '""')}"`;
        return [
          `typeof(${name}) AS t${index}`,
          `CASE WHEN typeof(${name}) IN ('text', 'blob') THEN CAST(${name} AS BLOB) ELSE quote(${name}) END AS v${index}`,
        ];
      });
      const rows: string[] = [];
      for (const row of sql.exec<Row>(`SELECT ${cells.join(", ")} FROM "${table}"`).toArray()) {
        const values = await Promise.all(
          columns.map(
            async (column, index) =>
              `${column}=${row[`t${index}`] as string}:${await exactText(row[`v${index}`])}`,
          ),
        );
        rows.push(values.join(" "));
      }
      return rows;
    });
  }

  /**
   * Returns traces that an ended operation must not leave behind, on these objects and on every
   * member of the live layout. Empty when there are none.
   */
  async leftovers(others: readonly string[] = []): Promise<string[]> {
    if ((await this.live()).epoch > 0) await this.settled();
    const { layout, epoch } = await this.live();
    const found: string[] = [];
    for (const member of new Set([...layout.members, ...others])) {
      const isMember = layout.members.includes(member);
      const traces = await this.inside(member, (_, state) =>
        tracesOf(state.storage.sql, isMember, epoch),
      );
      found.push(...traces.map((trace) => `${member}: ${trace}`));
    }
    const history = await this.ask({ kind: "history", limit: 100 });
    found.push(
      ...history
        .filter((operation) => operation.state === "running")
        .map((operation) => `operation ${operation.id} still runs`),
    );
    return found;
  }
}

const MOVE_RECORDS = [
  "walk",
  "outgoing",
  "sent",
  "received",
  "captured",
  "origin",
  "late",
  "dealt",
];

function tracesOf(sql: SqlStorage, isMember: boolean, epoch: number): string[] {
  const texts = (query: string): string[] =>
    sql
      .exec<{ text: string }>(query)
      .toArray()
      .map((row) => row.text);
  const traces = [
    ...texts(
      "SELECT 'table ' || name AS text FROM sqlite_master WHERE type = 'table' AND name LIKE 'shardctl\\_stage\\_%' ESCAPE '\\'",
    ),
    ...texts(
      "SELECT 'trigger ' || name AS text FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'shardctl\\_capture\\_%' ESCAPE '\\'",
    ),
  ];
  const guards = texts(
    "SELECT 'trigger ' || name AS text FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'shardctl\\_guard\\_%' ESCAPE '\\'",
  );
  if (isMember) traces.push(...guards);
  else if (guards.length === 0) traces.push("no guard, although it is no member");
  if (texts("SELECT name AS text FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
    return epoch === 0 ? [] : [...traces, "no record of its membership"];
  traces.push(...texts("SELECT 'record ' || key AS text FROM shardctl_meta WHERE key = 'moving'"));
  for (const table of MOVE_RECORDS)
    traces.push(
      ...texts(`SELECT 'rows in shardctl_${table}' AS text FROM shardctl_${table} LIMIT 1`),
    );
  const membership = texts("SELECT value AS text FROM shardctl_meta WHERE key = 'membership'").map(
    (text) => JSON.parse(text) as { epoch: number; serving: boolean },
  )[0];
  if (isMember && !(membership?.serving ?? epoch === 0))
    traces.push("does not serve, although it is a member");
  if (isMember && (membership?.epoch ?? 0) !== epoch)
    traces.push(`is at epoch ${membership?.epoch}, the registry at ${epoch}`);
  if (!isMember && membership?.serving) traces.push("serves, although it is no member");
  return traces;
}

const TEXT_MAX = 200;

async function exactText(value: SqlStorageValue | undefined): Promise<string> {
  if (!(value instanceof ArrayBuffer)) return String(value);
  const bytes = new Uint8Array(
    value.byteLength <= TEXT_MAX ? value : await crypto.subtle.digest("SHA-256", value),
  );
  return `${value.byteLength}:${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
