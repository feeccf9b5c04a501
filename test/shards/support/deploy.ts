/** Namespaces of the class `Deployed`, of which a test deploys one version after the other. */
import { env } from "cloudflare:workers";

import { type Router, connect } from "../../../src/shards/router.ts";
import type { ShardedObject, TableSpec } from "../../../src/shards/index.ts";
import type { Deployed, Order, Version } from "../../support/deployed.ts";
import { versions } from "../../support/deployed.ts";
import type { ShardsEnv } from "../../support/shards-worker.ts";
import { TestNamespace } from "./namespace.ts";

export type Migrate = Version["migrate"];

/** Statements one by one, as a constructor runs them. */
export function statements(...list: readonly string[]): Migrate {
  return ({ sql }) => {
    for (const statement of list) sql.exec(statement).toArray();
  };
}

/** True when the object has the table, or the column of it. */
export function has({ sql }: DurableObjectStorage, table: string, column?: string): boolean {
  const columns = sql.exec<{ name: string }>(`PRAGMA table_xinfo("${table}")`).toArray();
  return column === undefined ? columns.length > 0 : columns.some(({ name }) => name === column);
}

export const ITEMS = "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, region TEXT)";

/**
 * A column, and a value in every row: what the issue of a deploy that never starts again began
 * with.
 */
export const BACKFILL: Migrate = (storage) => {
  storage.sql.exec(ITEMS);
  if (has(storage, "items", "status")) return;
  storage.sql.exec("ALTER TABLE items ADD COLUMN status TEXT");
  storage.sql.exec("UPDATE items SET status = 'new' WHERE status IS NULL");
};

export class DeployedNamespace extends TestNamespace<Deployed & ShardedObject> {
  readonly router: Router<Deployed>;

  constructor(
    name: string,
    order: Order,
    migrate: Migrate,
    tables: readonly TableSpec[] = [{ name: "items" }],
  ) {
    const { DEPLOYED, DEPLOYED_SHARDED } = env as unknown as ShardsEnv;
    const binding = name.startsWith("base") ? DEPLOYED_SHARDED : DEPLOYED;
    super(binding, name);
    versions.set(name, { order, tables, migrate });
    this.router = connect<Deployed>(binding, name);
  }

  /** Deploys the next version to these objects: they start anew, each in its old state. */
  async deploy(
    migrate: Migrate,
    members: readonly string[],
    order?: Order,
    options: Partial<Pick<Version, "tables" | "checkKeys">> = {},
  ): Promise<void> {
    const before = versions.get(this.name);
    if (!before) throw new Error(`${this.name} was never deployed`);
    versions.set(this.name, { ...before, ...options, order: order ?? before.order, migrate });
    for (const member of members) await this.abort(member);
  }

  async load(rows: number): Promise<void> {
    const values = Array.from({ length: rows }, (_, index) => `('i${index}', 'r${index % 5}')`);
    await this.sql(this.name, `INSERT INTO items (id, region) VALUES ${values.join(", ")}`);
  }

  /** The root and the members of the live layout. */
  async everybody(): Promise<string[]> {
    return [...new Set([this.name, ...(await this.live()).layout.members])];
  }

  /** Every id on every member, sorted. */
  async ids(): Promise<string[]> {
    const { layout } = await this.live();
    const rows = await Promise.all(
      layout.members.map((member) => this.sql(member, "SELECT id FROM items")),
    );
    return rows
      .flat()
      .map((row) => row["id"] as string)
      .toSorted();
  }
}
