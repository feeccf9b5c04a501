/**
 * The Worker of the library's tests: things, a shop with tables of its own, one class for many
 * schemas, and one without a binding.
 */
import { DurableObject } from "cloudflare:workers";

import {
  type Envelope,
  type Partitioners,
  type ProtocolReply,
  RefusedError,
  ShardHost as NewShardHost,
  type ShardHost,
  type ShardHostOptions,
  ShardedObject,
  type StoredEvent,
  ThingsObject,
} from "../../src/shards/index.ts";
import { connect } from "../../src/shards/router.ts";
import { ShardHost as OldShardHost } from "../fixtures/old-library.js";
import { caseTables } from "./case-tables.ts";
import type { Deployed, DeployedSharded } from "./deployed.ts";
import type { Migrated } from "./migrated.ts";

export { Deployed, DeployedSharded } from "./deployed.ts";
export { Migrated } from "./migrated.ts";

export interface ShardsEnv {
  readonly THINGS: DurableObjectNamespace<Things>;
  readonly COURIER: DurableObjectNamespace<Courier>;
  readonly SHOP: DurableObjectNamespace<Shop>;
  readonly LONELY: DurableObjectNamespace<Lonely>;
  readonly CASES: DurableObjectNamespace<Cases>;
  readonly TIMERS: DurableObjectNamespace<Timers>;
  readonly DEPLOYED: DurableObjectNamespace<Deployed>;
  readonly DEPLOYED_SHARDED: DurableObjectNamespace<DeployedSharded>;
  readonly MIXED: DurableObjectNamespace<Mixed>;
  readonly MIGRATED: DurableObjectNamespace<Migrated>;
}

/**
 * The next call of a path: by the host's own router, or by one of its own to a namespace, as a
 * caller outside would have it.
 */
export interface Hop {
  readonly key: string;
  readonly connectTo?: string;
  /**
   * True has a plain object make it, which passes no mark on: nobody can tell that it is nested.
   */
  readonly isCarried?: boolean;
  /** True leaves the call to itself: the caller does not wait for it. */
  readonly isDetached?: boolean;
}

/**
 * Calls of `waitFor` that may end, by the name that they wait for. Objects and tests share one
 * isolate.
 */
export const openedGates = new Set<string>();
/** Calls of `waitFor` that have begun. */
export const reachedGates = new Set<string>();

/** Callbacks of `onEvent`, per namespace, in the order in which they came. */
export const heardEvents = new Map<string, StoredEvent[]>();

export class Things extends ThingsObject<ShardsEnv> {
  protected override createHost(options: ShardHostOptions): ShardHost {
    const onEvent = (event: StoredEvent): void => {
      const name = this.ctx.id.name ?? "";
      heardEvents.set(name, [...(heardEvents.get(name) ?? []), event]);
    };
    return super.createHost({ ...options, partitioners, onEvent });
  }

  /** A call that reports where it ran: what a router's tests need to see. */
  whereAmI(): string {
    return this.ctx.id.name ?? "";
  }

  /** A call that writes, and then lets a refusal of another call escape. */
  putAndBeRefused(id: string): void {
    if (this.getHere(id) !== null) throw new Error("This has run before");
    this.putHere([
      { id, type: "", name: null, data: {}, visibility: "private", createdAt: 1, updatedAt: 1 },
    ]);
    throw new RefusedError({
      kind: "moving",
      message: "Another member is being moved",
      retryable: true,
    });
  }

  /**
   * Calls the owner of the path's first key, which calls the next one's, each after a wait. Gives
   * where they ran.
   */
  async callAlong(path: readonly Hop[], waitMs = 0): Promise<string[]> {
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const here = this.whereAmI();
    const [next, ...rest] = path;
    if (next === undefined) return [here];
    if (next.isCarried) {
      const courier = this.env.COURIER.get(this.env.COURIER.idFromName(next.connectTo ?? ""));
      return [here, ...(await courier.carry(next, rest, waitMs))];
    }
    const router =
      next.connectTo === undefined
        ? this.shards.router<Things>()
        : connect<Things>(this.env.THINGS, next.connectTo);
    const called = router.at(next.key).callAlong(rest, waitMs);
    if (!next.isDetached) return [here, ...(await called)];
    this.ctx.waitUntil(called.catch(() => undefined));
    return [here];
  }

  /** A call that runs until its gate is opened. */
  async waitFor(gate: string): Promise<string> {
    reachedGates.add(gate);
    while (!openedGates.has(gate)) await new Promise((resolve) => setTimeout(resolve, 5));
    return this.whereAmI();
  }

  /** A call that is still running while its member is being fenced. */
  async putSlowly(id: string, country: string, waitMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    this.putHere([
      {
        id,
        type: "",
        name: null,
        data: { country },
        visibility: "private",
        createdAt: 1,
        updatedAt: 1,
      },
    ]);
  }
}

/** A class without a host: what it is asked to call looks like the call of a caller outside. */
export class Courier extends DurableObject<ShardsEnv> {
  carry({ key, connectTo = "" }: Hop, rest: readonly Hop[], waitMs: number): Promise<string[]> {
    return connect<Things>(this.env.THINGS, connectTo).at(key).callAlong(rest, waitMs);
  }
}

/** Cannot find its own binding: nothing can be sharded. */
export class Lonely extends ThingsObject<ShardsEnv> {
  protected override get namespace(): null {
    return null;
  }
}

export const partitioners: Partitioners = {
  byRegion: { version: 1, owner: (key, count) => (key.text.startsWith("eu") ? 0 : count - 1) },
  broken: { version: 1, owner: () => 99 },
  byTail: [
    { version: 1, owner: (key, count) => key.text.length % count },
    { version: 2, owner: (key, count) => Number(key.text.at(-1) ?? 0) % count },
  ],
};

/** Tables by the object's own name: see case-tables.ts. */
export class Cases extends ShardedObject<ShardsEnv> {
  override readonly shards = this.createHost({
    tables: caseTables(this.ctx.id.name).tables,
    checkKeys: caseTables(this.ctx.id.name).checkKeys ?? "all",
    partitioners,
  });

  constructor(ctx: DurableObjectState, env: ShardsEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(caseTables(ctx.id.name).ddl);
  }

  /** Runs one statement of the user, on the member that the router found. */
  write(statement: string, ...params: readonly (string | number | null | ArrayBuffer)[]): void {
    this.ctx.storage.sql.exec(statement, ...params);
  }
}

/**
 * The worked example of the README: customers, their orders, and the lines of the orders, all
 * sharded by customer.
 */
export class Shop extends ShardedObject<ShardsEnv> {
  override readonly shards = this.createHost({
    tables: [
      { name: "customers", shardKeys: { customer_id: "id" } },
      { name: "orders" },
      { name: "order_lines", follows: "orders", by: "order_id" },
    ],
    partitioners,
  });

  constructor(ctx: DurableObjectState, env: ShardsEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, name TEXT, region TEXT);
      CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer_id TEXT NOT NULL, total REAL, note, reference TEXT UNIQUE, doubled REAL GENERATED ALWAYS AS (total * 2));
      CREATE TABLE IF NOT EXISTS order_lines (order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE, line INTEGER NOT NULL, sku TEXT, payload, PRIMARY KEY (order_id, line));
      CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer_id);
      CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, what TEXT);
      CREATE TRIGGER IF NOT EXISTS orders_audit AFTER INSERT ON orders BEGIN INSERT INTO audit (what) VALUES ('order ' || NEW.id); END;
    `);
  }

  addOrder(order: {
    readonly id: number;
    readonly customer: string;
    readonly total: number;
    readonly lines: readonly string[];
  }): void {
    this.ctx.storage.transactionSync(() => {
      const { sql } = this.ctx.storage;
      sql.exec(
        "INSERT OR IGNORE INTO customers (id, name, region) VALUES (?, ?, 'eu-west')",
        order.customer,
        order.customer,
      );
      sql.exec(
        "INSERT INTO orders (id, customer_id, total) VALUES (?, ?, ?)",
        order.id,
        order.customer,
        order.total,
      );
      order.lines.forEach((sku, line) =>
        sql.exec(
          "INSERT INTO order_lines (order_id, line, sku) VALUES (?, ?, ?)",
          order.id,
          line,
          sku,
        ),
      );
    });
  }

  ordersOf(customer: string): number[] {
    return this.ctx.storage.sql
      .exec("SELECT id FROM orders WHERE customer_id = ? ORDER BY id", customer)
      .toArray()
      .map((row) => Number(row["id"]));
  }
}

/** Sets alarms of its own, as if the host needed none, and notes when they are served. */
export class Timers extends ShardedObject<ShardsEnv> {
  override readonly shards = this.createHost({
    tables: [{ name: "items" }],
    localTables: ["served"],
  });

  constructor(ctx: DurableObjectState, env: ShardsEnv) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY)");
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS served (at INTEGER)");
  }

  protected override onAlarm(): void {
    this.ctx.storage.sql.exec("INSERT INTO served (at) VALUES (?)", Date.now());
  }
}

/** Objects that run the library of an older commit from their next start on, by name. */
export const oldObjects = new Set<string>();

/**
 * Runs one of two versions of the library, as its name is among `oldObjects` or not when it starts.
 */
export class Mixed extends DurableObject<ShardsEnv> {
  readonly isOld = oldObjects.has(this.ctx.id.name ?? "");
  readonly shards = new (this.isOld ? OldShardHost : NewShardHost)(this.ctx, this, {
    tables: [{ name: "items" }],
  });

  constructor(ctx: DurableObjectState, env: ShardsEnv) {
    super(ctx, env);
    ctx.storage.sql.exec(
      "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, grp TEXT NOT NULL, n INTEGER NOT NULL)",
    );
  }

  shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    return this.shards.handle(envelope);
  }

  override alarm(): Promise<void> {
    return this.shards.onAlarm();
  }

  put(id: string, grp: string, n: number): void {
    this.ctx.storage.sql.exec(
      "INSERT OR REPLACE INTO items (id, grp, n) VALUES (?, ?, ?)",
      id,
      grp,
      n,
    );
  }

  get(id: string): number | null {
    return (
      this.ctx.storage.sql.exec<{ n: number }>("SELECT n FROM items WHERE id = ?", id).toArray()[0]
        ?.n ?? null
    );
  }
}

export default {
  fetch(): Response {
    return new Response("ok");
  },
};
