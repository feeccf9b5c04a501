/**
 * A namespace on the real runtime whose objects are taken back to an earlier time, or lose their
 * storage: fills it, operates it, puts files back, meets what callers get then, repairs, and
 * accounts for every row. Writers write all the while, but when files are copied or rows are
 * counted.
 *
 * The files that were put back say which rows must be where: of a root no row is lost, of a shard
 * what its copy had is back.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { sleep } from "../../src/cli/host.ts";
import { toKey } from "../../src/model/layout/key.ts";
import type { LiveNamespace } from "../../src/model/live.ts";
import { unshardedLayout } from "../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { DEFAULT_OPERATION_POLICY, type OperationStatus } from "../../src/model/operation.ts";
import type { Disorder, RepairOutcome, RepairPlan, StrayRows } from "../../src/model/repair.ts";
import { Random } from "../sim/random.ts";
import { NAMESPACE, PARTITIONERS, accountId, keyOf } from "./accounts.ts";
import { checkAside, checkLive } from "./check-repaired.ts";
import { type Found, checkState } from "./check-state.ts";
import { Control } from "./control.ts";
import type { Dump, SetAside } from "./dump.ts";
import { AccountModel } from "./model.ts";
import type { Snapshot } from "./object-files.ts";
import { type Answer, CrashRuntime } from "./runtime.ts";
import { type KillStep, findChange } from "./schedule.ts";
import { Writers } from "./writers.ts";

/** One object as it was at one moment: its files, and the accounts in its tables. */
export interface Copy {
  readonly member: string;
  readonly snapshot: Snapshot;
  readonly accounts: Dump["accounts"];
}

/** A layout with its epoch, as a caller knows it. */
type Known = Omit<Found, "dumps">;

/** Two people apply one plan side by side, or the runtime is killed while it is applied. */
export type Mishap = "twice" | "killed";

const LATENCY_MS = 50;
const FILLED = 160;
const FILL_SIDE_BY_SIDE = 16;
const WRITERS = 4;
/** A few waves for each rebalance. */
const WAVE_ROWS_MAX = 60;
const POLL_MS = 20;
const WAIT_MS_MAX = 90_000;
const PLANS_MAX = 10;
/**
 * A repair is killed so long after it was asked for: members that it mends are asked by slow
 * messages.
 */
const MEND_MS = 60;
/** Accounts of which callers ask in the disorder. */
const PROBES = 12;
const CATCHES_MAX = 8;

export class RestoredLedger {
  readonly problems: string[] = [];
  readonly #runtime: CrashRuntime;
  readonly #control: Control;
  readonly #model = new AccountModel();
  readonly #writers: Writers;
  readonly #tell: (line: string) => void;
  /** Every object that an operation has named. */
  readonly #objects = new Set([NAMESPACE]);
  readonly #aside = new Map<string, SetAside[]>();
  readonly #counted: StrayRows[] = [];
  #known: Known = { layout: unshardedLayout(NAMESPACE, 1), epoch: 0 };
  #starts = 0;
  /** False once the answer of a repair was lost. */
  #isCounted = true;
  #strangers = 0;
  #copies = 0;
  #lastOperation = 0;

  private constructor(runtime: CrashRuntime, seed: number, tell: (line: string) => void) {
    this.#runtime = runtime;
    this.#control = new Control(runtime);
    this.#writers = new Writers(runtime, this.#model, new Random(seed), WRITERS);
    this.#tell = tell;
  }

  /** Starts a runtime of its own and fills it, unsharded. */
  static async create(seed: number, tell: (line: string) => void): Promise<RestoredLedger> {
    const runtime = await CrashRuntime.create(LATENCY_MS);
    const ledger = new RestoredLedger(runtime, seed, tell);
    try {
      await ledger.#fill();
      return ledger;
    } catch (error) {
      await runtime.stop();
      throw error;
    }
  }

  async stop(isKept: boolean): Promise<void> {
    this.#writers.crew.stop();
    await this.#runtime.stop(isKept);
  }

  get folder(): string {
    return this.#runtime.folder;
  }

  /** Returns all problems, including answers that writers cannot have been given. */
  allProblems(): string[] {
    return [...this.#writers.problems, ...this.problems];
  }

  /** Members of the live layout, as a caller who has seen it knows them. */
  get members(): readonly string[] {
    return this.#known.layout.members;
  }

  async #fill(): Promise<void> {
    const ids = Array.from({ length: FILLED }, (_, index) => accountId("f", index));
    for (let from = 0; from < ids.length; from += FILL_SIDE_BY_SIDE) {
      await Promise.all(
        ids
          .slice(from, from + FILL_SIDE_BY_SIDE)
          .map((id, index) => this.#put(id, from + index + 1)),
      );
    }
  }

  async #put(id: string, serial: number): Promise<void> {
    const state = String(
      await this.#control.insist("/write", { kind: "put", id, serial, known: null }),
    );
    const problem = this.#model.acknowledge(id, "put", serial, state);
    if (problem !== null) this.problems.push(problem);
  }

  /** One operation to its end, under writers. */
  async operate(name: string): Promise<void> {
    this.#writers.crew.resume();
    const start = await this.#begin(name);
    await this.#end(await start());
    await this.#writers.crew.pause();
  }

  /** Asks for an operation. Gives what waits for the root's answer, which a kill may delay. */
  async #begin(name: string): Promise<() => Promise<number>> {
    const { layout, epoch } = await this.#control.live();
    const { kind, to } = findChange(name);
    const target = to(layout);
    for (const member of target.members) this.#objects.add(member);
    const operation = {
      kind,
      epoch,
      to: target,
      policy: { ...DEFAULT_OPERATION_POLICY, waveRowsMax: WAVE_ROWS_MAX, retainHours: 0 },
      correlationId: `story-${++this.#starts}`,
      requestedBy: "restore stories",
      refuseEmpty: false,
    };
    const started = this.#control.ask<OperationStatus>({ kind: "start", operation });
    started.catch(() => undefined); // awaited by the caller
    return async () => (await started).id;
  }

  async #end(id: number): Promise<void> {
    const ended = await this.#control.untilStep(id, "idle", WAIT_MS_MAX);
    if (ended.state !== "completed")
      throw new Error(`Operation ${id} ended as ${ended.state}: ${JSON.stringify(ended.fault)}`);
    await this.#settle();
    this.#lastOperation = id;
    this.#known = await this.#control.live();
    this.#tell(`${ended.kind} to ${ended.to.members.length} shards, epoch ${ended.epoch}`);
  }

  /** Until nothing is left to do for the root. */
  async #settle(): Promise<void> {
    await this.#until("the root has nothing left to do", async () => {
      const { running, chores } = await this.#control.dump(NAMESPACE);
      return running.length === 0 && chores.length === 0;
    });
  }

  /** An object's files as they are now, and what it has. */
  async copy(member: string): Promise<Copy> {
    await this.#writers.crew.pause();
    const { accounts } = await this.#control.dump(member);
    const id = await this.#runtime.idOf(member);
    const folder = await this.#folderFor(member);
    const snapshot = await this.#runtime.restart((files) => files.snapshot(id, folder));
    await this.#runtime.waitUntilUp();
    return { member, snapshot, accounts };
  }

  /**
   * Kills everything while an operation is in a step, and copies the root's files of that moment;
   * with `instead`, puts those back at once. Else the operation then goes on to its end. Tries one
   * operation after the other, by turns, until a kill meets the step.
   */
  async catchRoot(step: KillStep, names: readonly string[], instead?: Copy): Promise<Copy> {
    const id = await this.#runtime.idOf(NAMESPACE);
    for (let tries = 0; tries < CATCHES_MAX; tries++) {
      const name = names[tries % names.length];
      if (name === undefined) break;
      this.#writers.crew.resume();
      const start = await this.#begin(name);
      await this.#control.insist("/untilStep", { after: this.#lastOperation, steps: [step] });
      const folder = await this.#folderFor(NAMESPACE);
      const snapshot = await this.#runtime.restart(async (files) => {
        if ((await this.#runtime.readStep()) !== step) return null;
        const caught = await files.snapshot(id, folder);
        if (instead) await files.restore(instead.snapshot);
        return caught;
      });
      await this.#runtime.waitUntilUp();
      if (snapshot)
        this.#tell(
          `killed in step ${step} of ${name}${instead ? ", root put back to before it" : ""}`,
        );
      if (!snapshot || !instead) await this.#end(await start());
      await this.#writers.crew.pause();
      if (snapshot) return { member: NAMESPACE, snapshot, accounts: [] };
    }
    throw new Error(`No operation was met in step ${step}, in ${CATCHES_MAX} tries`);
  }

  /**
   * Puts an object's files back. Of a shard, what the copy had is there again, and nothing else.
   */
  async putBack({ member, snapshot, accounts }: Copy): Promise<void> {
    await this.#writers.crew.pause();
    await this.#runtime.restart((files) => files.restore(snapshot));
    await this.#runtime.waitUntilUp();
    this.#goBack(member, accounts);
    this.#tell(`${member} restored, with ${accounts.length} accounts`);
  }

  /** Deletes all that an object has stored. */
  async lose(member: string): Promise<void> {
    await this.#writers.crew.pause();
    const id = await this.#runtime.idOf(member);
    await this.#runtime.restart((files) => files.remove(id));
    await this.#runtime.waitUntilUp();
    this.#goBack(member, []);
    this.#tell(`${member} has lost its storage`);
  }

  #goBack(member: string, accounts: Copy["accounts"]): void {
    const had = new Map(accounts);
    for (const id of this.#model.ids())
      if (this.#ownerOf(id) === member) this.#model.goBack(id, had.get(id) ?? "none");
    const strays = accounts.filter(([id]) => this.#ownerOf(id) !== member);
    if (strays.length > 0) this.#aside.set(member, [...(this.#aside.get(member) ?? []), ...strays]);
  }

  #ownerOf(id: string): string {
    const { layout } = this.#known;
    return createOwnerLookup(
      layout,
      PARTITIONERS,
    )(toKey(keyOf(id, layout.kind === "none" ? null : layout.shardKey)));
  }

  /**
   * A write by a caller who knows nothing, to a root that serves as unsharded because nobody has
   * told it yet.
   */
  async writeUntold(): Promise<void> {
    const id = accountId("x", ++this.#strangers);
    const state = String(
      await this.#control.insist("/write", { kind: "put", id, serial: 1, known: null }),
    );
    this.#aside.set(NAMESPACE, [...(this.#aside.get(NAMESPACE) ?? []), [id, state]]);
    this.#tell("a caller who knew nothing was served, as by an unsharded root");
  }

  /**
   * A call by a caller who still knows the layout: a shard answers it, and tells the root beside
   * it.
   */
  async callKnowing(): Promise<void> {
    const id = accountId("f", 0);
    const serial = 1_000_000 + ++this.#strangers;
    const answer = await this.#runtime.post("/write", {
      kind: "put",
      id,
      serial,
      known: this.#known,
    });
    if (answer.kind !== "answered")
      throw new Error(`A caller who knows the layout was not served: ${answer.message}`);
    const problem = this.#model.acknowledge(id, "put", serial, String(answer.value));
    if (problem !== null) this.problems.push(problem);
  }

  /**
   * Until the disorder is known; then what callers get who know no layout, and what the root says.
   * `isTold`: nothing wrong may be answered before, either.
   */
  async meet(kind: Disorder["kind"], members: readonly string[], isTold = true): Promise<void> {
    await this.#until(`a query is refused as ${kind}`, async () => {
      const answer = await this.#runtime.post("/query", {});
      if (answer.kind === "answered" && isTold)
        this.#expectLive(answer.value, "before the disorder was known");
      return answer.kind === "refused" && answer.reason === kind;
    });
    const { disorder } = await this.#control.ask<LiveNamespace>({
      kind: "describe",
      object: "LEDGER",
    });
    if (disorder?.kind !== kind || disorder.members.toSorted().join() !== members.toSorted().join())
      this.problems.push(
        `describe says ${JSON.stringify(disorder)}, expected ${kind} of ${members.join(" and ")}`,
      );
    const isLost = kind === "registryLost";
    const ids = this.#model.ids();
    const refused = ids.filter((id) => isLost || members.includes(this.#ownerOf(id)));
    const served = ids.filter((id) => !refused.includes(id)).slice(0, PROBES);
    const counts = { refused: 0, answered: 0 };
    for (const id of refused.slice(0, PROBES)) {
      for (const call of ["update", "read"]) {
        const answer = await this.#runtime.post("/write", {
          kind: call,
          id,
          serial: 1,
          known: null,
          isStranger: true,
        });
        if (answer.kind === "refused" && answer.reason === kind) counts.refused++;
        else
          this.problems.push(
            `${call} of ${id} on a member that is out of step: ${JSON.stringify(answer)}`,
          );
      }
    }
    for (const id of served) {
      const answer = await this.#runtime.post("/write", {
        kind: "read",
        id,
        serial: 1,
        known: null,
        isStranger: true,
      });
      const problem =
        answer.kind === "answered"
          ? this.#model.read(id, String(answer.value))
          : JSON.stringify(answer);
      if (problem === null) counts.answered++;
      else this.problems.push(`read of ${id}, whose owner is in step: ${problem}`);
    }
    for (const member of members) {
      const { membership, strayWrite } = await this.#control.dump(member);
      // An object that has forgotten that it is a member refuses calls, but no write of its own
      // code.
      if (membership !== null && strayWrite === null)
        this.problems.push(`${member} is out of step, and takes direct writes`);
    }
    this.#tell(
      `callers: ${counts.refused} calls and every query refused (${kind}), ${counts.answered} calls of other owners answered`,
    );
    this.#tell(`describe: ${disorder?.kind} of ${disorder?.members.join(", ")}`);
  }

  /** Asks for an operation, whatever becomes of it: its members may know what the root does not. */
  async tryOperation(name: string): Promise<void> {
    const start = await this.#begin(name).catch(() => null);
    await start?.().catch(() => undefined);
  }

  /** Nobody may start an operation meanwhile. */
  async refuseOperation(name: string): Promise<void> {
    const started = await this.#begin(name)
      .then((start) => start())
      .then((id) => `operation ${id}`, String);
    if (!started.includes("lost its registry"))
      this.problems.push(`An operation was started amid the disorder: ${started}`);
  }

  /**
   * Plans and repairs under writers, and applies only what was shown; a plan that takes losses is
   * refused until they are accepted. Then everything must be in order.
   */
  async mend(acceptLoss: readonly string[], mishap?: Mishap): Promise<void> {
    this.#writers.crew.resume();
    const first = await this.#plan([]);
    for (const { summary, member } of first.steps) this.#tell(`plan: ${member}: ${summary}`);
    for (const { summary } of first.losses) this.#tell(`loss: ${summary}`);
    const losers = first.losses.map(({ member }) => member).toSorted();
    if (losers.join() !== acceptLoss.toSorted().join())
      this.problems.push(
        `The plan names losses of ${losers.join() || "nobody"}, expected ${acceptLoss.join() || "nobody"}`,
      );
    if (losers.length > 0) {
      const refused = await this.#repair(first, []);
      if (refused.kind !== "refused" || !refused.message.includes("--accept-loss"))
        this.problems.push(
          `A repair whose losses nobody accepted: ${JSON.stringify(refused).slice(0, 300)}`,
        );
    }
    const other = await this.#repair({ ...first, fingerprint: "0".repeat(16) }, acceptLoss);
    if (other.kind !== "refused")
      this.problems.push(`A repair of another plan: ${JSON.stringify(other).slice(0, 300)}`);
    await this.#repairAsShown(acceptLoss, mishap);
    await this.#until("the namespace is in order", async () => {
      const { disorder } = await this.#control.ask<LiveNamespace>({
        kind: "describe",
        object: "LEDGER",
      });
      return disorder === null;
    });
    await this.#settle();
    await this.#writers.crew.pause();
    this.#known = await this.#control.live();
    this.#lastOperation =
      (await this.#control.ask<OperationStatus[]>({ kind: "history", limit: 1 }))[0]?.id ?? 0;
    const aside = this.#counted.map(
      ({ member, table, rows }) => `${rows} of ${table} on ${member}`,
    );
    this.#tell(`repaired: epoch ${this.#known.epoch}, set aside ${aside.join(", ") || "nothing"}`);
  }

  async #repairAsShown(acceptLoss: readonly string[], mishap?: Mishap): Promise<void> {
    if (mishap) await this.#repairBadly(acceptLoss, mishap);
    for (let tries = 1; ; tries++) {
      const plan = await this.#plan(acceptLoss);
      if (mishap && plan.steps.length === 0 && plan.disorder === null) return;
      const answer = await this.#repair(plan, acceptLoss);
      if (answer.kind === "answered") return this.#count(answer);
      // Something else by now: a member has heard of something between the two.
      if (tries >= PLANS_MAX)
        throw new Error(`The repair was not applied in ${PLANS_MAX} tries: ${answer.message}`);
    }
  }

  async #repairBadly(acceptLoss: readonly string[], mishap: Mishap): Promise<void> {
    const plan = await this.#plan(acceptLoss);
    if (mishap === "twice") {
      const answers = await Promise.all([
        this.#repair(plan, acceptLoss),
        this.#repair(plan, acceptLoss),
      ]);
      for (const answer of answers) if (answer.kind === "answered") this.#count(answer);
      return this.#tell(
        `two people applied the plan: ${answers.map(({ kind }) => kind).join(", ")}`,
      );
    }
    const workerd = await this.#runtime.findWorkerd();
    const repair = this.#repair(plan, acceptLoss);
    await sleep(MEND_MS);
    await this.#runtime.killWorkerd(workerd);
    const answer = await repair;
    // Rows that it set aside before its answer was lost are in no answer.
    if (answer.kind === "answered") this.#count(answer);
    else this.#isCounted = false;
    await this.#runtime.waitUntilUp();
    this.#tell(`killed while the plan was applied: ${answer.kind}`);
  }

  #count({ value }: Extract<Answer, { readonly kind: "answered" }>): void {
    this.#counted.push(...(value as RepairOutcome).setAside);
  }

  #plan(acceptLoss: readonly string[]): Promise<RepairPlan> {
    return this.#control.ask<RepairPlan>({
      kind: "planRepair",
      repair: { members: [], acceptLoss },
    });
  }

  #repair({ fingerprint }: RepairPlan, acceptLoss: readonly string[]): Promise<Answer> {
    const repair = { members: [], acceptLoss };
    return this.#runtime.post("/root", {
      kind: "repair",
      repair,
      fingerprint,
      by: "restore stories",
    });
  }

  /** Every row, as callers find it and as repairs have set it aside. */
  async account(): Promise<void> {
    await this.#writers.crew.pause();
    this.#expectLive(await this.#control.insist("/query", {}), "after the repair");
    const found = new Map<string, readonly SetAside[]>();
    for (const member of this.#objects)
      found.set(member, (await this.#control.insist("/aside", { member })) as SetAside[]);
    this.problems.push(...checkAside(found, this.#aside, this.#isCounted ? this.#counted : null));
    const aside = [...found.values()].reduce((sum, rows) => sum + rows.length, 0);
    this.#tell(
      `accounted for: ${this.#model.ids().length} accounts live or gone as they must be, ${aside} set aside`,
    );
  }

  /** Another operation, and then everything that must hold of all objects. */
  async carryOn(name: string): Promise<void> {
    await this.operate(name);
    await this.account();
    const dumps = await Promise.all([...this.#objects].map((member) => this.#control.dump(member)));
    const possible = new Map(
      this.#model.ids().map((id) => [id, this.#model.possible(id)] as const),
    );
    const expected = { possible, empty: new Set<string>(), fanOuts: null, version: 1 };
    this.problems.push(...checkState({ ...(await this.#control.live()), dumps }, expected));
  }

  #expectLive(value: unknown, when: string): void {
    const possible = new Map(
      this.#model.ids().map((id) => [id, this.#model.possible(id)] as const),
    );
    this.problems.push(
      ...checkLive(value as [string, string][], possible).map((problem) => `${when}, ${problem}`),
    );
  }

  async #folderFor(member: string): Promise<string> {
    const folder = join(this.#runtime.folder, "copies", `${member}-${++this.#copies}`);
    await mkdir(folder, { recursive: true });
    return folder;
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!(await isSo())) {
      if (Date.now() >= deadline) throw new Error(`Not within ${WAIT_MS_MAX} ms: ${what}`);
      await sleep(POLL_MS);
    }
  }
}
