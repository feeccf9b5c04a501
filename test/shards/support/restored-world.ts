/** A namespace whose objects can be taken back to an earlier time, or lose their storage. */
import type { LiveNamespace } from "../../../src/model/live.ts";
import { shiftMembers } from "../../../src/model/operation-mode.ts";
import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import type { RepairOutcome, RepairPlan } from "../../../src/model/repair.ts";
import { resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import { RefusedError } from "../../../src/shards/protocol/refused-error.ts";
import { Router } from "../../../src/shards/router.ts";
import { textOf } from "../../../src/shards/storage/storage.ts";
import type { Snapshot } from "../../sim/storage.ts";
import { FullWorld, ROOT } from "./full-world.ts";

export class RestoredWorld extends FullWorld {
  /** Returns the durable state of every object, by name. */
  async snapshot(): Promise<ReadonlyMap<string, Snapshot>> {
    const { objects } = this.world;
    await this.run(() => [...objects.values()].every(({ storage }) => !storage.isDirty), 60_000);
    return new Map(
      [...objects].map(([name, { storage }]) => [name, storage.snapshot() as Snapshot]),
    );
  }

  /** Takes an object back; without a snapshot it loses everything. */
  restore(name: string, snapshots?: ReadonlyMap<string, Snapshot>): void {
    this.world.object(name).restore(snapshots?.get(name) ?? null);
  }

  /** Lets time pass, also while nothing happens. */
  async pass(delayMs: number): Promise<void> {
    let isOver = false;
    this.world.options.scheduler.at(delayMs, () => (isOver = true));
    await this.run(() => isOver, delayMs);
  }

  /** A caller that knows no layout yet. */
  caller(): Router {
    const { scheduler } = this.world.options;
    const sleep = (delayMs: number): Promise<void> =>
      new Promise((resolve) => scheduler.at(delayMs, resolve));
    const runtime = {
      now: () => scheduler.now,
      sleep,
      digest: () => Promise.reject(new Error("unused")),
    };
    return new Router(this.world.clientPeers("caller"), ROOT, runtime);
  }

  /** Ids of the items that a query over all shards finds; a kind of refusal instead. */
  async list(router = this.caller()): Promise<string[] | string> {
    return this.outcome(
      router.queryShards({ query: "SELECT id FROM items", aggregation: "concat" }),
      ({ data }) => (data as { id: string }[]).map(({ id }) => id).toSorted(),
    );
  }

  /** Puts an item. Returns `stored`, or the kind of its refusal. */
  async put(id: string, router = this.caller()): Promise<string> {
    return this.outcome(router.call(id, "put", id, "g", 1, 1), () => "stored");
  }

  /**
   * Starts a rebalance to so many shards, in several waves, and lets it go on until the first is
   * cut over and activated by `one` of its members, or by `all`.
   */
  async widen(count: number, by: "one" | "all"): Promise<void> {
    const { layout, epoch } = await this.ask({ kind: "layout" });
    if (layout.kind !== "hash") throw new Error("Only slots are rebalanced here");
    const operation = {
      kind: "rebalance",
      epoch,
      to: resizeHashLayout(layout, shiftMembers(ROOT, layout, count)),
      policy: { ...DEFAULT_OPERATION_POLICY, waveRowsMax: 8, retainHours: 0 },
      correlationId: `widen to ${count}`,
      requestedBy: "a test",
      refuseEmpty: false,
    } as const;
    await this.ask({ kind: "start", operation });
    const isActivated = (): boolean => {
      const epochs = [...this.world.objects.keys()].map((name) => this.#epochOf(name));
      // The source and the target of the wave; the root has said so already.
      return epochs.filter((found) => found === epoch + 1).length >= (by === "one" ? 1 : 2);
    };
    await this.run(isActivated, 60_000);
  }

  #epochOf(name: string): number {
    const { storage } = this.world.object(name);
    if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_meta'").length === 0)
      return 0;
    const epoch = "SELECT value ->> '$.epoch' AS epoch FROM shardctl_meta WHERE key = 'membership'";
    return Number(storage.peek(epoch)[0]?.["epoch"] ?? 0);
  }

  describe(): Promise<LiveNamespace> {
    return this.ask({ kind: "describe", object: "O" });
  }

  planRepair(
    acceptLoss: readonly string[] = [],
    members: readonly string[] = [],
    directory = false,
  ): Promise<RepairPlan> {
    return this.ask({ kind: "planRepair", repair: { members, acceptLoss, directory } });
  }

  async repair(
    acceptLoss: readonly string[] = [],
    members: readonly string[] = [],
    directory = false,
  ): Promise<RepairOutcome> {
    const repair = { members, acceptLoss, directory };
    const { fingerprint } = await this.planRepair(acceptLoss, members, directory);
    return this.ask({ kind: "repair", repair, fingerprint, by: "a test" });
  }

  /** Rows that repairs have set aside on an object. */
  asideOf(name: string): string[] {
    const { storage } = this.world.object(name);
    const isThere =
      storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_aside_items'").length > 0;
    return isThere
      ? storage.peek("SELECT id FROM shardctl_aside_items ORDER BY id").map(({ id }) => textOf(id))
      : [];
  }

  protected async outcome<Value, Told>(
    work: Promise<Value>,
    tell: (value: Value) => Told,
  ): Promise<Told | string> {
    // The call sends its messages a few microtasks later: until then an event must be pending.
    this.world.options.scheduler.at(1, () => undefined);
    try {
      return tell(await this.until(work));
    } catch (error) {
      if (error instanceof RefusedError) return error.reason.kind;
      throw error;
    }
  }
}
