/**
 * A class of which tests deploy one version after the other: what its constructor does stands in
 * `versions`, by namespace, and the objects are aborted so that they start anew.
 */
import { DurableObject } from "cloudflare:workers";

import type { Envelope } from "../../src/model/wire/protocol.ts";
import {
  ShardHost,
  type ShardHostOptions,
  ShardedObject,
  type TableSpec,
} from "../../src/shards/index.ts";

/**
 * Where the host is made: as a field, before the migration; after it; before or after a migration
 * in `blockConcurrencyWhile` has begun; inside of it; or when it is first used.
 */
export const ORDERS = ["field", "after", "async", "asyncAfter", "asyncLast", "lazy"] as const;
export type Order = (typeof ORDERS)[number];

export interface Version {
  readonly order: Order;
  readonly tables: readonly TableSpec[];
  readonly checkKeys?: ShardHostOptions["checkKeys"];
  /** The body of the constructor. */
  migrate(storage: DurableObjectStorage): void;
}

/** The running versions, by the namespace's name. */
export const versions = new Map<string, Version>();

function versionOf(name: string): Version {
  const found = [...versions].find(
    ([namespace]) => name === namespace || name.startsWith(`${namespace}-`),
  );
  if (!found) throw new Error(`No version of ${name} is deployed`);
  return found[1];
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

export class Deployed extends DurableObject<unknown> {
  readonly #version: Version;
  #host: ShardHost | undefined;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    const name = ctx.id.name ?? "";
    const version = (this.#version = versionOf(name));
    const migrate = (): void => ctx.storage.transactionSync(() => version.migrate(ctx.storage));
    const migrateSlowly = async (): Promise<void> => {
      await pause();
      migrate();
      await pause();
    };
    const { order } = version;
    if (order === "field" || order === "async") void this.shards;
    if (order === "field" || order === "after" || order === "lazy") migrate();
    else {
      void ctx.blockConcurrencyWhile(async () => {
        await migrateSlowly();
        if (order === "asyncLast") void this.shards;
      });
    }
    if (order === "after" || order === "asyncAfter") void this.shards;
  }

  get shards(): ShardHost {
    const { tables, checkKeys = "all" } = this.#version;
    return (this.#host ??= new ShardHost(this.ctx, this, { tables, checkKeys }));
  }

  shardctl(envelope: Envelope): Promise<unknown> {
    return this.shards.handle(envelope);
  }

  override alarm(): Promise<void> {
    return this.shards.onAlarm();
  }

  override fetch(): Response {
    this.write("INSERT INTO items (id, region) VALUES ('fetched', 'r1')");
    return new Response("stored");
  }

  /** A routed call, or one by its own code. */
  write(statement: string, ...params: readonly (string | number | null)[]): void {
    this.ctx.storage.sql.exec(statement, ...params);
  }

  read(query: string): Record<string, SqlStorageValue>[] {
    return this.ctx.storage.sql.exec(query).toArray();
  }
}

/** The same with the base class, whose host is made in the midst of an asynchronous migration. */
export class DeployedSharded extends ShardedObject {
  override shards!: ShardHost;

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    const version = versionOf(ctx.id.name ?? "");
    void ctx.blockConcurrencyWhile(async () => {
      await pause();
      this.shards = this.createHost({ tables: version.tables });
      await pause();
      ctx.storage.transactionSync(() => version.migrate(ctx.storage));
      await pause();
    });
  }

  write(statement: string): void {
    this.ctx.storage.sql.exec(statement);
  }

  read(query: string): Record<string, SqlStorageValue>[] {
    return this.ctx.storage.sql.exec(query).toArray();
  }
}
