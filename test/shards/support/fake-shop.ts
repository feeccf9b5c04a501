/** A class over the fake runtime: items by id, and an alarm of its own. */
import type { Envelope, ProtocolReply } from "../../../src/model/wire/protocol.ts";
import type { ObjectNamespace } from "../../../src/shards/platform/home.ts";
import { ShardHost } from "../../../src/shards/host/shard-host.ts";
import { type FakeNamespace, FakeRuntime } from "./fake-runtime.ts";

export interface ShopOptions {
  /** The host's `namespace`; by default what the Worker exports. */
  readonly binding?: (exported: FakeNamespace<FakeShop>) => ObjectNamespace | null;
  /** False makes the host only when it is first needed. */
  readonly isEager?: boolean;
  /** The handler that `alarm` hands to the host; null for none. */
  readonly onAlarm?: ((shop: FakeShop) => unknown) | null;
}

export class FakeShop {
  readonly ctx: DurableObjectState;
  readonly #options: ShopOptions;
  readonly #exported: FakeNamespace<FakeShop>;
  #shards: ShardHost | undefined;
  alarms = 0;

  constructor(ctx: DurableObjectState, exported: FakeNamespace<FakeShop>, options: ShopOptions) {
    this.ctx = ctx;
    this.#options = options;
    this.#exported = exported;
    ctx.storage.sql.exec(
      "CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, n INTEGER NOT NULL)",
    );
    if (options.isEager ?? true) void this.shards;
  }

  get shards(): ShardHost {
    const { binding = (exported) => exported } = this.#options;
    return (this.#shards ??= new ShardHost(this.ctx, this, {
      tables: [{ name: "items" }],
      namespace: binding(this.#exported),
    }));
  }

  shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>> {
    return this.shards.handle(envelope);
  }

  alarm(): Promise<void> {
    const { onAlarm } = this.#options;
    if (onAlarm === null) return this.shards.onAlarm();
    return this.shards.onAlarm(async () => {
      this.alarms++;
      await onAlarm?.(this);
    });
  }

  put(id: string, n = 1): void {
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO items (id, n) VALUES (?, ?)", id, n);
  }

  get(id: string): number | null {
    return (
      this.ctx.storage.sql.exec<{ n: number }>("SELECT n FROM items WHERE id = ?", id).toArray()[0]
        ?.n ?? null
    );
  }
}

export function createShop(options: ShopOptions = {}): FakeRuntime<FakeShop> {
  return new FakeRuntime((ctx, exported) => new FakeShop(ctx, exported, options));
}
