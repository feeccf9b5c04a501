/**
 * One crash run: writers write, operations follow one another, and the runtime is killed in the
 * middle of them. After each operation has ended by itself the writers pause and everything is
 * checked; the run ends when it has made its kills, or at the first thing wrong.
 */
import { sleep } from "../../src/cli/host.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import { sameLayout } from "../../src/model/layout/layout.ts";
import {
  DEFAULT_OPERATION_POLICY,
  type OperationStatus,
  STEPS,
} from "../../src/model/operation.ts";
import { Random } from "../sim/random.ts";
import { NAMESPACE, TALLIED_IDS, accountId, stateText } from "./accounts.ts";
import { type AlarmCounts, countAlarms, expectByAlarms } from "./alarm-log.ts";
import { checkState } from "./check-state.ts";
import { Control } from "./control.ts";
import type { Dump } from "./dump.ts";
import { FanOuts } from "./fan-outs.ts";
import { AccountModel } from "./model.ts";
import { CrashRuntime } from "./runtime.ts";
import {
  KILL_STEPS,
  type KillStep,
  type PlannedKill,
  type PlannedOperation,
  planOperations,
} from "./schedule.ts";
import type { Outcome } from "./tallies.ts";
import { untilAborted } from "./until-aborted.ts";
import { type WriteCounts, Writers } from "./writers.ts";

export interface CrashOptions {
  readonly kills: number;
  readonly seed: number;
  readonly writers: number;
  /** Told of each kill and of each operation's end. */
  readonly onProgress: (line: string) => void;
  /** Ends the run early. */
  readonly signal: AbortSignal;
  /** Keeps the directory of a run in which something was wrong. */
  readonly keepOnFailure: boolean;
}

export interface CrashReport {
  readonly seed: number;
  readonly seconds: number;
  readonly writes: WriteCounts;
  /** Calls to all members that run at most once, and those that may run twice. */
  readonly fanOuts: { readonly once: FanOutCounts; readonly retried: FanOutCounts };
  /** The writes of alarms. */
  readonly alarms: AlarmCounts;
  readonly kills: number;
  /** Kills that took wrangler and all its processes. */
  readonly treeKills: number;
  /** Kills of everything after which another version of the class started. */
  readonly deploys: number;
  /** Kills by the step that the journal was in when the process was dead. */
  readonly steps: Readonly<Record<string, number>>;
  /** Operations by how they ended, by name. */
  readonly operations: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly checks: number;
  readonly accounts: number;
  readonly fillers: number;
  readonly problems: readonly string[];
}

type FanOutCounts = Readonly<Record<Outcome, number>>;

const LATENCY_MS = 50;
const FILLERS = 1_500;
/** Rows of one wave of a rebalance: a few waves each. */
const WAVE_ROWS_MAX = 400;
const POLL_MS = 10;
/** A kill waits at most this long after its step was seen. */
const DELAY_MS_MAX: Readonly<Record<KillStep, number>> = {
  prepare: 100,
  copy: 300,
  verify: 300,
  fence: 150,
  activate: 150,
  cleanUp: 60,
  idle: 500,
};
/** An operation, its kills over, ends by itself within this time. */
const END_MS_MAX = 90_000;
const CALL_MS_MAX = 60_000;
const PROBLEMS_MAX = 50;
/**
 * An operation that would part a mark from its account ends and changes nothing; it is asked for
 * again.
 */
const MARKED = "rows of 'marks' stay on";
const MARKED_TRIES_MAX = 20;

export async function runCrashes(options: CrashOptions): Promise<CrashReport> {
  const startedAt = Date.now();
  const runtime = await CrashRuntime.create(LATENCY_MS);
  const run = new CrashRun(runtime, options);
  try {
    await Promise.race([run.all(), untilAborted(options.signal)]);
  } catch (error) {
    run.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    run.stop();
    const isKept = options.keepOnFailure && !options.signal.aborted && run.isWrong();
    await runtime.stop(isKept);
    if (isKept) options.onProgress(`The directory was kept: ${runtime.folder}`);
  }
  return run.report(Date.now() - startedAt);
}

class CrashRun {
  readonly problems: string[] = [];
  readonly #writers: Writers;
  readonly #fanOuts: FanOuts;
  #alarms: AlarmCounts = countAlarms([]);
  readonly #runtime: CrashRuntime;
  readonly #control: Control;
  readonly #options: CrashOptions;
  readonly #model = new AccountModel();
  readonly #random: Random;
  readonly #fillers = new Map<string, readonly string[]>();
  /** Every object that an operation has named. */
  readonly #objects = new Set([NAMESPACE]);
  #empty: ReadonlySet<string> = new Set();
  readonly #steps: Record<string, number> = Object.fromEntries(KILL_STEPS.map((step) => [step, 0]));
  readonly #operations: Record<string, Record<string, number>> = {};
  #lastOperation = 0;
  #kills = 0;
  #treeKills = 0;
  #deploys = 0;
  /** The version of the class that runs. */
  #version = 1;
  #checks = 0;

  constructor(runtime: CrashRuntime, options: CrashOptions) {
    this.#runtime = runtime;
    this.#control = new Control(runtime);
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#writers = new Writers(runtime, this.#model, this.#random, options.writers);
    this.#fanOuts = new FanOuts(runtime);
  }

  async all(): Promise<void> {
    const ids = Array.from({ length: FILLERS }, (_, index) => accountId("f", index));
    await this.#control.insist("/fill", { ids });
    ids.forEach((id, index) =>
      this.#fillers.set(id, [stateText({ amount: 0, serial: index + 1, notes: [] })]),
    );
    for (const id of TALLIED_IDS)
      this.#fillers.set(id, [stateText({ amount: 0, serial: 0, notes: [] })]);
    for (const planned of planOperations(this.#random)) {
      if (this.#options.signal.aborted) return;
      if (this.#kills >= this.#options.kills || this.isWrong()) break;
      await this.#operateOnce(planned);
    }
  }

  /** Lets no more calls begin. */
  stop(): void {
    this.#writers.crew.stop();
    this.#fanOuts.crew.stop();
  }

  /** Until it was not refused for a mark. Again without its kills: they were made. */
  async #operateOnce(planned: PlannedOperation): Promise<void> {
    for (let tries = 1; ; tries++) {
      this.#writers.crew.resume();
      this.#fanOuts.crew.resume();
      const ended = await this.#operate(tries === 1 ? planned : { ...planned, kills: [] });
      await this.#writers.crew.pause();
      await this.#fanOuts.crew.pause();
      await this.#check(ended, planned);
      if (!isMarked(ended) || this.isWrong() || this.#options.signal.aborted) return;
      if (tries >= MARKED_TRIES_MAX)
        throw new Error(`${planned.name} met marks ${tries} times: ${ended.fault?.message}`);
    }
  }

  isWrong(): boolean {
    return this.problems.length > 0 || this.#writers.problems.length > 0;
  }

  report(elapsedMs: number): CrashReport {
    const problems = [...this.#writers.problems, ...this.problems];
    return {
      seed: this.#options.seed,
      seconds: Math.round(elapsedMs / 1000),
      writes: this.#writers.counts,
      fanOuts: { once: this.#fanOuts.counts(false), retried: this.#fanOuts.counts(true) },
      alarms: this.#alarms,
      kills: this.#kills,
      treeKills: this.#treeKills,
      deploys: this.#deploys,
      steps: this.#steps,
      operations: this.#operations,
      checks: this.#checks,
      accounts: this.#model.ids().length,
      fillers: this.#fillers.size,
      problems: problems.slice(0, PROBLEMS_MAX),
    };
  }

  async #operate(planned: PlannedOperation): Promise<OperationStatus> {
    const { layout, epoch } = await this.#control.live();
    const to = planned.to(layout);
    for (const member of to.members) this.#objects.add(member);
    const operation = {
      kind: planned.kind,
      epoch,
      to,
      policy: {
        ...DEFAULT_OPERATION_POLICY,
        waveRowsMax: WAVE_ROWS_MAX,
        retainHours: planned.retainHours,
      },
      correlationId: `${this.#options.seed}-${this.#checks}`,
      requestedBy: "crash run",
      refuseEmpty: false,
    };
    // Started again when the answer is lost: the correlation id makes it one operation.
    const start = this.#control.ask<OperationStatus>({ kind: "start", operation });
    start.catch(() => undefined); // awaited below; a kill may fail first
    const { early = [], late = [] } = Object.groupBy(planned.kills, (kill) =>
      isBeforeCancel(kill, planned) ? "early" : "late",
    );
    for (const kill of early) await this.#killWhen(kill);
    const { id } = await start;
    if (planned.cancelFrom !== null) await this.#cancel(id, planned.cancelFrom);
    for (const kill of late) await this.#killWhen(kill);
    const ended = await this.#control.untilStep(id, "idle", END_MS_MAX);
    this.#lastOperation = id;
    const label = planned.cancelFrom === null ? planned.name : `${planned.name} (cancel)`;
    const counts = (this.#operations[label] ??= {});
    const end = isMarked(ended) ? "refused for a mark" : ended.state;
    counts[end] = (counts[end] ?? 0) + 1;
    this.#options.onProgress(
      `operation ${id}: ${label} ${end} at epoch ${ended.epoch} · ${this.#kills} kills, ${this.#writers.counts.acknowledged} writes`,
    );
    return ended;
  }

  /**
   * Waits for the step, and a while more, then kills. Not at all when the operation has ended
   * before.
   */
  async #killWhen(kill: PlannedKill): Promise<void> {
    if (this.#kills >= this.#options.kills) return;
    const pid = await this.#runtime.findWorkerd();
    const steps = kill.step === "idle" ? [] : STEPS.slice(STEPS.indexOf(kill.step));
    const isRunning = await this.#control.insist("/untilStep", {
      after: this.#lastOperation,
      steps,
    });
    if (isRunning === true || kill.step === "idle") await this.#kill(kill, pid);
  }

  async #kill({ step, delay, isWholeTree, deploys }: PlannedKill, workerd: number): Promise<void> {
    await sleep(delay * DELAY_MS_MAX[step]);
    const found = isWholeTree
      ? await this.#runtime.killTree(deploys)
      : await this.#runtime.killWorkerd(workerd);
    this.#kills++;
    if (isWholeTree) this.#treeKills++;
    if (deploys !== null) {
      this.#deploys++;
      this.#version = deploys;
      this.#options.onProgress(`version ${deploys} is deployed`);
    }
    const at = found ?? "idle";
    this.#steps[at] = (this.#steps[at] ?? 0) + 1;
    this.#options.onProgress(
      `kill ${this.#kills}: ${isWholeTree ? "everything" : "workerd"} in ${at} (aimed at ${step})`,
    );
    await this.#runtime.waitUntilUp();
  }

  async #cancel(id: number, from: KillStep): Promise<void> {
    const seen = await this.#control.untilStep(id, from, END_MS_MAX);
    if (seen.state !== "running") return;
    const deadline = Date.now() + CALL_MS_MAX;
    for (;;) {
      const answer = await this.#runtime.post("/root", { kind: "cancel", id });
      // Refused: it has cut over already.
      if (answer.kind === "answered" || answer.kind === "refused") return;
      if (Date.now() >= deadline)
        throw new Error(`Operation ${id} could not be cancelled: ${answer.message}`);
      await sleep(POLL_MS);
    }
  }

  async #check(ended: OperationStatus, planned: PlannedOperation): Promise<void> {
    this.#checks++;
    const wrong = this.#checkEnd(ended, planned);
    const live = await this.#control.live();
    if (ended.state === "completed" && !sameLayout(live.layout, ended.to))
      wrong.push("The layout is not the declared one");
    if (
      ended.mode === "swap" &&
      ended.state !== "completed" &&
      !sameLayout(live.layout, ended.from)
    )
      wrong.push("The layout has changed, though the operation was cancelled");
    this.#empty = mustBeEmpty(this.#empty, ended, live.layout, planned.retainHours === 0);
    const dumps = await this.#settledDumps();
    this.#alarms = countAlarms(dumps);
    const possible = new Map([
      ...this.#fillers,
      ...expectByAlarms(dumps),
      ...this.#model.ids().map((id) => [id, this.#model.possible(id)] as const),
    ]);
    const expected = {
      possible,
      fanOuts: this.#fanOuts.made,
      empty: this.#empty,
      version: this.#version,
    };
    wrong.push(
      ...checkState({ ...live, dumps }, expected).map((problem) => this.#explain(problem)),
    );
    if (wrong.length === 0) return;
    this.problems.push(
      `After operation ${ended.id} (${planned.name}, ${ended.state}, epoch ${live.epoch}), seed ${this.#options.seed}:`,
      ...wrong,
    );
  }

  /** A crash is no reason to fail: it must be carried on. */
  #checkEnd(ended: OperationStatus, { cancelFrom, name }: PlannedOperation): string[] {
    if (
      ended.state === "completed" ||
      (ended.state === "cancelled" && cancelFrom !== null) ||
      isMarked(ended)
    )
      return [];
    return [
      `${name} ended as ${ended.state}: ${JSON.stringify(ended.fault)} (last error: ${ended.lastError ?? "none"})`,
    ];
  }

  #explain(problem: string): string {
    const id = /\b\d{5}-w\d+-\d+\b/.exec(problem)?.[0];
    return id === undefined
      ? problem
      : `${problem}. Its last calls: ${this.#model.recent(id).join("; ")}`;
  }

  /**
   * All objects, once the chores that the operation left are done: members that were dead at its
   * end are told later.
   */
  async #settledDumps(): Promise<Dump[]> {
    const deadline = Date.now() + END_MS_MAX;
    for (;;) {
      const root = await this.#control.dump(NAMESPACE);
      const isWaiting = root.chores.some(
        (chore) => chore.kind !== "empty" || this.#empty.has(chore.member),
      );
      if (!isWaiting || Date.now() >= deadline)
        return Promise.all([...this.#objects].map((member) => this.#control.dump(member)));
      await sleep(POLL_MS);
    }
  }
}

function isMarked({ state, fault }: OperationStatus): boolean {
  return state === "failed" && fault?.message.includes(MARKED) === true;
}

function isBeforeCancel({ step }: PlannedKill, { cancelFrom }: PlannedOperation): boolean {
  return cancelFrom === null || KILL_STEPS.indexOf(step) < KILL_STEPS.indexOf(cancelFrom);
}

/**
 * Targets of a cancelled swap, and members that retired with no time to stay; until they are named
 * again.
 */
function mustBeEmpty(
  before: ReadonlySet<string>,
  ended: OperationStatus,
  live: Layout,
  isRetiredEmpty: boolean,
): Set<string> {
  const empty = new Set(before);
  for (const member of [...ended.from.members, ...ended.to.members]) empty.delete(member);
  if (ended.state !== "completed") {
    if (ended.mode === "swap") for (const member of ended.to.members) empty.add(member);
  } else if (isRetiredEmpty) {
    for (const member of ended.from.members) if (!live.members.includes(member)) empty.add(member);
  }
  return empty;
}
