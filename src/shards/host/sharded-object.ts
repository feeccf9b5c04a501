/**
 * A base class for objects of a sharded namespace: `ShardHost` with its two delegate methods
 * already written.
 */
import { DurableObject } from "cloudflare:workers";

import type { Envelope, ProtocolReply } from "../../model/wire/protocol.ts";
import { countSections } from "./start-up.ts";
import { ShardHost, type ShardHostOptions } from "./shard-host.ts";

/**
 * Extend it, create your tables, then give the host what it needs:
 *
 *     export class Orders extends ShardedObject<Env> {
 *       readonly shards = this.createHost({ tables: [{ name: "orders" }] });
 *     }
 */
export abstract class ShardedObject<Env = unknown> extends DurableObject<Env> {
  abstract readonly shards: ShardHost;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    countSections(ctx);
  }

  /**
   * Answers one message of the wire protocol. Called by routers, by other objects of the namespace
   * and by the control half.
   */
  shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    return this.shards.handle(envelope);
  }

  override alarm(): Promise<void> {
    const isOverridden = this.onAlarm !== ShardedObject.prototype.onAlarm;
    return this.shards.onAlarm(isOverridden ? () => this.onAlarm() : undefined);
  }

  /**
   * The object's own alarm, set by `this.ctx.storage.setAlarm`. Override it; `alarm` itself serves
   * the host too.
   */
  protected onAlarm(): void | Promise<void> {}

  protected createHost(options: ShardHostOptions): ShardHost {
    return new ShardHost(this.ctx, this, options);
  }
}
