/**
 * A class whose schema is kept by a migrator: the host's own, drizzle-orm's or kysely's. Tests
 * deploy one version after the other: the steps of a namespace stand in a map, and its objects are
 * aborted so that they start anew.
 */
import { drizzle } from "drizzle-orm/durable-sqlite";
import { migrate } from "drizzle-orm/durable-sqlite/migrator";
import { Kysely, sql } from "kysely";
import { Migrator } from "kysely/migration";

import { type Migration, ShardedObject } from "../../src/shards/index.ts";
import { durableObjectDialect } from "./kysely-dialect.ts";

export const MIGRATORS = ["host", "drizzle", "kysely"] as const;
export type MigratorName = (typeof MIGRATORS)[number];

/** One step, as statements that each of the migrators can run. */
export interface Step {
  /** Begins with a number, by which the steps are in order. */
  readonly id: string;
  readonly up: readonly string[];
  readonly backfill?: readonly string[];
}

interface Deployment {
  readonly migrator: MigratorName;
  readonly steps: readonly Step[];
}

const deployments = new Map<string, Deployment>();

/** Deploys these steps to the objects of one namespace. Each has them from its next start on. */
export function deploySteps(
  namespace: string,
  migrator: MigratorName,
  steps: readonly Step[],
): void {
  deployments.set(namespace, { migrator, steps });
}

/** Where each migrator notes what has run, and what one note is. */
export const NOTES: Readonly<Record<MigratorName, string>> = {
  host: "SELECT id FROM shardctl_migrations ORDER BY at",
  drizzle: "SELECT created_at AS id FROM __drizzle_migrations ORDER BY created_at",
  kysely: "SELECT name AS id FROM kysely_migration ORDER BY timestamp, name",
};

export class Migrated extends ShardedObject {
  override readonly shards = this.createHost({ tables: [{ name: "docs" }] });

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    const name = ctx.id.name ?? "";
    const found = [...deployments].find(
      ([namespace]) => name === namespace || name.startsWith(`${namespace}-`),
    );
    if (!found) throw new Error(`No steps are deployed for ${name}`);
    const [, { migrator, steps }] = found;
    if (migrator === "host") this.shards.migrate(steps.map((step) => hostStep(step)));
    else
      void ctx.blockConcurrencyWhile(() =>
        (migrator === "drizzle" ? runDrizzle : runKysely)(ctx, steps),
      );
  }

  /** A call of a user. */
  put(id: string, region: string): void {
    this.ctx.storage.sql.exec("INSERT INTO docs (id, region) VALUES (?, ?)", id, region);
  }

  /** A call too late for it. */
  migrateLate(): void {
    this.shards.migrate([]);
  }
}

function hostStep({ id, up, backfill }: Step): Migration {
  const run = (statements: readonly string[]) => (storage: SqlStorage) => {
    for (const statement of statements) storage.exec(statement);
  };
  return backfill ? { id, up: run(up), backfill: run(backfill) } : { id, up: run(up) };
}

async function runDrizzle(ctx: DurableObjectState, steps: readonly Step[]): Promise<void> {
  const entries = steps.map(({ id }, idx) => ({
    idx,
    when: Number.parseFloat(id) * 10,
    tag: id,
    breakpoints: true,
  }));
  const texts = steps.map(({ up, backfill = [] }, index) => [
    `m${String(index).padStart(4, "0")}`,
    [...up, ...backfill].join("--> statement-breakpoint\n"),
  ]);
  await migrate(drizzle(ctx.storage), {
    journal: { entries },
    migrations: Object.fromEntries(texts),
  });
}

async function runKysely(ctx: DurableObjectState, steps: readonly Step[]): Promise<void> {
  const db = new Kysely<unknown>({ dialect: durableObjectDialect(ctx.storage) });
  const migrations = steps.map(({ id, up, backfill = [] }) => {
    const step = {
      up: async (on: Kysely<unknown>): Promise<void> => {
        for (const statement of [...up, ...backfill]) await sql.raw(statement).execute(on);
      },
    };
    return [id, step] as const;
  });
  const provider = { getMigrations: async () => Object.fromEntries(migrations) };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  if (error !== undefined) throw new Error("kysely's migrator failed", { cause: error });
}
