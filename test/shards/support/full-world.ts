/**
 * A namespace in the simulator whose objects can be filled up in any moment of an operation: not a
 * page is left beyond those that the test grants. A full object that has met its limit is reset, as
 * the real runtime does it, and begins anew from what is durable.
 *
 * No fault but the full disks strikes, and time is virtual: minutes of retries cost nothing.
 */
import { type Layout, shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { shiftMembers, swapGeneration } from "../../../src/model/operation-mode.ts";
import {
  DEFAULT_OPERATION_POLICY,
  type OperationKind,
  type OperationStatus,
  type Step,
} from "../../../src/model/operation.ts";
import { PROTOCOL_VERSION } from "../../../src/model/wire/protocol.ts";
import { SLOT_COUNT } from "../../../src/model/layout/slots.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import type { MemberRequest, ReplyTo } from "../../../src/shards/protocol/messages.ts";
import { textOf } from "../../../src/shards/storage/storage.ts";
import { checkEnd } from "../../sim/check-end.ts";
import { NO_DEPLOYS } from "../../sim/hazards.ts";
import { Random } from "../../sim/random.ts";
import { NO_FAULTS, groupOf } from "../../sim/scenario.ts";
import { Scheduler } from "../../sim/scheduler.ts";
import { Unreachable } from "../../sim/surroundings.ts";
import { FIRST_VERSION } from "../../sim/versions.ts";
import { World } from "../../sim/world.ts";

export const ROOT = "ns";
const STEPS_MAX = 200_000;
/**
 * An operation that has not ended by then hangs: the engine gives up on a silent member earlier.
 */
const END_MS_MAX = 20 * 60_000;
const REST_MS = 30 * 3_600_000;
/** Ranges of a layout after a rebalance. */
const PIECES = 120;
const FILLER_BYTES = 4_000;

export class FullWorld {
  readonly world: World;
  readonly #scheduler = new Scheduler();
  readonly #ids: readonly string[];
  readonly #shape: (layout: Layout) => Layout;
  /** Runs before each step of the scheduler, until it says that it is done. */
  #watch: (() => boolean) | null = null;

  /** @param shape the layout that an operation leads to, in place of the one by hash. */
  constructor(rows: number, shape: (layout: Layout) => Layout = (layout) => layout) {
    this.#shape = shape;
    this.#ids = Array.from({ length: rows }, (_, index) => `p${index}`);
    this.world = new World({
      namespace: ROOT,
      random: new Random(1),
      scheduler: this.#scheduler,
      faults: NO_FAULTS,
      partitioners: {},
      store: { hasUniqueIndex: true, hasForeignKey: true, rebuilds: "notes" },
      versions: [FIRST_VERSION],
      isHostFirst: true,
      trace: null,
    });
  }

  close(): void {
    this.world.close();
  }

  async fill(): Promise<void> {
    await this.until(
      this.world.object(ROOT).stray((store) => {
        for (const id of this.#ids) {
          store.put(id, groupOf(id), 1, 1);
          store.note(id, 0, "first");
        }
      }),
    );
  }

  /** Carries the namespace to where an operation of this kind begins. */
  async lead(kind: OperationKind): Promise<void> {
    if (kind !== "shard") await this.operate("shard");
  }

  /** Runs one operation to its end, and gives its status then. @throws Error when it hangs. */
  async operate(kind: OperationKind): Promise<OperationStatus> {
    const started = await this.start(kind);
    return this.end(started.id);
  }

  async start(kind: OperationKind): Promise<OperationStatus> {
    const { layout, epoch } = await this.ask({ kind: "layout" });
    const operation = {
      kind,
      epoch,
      to: this.#shape(TARGETS[kind](layout)),
      policy: {
        ...DEFAULT_OPERATION_POLICY,
        allowMissingKey: true,
        waveRowsMax: 8 * Math.ceil(this.#ids.length / 16),
        retainHours: 0,
      },
      correlationId: `${kind} ${this.#scheduler.steps}`,
      requestedBy: "a test",
      refuseEmpty: false,
    };
    return this.ask({ kind: "start", operation });
  }

  async end(id: number): Promise<OperationStatus> {
    await this.run(() => !this.isRunning, END_MS_MAX);
    if (this.isRunning) throw new Error(`Operation ${id} hangs: ${this.#record()}`);
    return this.ask({ kind: "operation", id });
  }

  get isRunning(): boolean {
    return this.#journal("state = 'running'") !== undefined;
  }

  get step(): Step | null {
    const step = this.#journal("state = 'running'")?.["step"];
    return step === undefined ? null : (step as Step);
  }

  /** Calls `run` once, in the first moment in which this is true. */
  when(isNow: () => boolean, run: () => void): void {
    this.#watch = () => {
      if (!isNow()) return false;
      run();
      return true;
    };
  }

  /**
   * Fills an object up, so that it may take so many pages more than it holds and not one besides.
   * False when it has not written everything yet, and must be asked again.
   */
  fillUp(name: string, pages: number): boolean {
    const { storage } = this.world.object(name);
    if (storage.isDirty) return false;
    storage.sql.exec("CREATE TABLE IF NOT EXISTS filler (bytes BLOB NOT NULL)");
    storage.limit(storage.pages);
    try {
      for (;;)
        storage.sql.exec(
          "INSERT OR ABORT INTO filler SELECT zeroblob(?) FROM json_each('[1]')",
          FILLER_BYTES,
        );
    } catch (error) {
      if (!String(error).includes("full")) throw error;
    }
    storage.limit(storage.pages + pages);
    storage.flush();
    return true;
  }

  /** Items that stand on an object. */
  itemsOf(name: string): string[] {
    return this.world
      .object(name)
      .storage.peek("SELECT id FROM items ORDER BY id")
      .map((row) => textOf(row["id"]));
  }

  /** Deletes rows, as the message of a full object tells its owner to do. */
  async makeRoom(name: string): Promise<void> {
    const { storage } = this.world.object(name);
    await this.run(() => !storage.isDirty, END_MS_MAX);
    storage.limit(null);
    storage.sql.exec("DROP TABLE IF EXISTS filler");
    storage.flush();
  }

  /**
   * Lets everything come to rest, and gives all that is wrong with it. Nobody has deleted other
   * rows than these.
   */
  async flaws(removed: readonly string[] = [], isRepaired = false): Promise<string[]> {
    await this.run(() => false, REST_MS);
    const expected = { hasTwins: false, hasRivals: false, deploys: NO_DEPLOYS, isRepaired };
    const { views } = checkEnd(this.world, expected);
    const live = new Set(
      [...views.values()].filter(({ notes }) => notes === "0:first").map(({ id }) => id),
    );
    const lost = this.#ids.filter((id) => !removed.includes(id) && !live.has(id));
    const back = removed.filter((id) => live.has(id));
    return [
      ...this.world.violations,
      ...lost.map((id) => `${id} is lost`),
      ...back.map((id) => `${id} is back`),
    ];
  }

  /** Asks as a control half does; again when the object is just being reset. */
  async ask<const Request extends MemberRequest>(
    request: Request,
    member = ROOT,
  ): Promise<ReplyTo<Request>> {
    for (let tries = 1; ; tries++) {
      try {
        const envelope = { protocol: PROTOCOL_VERSION, namespace: ROOT, member, request };
        const reply = await this.until(this.world.clientPeers("operator").send(member, envelope));
        if (reply.ok) return reply.value;
        throw new Error(`${request.kind}: ${reply.failure.message}`);
      } catch (error) {
        if (!(error instanceof Unreachable) || tries >= 10) throw error;
      }
    }
  }

  async until<Value>(work: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    void work.then(settle, settle);
    await this.run(() => isSettled, END_MS_MAX);
    if (!isSettled) throw new Error("It never ends");
    return work;
  }

  async run(isDone: () => boolean, waitMs: number): Promise<void> {
    const look = (): boolean => {
      if (this.#watch?.() === true) this.#watch = null;
      return isDone();
    };
    await this.#scheduler.run(look, this.#scheduler.now + waitMs, STEPS_MAX);
  }

  #journal(where: string): Record<string, unknown> | undefined {
    const { storage } = this.world.object(ROOT);
    if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").length === 0)
      return undefined;
    return storage.peek(
      `SELECT record, json_extract(record, '$.step') AS step FROM shardctl_operations WHERE ${where}`,
    )[0];
  }

  #record(): string {
    const record = JSON.parse(String(this.#journal("state = 'running'")?.["record"])) as Record<
      string,
      unknown
    >;
    return JSON.stringify({ ...record, from: null, to: null, policy: null });
  }
}

const TARGETS: Readonly<Record<OperationKind, (from: Layout) => Layout>> = {
  shard: (from) => {
    const generation = swapGeneration(ROOT, from, 2);
    return freshHashLayout("id", generation, shardNames(ROOT, generation, 2));
  },
  rebalance: (from) => {
    if (from.kind !== "hash") throw new Error("Only slots are rebalanced here");
    const members = shiftMembers(ROOT, from, from.members.length === 2 ? 3 : 2);
    if (members.length === 2) return resizeHashLayout(from, members);
    // In many pieces: its text, which every member stores, needs pages of its own.
    const pieces = Array.from({ length: PIECES }, (_, index) => ({
      end: Math.floor(((index + 1) * SLOT_COUNT) / PIECES),
      member: members[index % members.length] ?? ROOT,
    }));
    return { ...from, members, ranges: pieces };
  },
  rekey: (from) => {
    const generation = swapGeneration(ROOT, from, 2);
    return freshHashLayout("grp", generation, shardNames(ROOT, generation, 2));
  },
  unshard: (from) => unshardedLayout(ROOT, swapGeneration(ROOT, from, 1)),
};
