/**
 * The objects of the benchmark: the library's ready-made class, with the two ways to copy that it
 * is measured beside.
 */
import { type Envelope, type ProtocolReply, ThingsObject } from "../../../../src/shards/index.ts";
import type { BenchEnv } from "./env.ts";
import { markEnd, markStart } from "./marks.ts";
import { meterStatements } from "./meter.ts";
import { noteProtocol } from "./spoken-protocol.ts";
import { copyAllNaively, copyAllPlainly, insertPage, insertRows } from "./references.ts";

export class Things extends ThingsObject<BenchEnv> {
  override async shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    const { kind } = envelope.request as { readonly kind: string };
    noteProtocol(envelope.protocol);
    markStart(kind);
    const reply = await super.shardctl(envelope);
    markEnd(kind);
    return reply;
  }

  /**
   * Makes things `from` … `to - 1` here, about 200 bytes each; no value passes through JavaScript.
   */
  fill(from: number, to: number): void {
    this.ctx.storage.sql.exec(
      `INSERT INTO things (id, type, name, data, visibility, createdAt, updatedAt)
       WITH RECURSIVE numbers (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2)
       SELECT printf('thing-%08d', n), 'city', 'City number ' || n,
         json_object('country', 'c' || (n % 199), 'population', n * 17 % 9999999, 'text', printf('%090d', n * 7919)),
         'private', 1700000000000 + n, 1700000000000
       FROM numbers`,
      from,
      to,
    );
  }

  /** Everything that the object stores is gone, its alarm too. The name is not used again. */
  async wipe(): Promise<void> {
    await this.ctx.storage.deleteAll();
  }

  /** Rows, and bytes of their values. */
  measureThings(): { readonly rows: number; readonly bytes: number } {
    const columns = ["id", "type", "name", "data", "visibility", "createdAt", "updatedAt"];
    const bytes = columns.map((column) => `coalesce(octet_length(${column}), 0)`).join(" + ");
    const found = this.ctx.storage.sql
      .exec(`SELECT count(*) AS n, sum(${bytes}) AS bytes FROM things`)
      .one();
    return { rows: Number(found["n"]), bytes: Number(found["bytes"]) };
  }

  /** Where a call through the router ran. */
  nameHere(): string {
    return this.ctx.id.name ?? "";
  }

  /** Calls the owner of another key, and answers what it has there. */
  async getBeside(id: string): Promise<unknown> {
    return this.shards.router<Things>().at(id).getHere(id);
  }

  /** A method that runs for long and does nothing. */
  async waitHere(durationMs: number): Promise<true> {
    await new Promise((resolve) => setTimeout(resolve, durationMs));
    return true;
  }

  /** Answers a query as a class without the library would. */
  select(query: string): Record<string, SqlStorageValue>[] {
    return this.ctx.storage.sql.exec(query).toArray();
  }

  copyPlainly(targets: readonly string[]): Promise<void> {
    return copyAllPlainly(this.ctx.storage.sql, targets, async (target, page) =>
      this.env.THINGS.getByName(target).insertPage(page),
    );
  }

  insertPage(page: string): void {
    insertPage(this.ctx.storage.sql, page);
  }

  copyNaively(targets: readonly string[]): Promise<void> {
    return copyAllNaively(this.ctx.storage.sql, targets, async (target, body) => {
      const response = await this.env.THINGS.getByName(target).fetch("https://object/", {
        method: "POST",
        body,
      });
      if (!response.ok) throw new Error(`${target} answered ${response.status}`);
    });
  }

  /** The naive way's other end. */
  override async fetch(request: Request): Promise<Response> {
    insertRows(this.ctx.storage.sql, await request.json());
    return new Response("ok");
  }
}

/** The same, with every statement's rows read and written added up. */
export class Metered extends Things {
  constructor(ctx: DurableObjectState, env: BenchEnv) {
    meterStatements(ctx.storage.sql);
    super(ctx, env);
  }
}
