/**
 * A namespace in the simulator whose objects run one of two versions of the library, each by
 * itself, and can be deployed at any moment; other versions of the user's class too.
 *
 * Two callers, one with the router of each version, write and read all the time; what they were
 * told must hold in the end. No fault but the deploys strikes: a deploy restarts its object, so
 * that calls in work there get no answer, and are made again.
 */
import { type HashLayout, type Layout, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { operationModeFor } from "../../../src/model/operation-mode.ts";
import {
  DEFAULT_OPERATION_POLICY,
  type OperationKind,
  type OperationStatus,
  type Step,
} from "../../../src/model/operation.ts";
import type { ProtocolReply } from "../../../src/model/wire/protocol.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";

import type { MemberRequest, ReplyTo } from "../../../src/shards/protocol/messages.ts";
import { Host } from "../../../src/shards/host/host.ts";
import { Router } from "../../../src/shards/router.ts";
import { Host as OldHost, Router as OldRouter } from "../../fixtures/old-library.js";
import { checkEnd } from "../../sim/check-end.ts";
import { NO_DEPLOYS } from "../../sim/hazards.ts";
import { Random } from "../../sim/random.ts";
import { FIRST_VERSION, type StoreVersion } from "../../sim/versions.ts";
import { NO_FAULTS, groupOf } from "../../sim/scenario.ts";
import { Scheduler } from "../../sim/scheduler.ts";
import type { View } from "../../sim/store.ts";
import { Unreachable } from "../../sim/surroundings.ts";
import { World } from "../../sim/world.ts";

export type Version = "old" | "new";
export const VERSIONS = ["old", "new"] as const;

const ROOT = "ns";
const ROWS = 12;
const PACE_MS = 5;
const STEPS_MAX = 400_000;
/** An operation that has not ended by then hangs. */
const END_MS_MAX = 10 * 60_000;

export class MixedWorld {
  readonly world: World;
  readonly #scheduler = new Scheduler();
  /** Of objects that are not named: `#otherwise`. */
  readonly #versions = new Map<string, Version>();
  #otherwise: Version;
  readonly #callers: Caller[];
  #deploys: { readonly isNow: () => boolean; readonly run: () => void }[] = [];

  readonly #classes: readonly StoreVersion[];

  /**
   * `classes`: versions of the user's class, of which the first is deployed. `paceMs`: how long
   * callers wait between two calls, and before they make one again.
   */
  constructor(
    seed: number,
    version: Version,
    classes: readonly StoreVersion[] = [FIRST_VERSION],
    paceMs = PACE_MS,
  ) {
    this.#otherwise = version;
    this.#classes = classes;
    this.world = new World({
      namespace: ROOT,
      random: new Random(seed),
      scheduler: this.#scheduler,
      faults: NO_FAULTS,
      partitioners: {},
      store: { hasUniqueIndex: true, hasForeignKey: true, rebuilds: "notes" },
      versions: classes,
      isHostFirst: true,
      trace: null,
      createHost: (platform, target, options) => {
        const isOld = this.versionOf(platform.self ?? "") === "old";
        return isOld ? new OldHost(platform, target, options) : new Host(platform, target, options);
      },
    });
    this.#callers = VERSIONS.map((each) => new Caller(this.world, each, paceMs));
  }

  versionOf(name: string): Version {
    return this.#versions.get(name) ?? this.#otherwise;
  }

  /** Restarts an object by a version. */
  deploy(name: string, version: Version): void {
    this.#versions.set(name, version);
    this.world.object(name).crash(`deploy of the ${version} version`);
  }

  /** Restarts every object by a version, also those that are still to come. */
  deployAll(version: Version): void {
    this.#versions.clear();
    this.#otherwise = version;
    for (const name of this.world.objects.keys()) this.deploy(name, version);
  }

  /**
   * Deploys a version of the class, by its place, to every object, and restarts these: the others
   * run it when they start anew.
   */
  deployClass(place: number, names: readonly string[] = [...this.world.objects.keys()]): void {
    this.world.deployment.deploy(place, 1);
    for (const name of names) this.world.object(name).crash(`deploy of class ${place}`);
  }

  /** Runs `deploy` once, in the first moment in which this is true. */
  when(isNow: () => boolean, deploy: () => void): void {
    this.#deploys.push({ isNow, run: deploy });
  }

  /** Runs `deploy` once, so long after now. */
  after(delayMs: number, deploy: () => void): void {
    this.#scheduler.at(delayMs, deploy);
  }

  /**
   * True while the operation that runs is in this step, and that is durable: a step that a restart
   * undoes has not begun.
   */
  isIn(step: Step): boolean {
    if (this.world.object(ROOT).storage.isDirty) return false;
    return (
      this.#journal(`state = 'running' AND json_extract(record, '$.step') = '${step}'`) !==
      undefined
    );
  }

  async fill(): Promise<void> {
    const ids = Array.from({ length: ROWS }, (_, index) => `p${index}`);
    const filled = this.world.object(ROOT).stray((store) => {
      for (const [index, id] of ids.entries()) {
        store.put(id, groupOf(id), index, index);
        store.note(id, 0, "first");
      }
    });
    await this.#until(filled);
  }

  /**
   * Runs one operation to its end, with callers at work before, during and after it. Gives its
   * status.
   */
  async operate(kind: OperationKind): Promise<OperationStatus> {
    const { layout, epoch } = await this.ask({ kind: "layout" });
    const to = TARGETS[kind](layout);
    const callers = this.#callers.map((caller) => caller.start());
    await this.#sleep(40);
    const operation = {
      kind,
      epoch,
      to,
      policy: {
        ...DEFAULT_OPERATION_POLICY,
        allowMissingKey: true,
        waveRowsMax: 8,
        retainHours: 0,
      },
      correlationId: `${kind} at ${epoch}`,
      requestedBy: "a test",
      refuseEmpty: false,
    };
    const { id } = await this.ask({ kind: "start", operation });
    const isOver = (): boolean => this.#journal("state = 'running'") === undefined;
    const end = await this.#run(isOver, END_MS_MAX);
    if (!isOver())
      throw new Error(
        `${kind} hangs (${end}) in ${JSON.stringify(this.#journal("state = 'running'"))}`,
      );
    await this.#sleep(40);
    for (const caller of this.#callers) caller.stop();
    await this.#until(Promise.all(callers));
    return this.ask({ kind: "operation", id });
  }

  /** Ends the rollout, lets everything come to rest, and gives all that is wrong with it. */
  async flaws(): Promise<string[]> {
    this.world.deployment.deploy(this.world.deployment.last, 1);
    this.deployAll("new");
    for (const name of this.world.objects.keys()) await this.ask({ kind: "health" }, name);
    await this.#scheduler.run(() => false, this.#scheduler.now + 30 * 3_600_000, STEPS_MAX);
    const { views } = checkEnd(this.world, {
      hasTwins: false,
      hasRivals: false,
      deploys: { ...NO_DEPLOYS, versions: this.#classes },
    });
    // The library before empties live tables only: what a newer one had put aside stays until the
    // object takes part again.
    const violations = this.world.violations.filter(
      (violation) => !/has left behind: shardctl_retired_/.test(violation),
    );
    return [...violations, ...this.#callers.flatMap((caller) => caller.check(views))];
  }

  /** Calls that callers made and that were answered. */
  get answered(): number {
    return this.#callers.reduce((total, caller) => total + caller.answered, 0);
  }

  close(): void {
    this.world.close();
  }

  /**
   * Asks the root as a control half does that speaks protocol 1; again when it is just being
   * deployed.
   */
  async ask<const Request extends MemberRequest>(
    request: Request,
    member = ROOT,
  ): Promise<ReplyTo<Request>> {
    for (let tries = 1; ; tries++) {
      try {
        const envelope = { protocol: 1, namespace: ROOT, member, request };
        const reply: ProtocolReply<ReplyTo<Request>> = await this.#until(
          this.world.clientPeers("operator").send(member, envelope),
        );
        if (reply.ok) return reply.value;
        throw new Error(`${request.kind}: ${reply.failure.message}`);
      } catch (error) {
        if (!(error instanceof Unreachable) || tries >= 10) throw error;
      }
    }
  }

  #journal(where: string): Record<string, unknown> | undefined {
    const { storage } = this.world.object(ROOT);
    if (storage.peek("SELECT 1 FROM sqlite_master WHERE name = 'shardctl_operations'").length === 0)
      return undefined;
    return storage.peek(`SELECT record FROM shardctl_operations WHERE ${where}`)[0];
  }

  async #until<Value>(work: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    void work.then(settle, settle);
    const end = await this.#run(() => isSettled, END_MS_MAX);
    if (!isSettled) throw new Error(`It never ends: ${end}`);
    return work;
  }

  #sleep(delayMs: number): Promise<void> {
    return this.#until(
      new Promise<void>((resolve) => {
        this.#scheduler.at(delayMs, resolve);
      }),
    );
  }

  #run(isDone: () => boolean, waitMs: number): Promise<string> {
    const look = (): boolean => {
      const due = this.#deploys.filter(({ isNow }) => isNow());
      this.#deploys = this.#deploys.filter((each) => !due.includes(each));
      for (const { run } of due) run();
      return isDone();
    };
    return this.#scheduler.run(look, this.#scheduler.now + waitMs, STEPS_MAX);
  }
}

/** Writes items of its own, one call after the other, and reads them back. */
class Caller {
  readonly #world: World;
  readonly #name: string;
  readonly #paceMs: number;
  readonly #router: Router;
  /** The value last written to each item, once that was acknowledged. */
  readonly #written = new Map<string, number>();
  #isStopped = false;
  #count = 0;
  answered = 0;

  constructor(world: World, version: Version, paceMs: number) {
    this.#world = world;
    this.#paceMs = paceMs;
    this.#name = version;
    const runtime = {
      now: () => world.options.scheduler.now,
      sleep: (delayMs: number) => this.#sleep(delayMs),
      digest: () => Promise.reject(new Error("A caller hashes nothing")),
    };
    const RouterOf = version === "old" ? OldRouter : Router;
    this.#router = new RouterOf(world.clientPeers(version), ROOT, runtime);
  }

  async start(): Promise<void> {
    this.#isStopped = false;
    while (!this.#isStopped) {
      const id = `${this.#name}${this.#count % 7}`;
      const n = this.#count++;
      await this.#call(id, "put", [id, groupOf(id), n, n]);
      this.#written.set(id, n);
      const seen = (await this.#call(id, "get", [id])) as View | null;
      if (seen?.n !== n)
        this.#world.violate(`${this.#name} wrote ${n} to ${id} and read ${JSON.stringify(seen)}`);
      await this.#sleep(this.#paceMs);
    }
  }

  stop(): void {
    this.#isStopped = true;
  }

  check(views: ReadonlyMap<string, View>): string[] {
    return [...this.#written]
      .filter(([id, n]) => views.get(id)?.n !== n)
      .map(
        ([id, n]) =>
          `${this.#name} wrote ${n} to ${id}, which is ${JSON.stringify(views.get(id) ?? null)} in the end`,
      );
  }

  /**
   * Both calls may run twice. Silence is a restart, and nothing else may come back but the answer.
   */
  async #call(id: string, method: string, args: readonly unknown[]): Promise<unknown> {
    for (;;) {
      try {
        const answer = await this.#router.attempt((view) =>
          view.callOwner((shardKey) => (shardKey === "grp" ? groupOf(id) : id), method, args),
        );
        this.answered++;
        return answer;
      } catch (error) {
        if (!(error instanceof Unreachable)) {
          this.#world.violate(`${this.#name} ${method}(${id}): ${String(error)}`);
          return null;
        }
        await this.#sleep(this.#paceMs);
      }
    }
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.options.scheduler.at(delayMs, resolve);
    });
  }
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Target layout of each operation. A shift keeps its members, a swap takes new ones. */
const TARGETS: Readonly<Record<OperationKind, (from: Layout) => Layout>> = {
  shard: () => freshHashLayout("id", 1, names("a", 2)),
  rebalance: (from) => {
    const to = resizeHashLayout(from as HashLayout, names("a", 3));
    if (operationModeFor(from, to) !== "shift") throw new Error("A rebalance is a shift");
    return to;
  },
  rekey: () => freshHashLayout("grp", 2, names("b", 2)),
  unshard: () => unshardedLayout(ROOT, 3),
};
