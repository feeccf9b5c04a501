/**
 * The coordinator's work on pull requests: its queue, and one pass over it at a time.
 *
 * A pass does a bounded number of tasks one after the other, since GitHub wants writes in a row;
 * what is left is for the next alarm. It never throws. A rate limit ends the pass, and the next one
 * waits for it.
 */
import type { Run } from "../model/api.ts";
import type { GithubResult, GithubWriter } from "../github/port.ts";
import type { LiveAccess } from "../live/port.ts";
import { NoAnswer, type SetReader } from "../manifest/read-set.ts";
import { logError, logEvent } from "../log.ts";
import type { GithubSettings } from "../github/settings.ts";
import { DELAY_LONGEST_MS, TasksStore, type StoredTask } from "./tasks-store.ts";
import { answerCommand } from "./answer-command.ts";
import { giveUp } from "./give-up.ts";
import { postPull } from "./post-pull.ts";
import { success } from "../model/result.ts";
import { postComment } from "./post-state.ts";
import { scanPulls } from "./scan-pulls.ts";
import { createMemoryBlobs } from "./memory-blobs.ts";
import type { PullParts } from "./pull-parts.ts";
import { keyOfTask, type PullTask } from "./pull-task.ts";
import { PullsStore } from "./pulls-store.ts";

/**
 * Tasks of one pass: each is a few dozen requests at most, and one invocation has 1,000 of them or
 * more.
 */
const PASS_TASKS_MAX = 10;
/** Attempts that may end without an answer before a task is given up. */
const UNANSWERED_MAX = 2;
/**
 * While a pass is under way the object is woken up so often, so that the runtime does not put it to
 * sleep.
 */
const WATCH_MS = 5_000;

/** The calls that ask for work on pull requests, which is done outside of them. */
export interface PullCalls {
  /** Takes the work that a delivery asks for. False when the same delivery came before. */
  accept(deliveryId: string, tasks: readonly PullTask[]): boolean;
  /** Nothing happens in a Worker that posts nothing. */
  queue(tasks: readonly PullTask[]): void;
}

export interface PullWorkParts {
  readonly settings: () => GithubSettings | null;
  readonly github: () => GithubWriter | null;
  readonly liveAccess: () => LiveAccess;
  readonly readSet: SetReader;
  readonly coordinator: PullParts["coordinator"];
  /** True the first time that the delivery is claimed. */
  readonly claimDelivery: (id: string, now: number) => boolean;
  /** Sets the alarm for what is due next. */
  readonly arm: () => void;
}

export class PullWork implements PullCalls {
  readonly #storage: DurableObjectStorage;
  readonly #tasks: TasksStore<PullTask>;
  readonly #pulls: PullsStore;
  readonly #parts: PullWorkParts;
  readonly #blobs = createMemoryBlobs();
  #pass: Promise<void> | null = null;
  #limitedUntil = 0;

  constructor(storage: DurableObjectStorage, parts: PullWorkParts) {
    this.#storage = storage;
    this.#tasks = new TasksStore(storage.sql);
    this.#pulls = new PullsStore(storage.sql);
    this.#parts = parts;
  }

  accept(deliveryId: string, tasks: readonly PullTask[]): boolean {
    const now = Date.now();
    const isNew = this.#storage.transactionSync(() => {
      if (!this.#parts.claimDelivery(deliveryId, now)) return false;
      this.#put(tasks, now);
      return true;
    });
    this.#parts.arm();
    return isNew;
  }

  queue(tasks: readonly PullTask[]): void {
    this.#put(tasks, Date.now());
    this.#parts.arm();
  }

  #put(tasks: readonly PullTask[], now: number): void {
    if (tasks.length === 0 || !this.#parts.settings()?.posts) return;
    for (const task of tasks) {
      if (!this.#tasks.put(keyOfTask(task), task, now))
        logEvent("pull.task.dropped", { key: keyOfTask(task) });
    }
  }

  /**
   * Puts a run that started or ended into its pull request; one that ended may have changed what
   * the others would do.
   */
  tellRun({ id, environment, origin, state }: Run, now: number): void {
    if (environment !== this.#parts.settings()?.environment) return;
    const own: PullTask[] = origin?.pull ? [{ kind: "run", run: id }] : [];
    this.#put(
      [...own, ...(state === "running" ? [] : [{ kind: "scan", all: true } as const])],
      now,
    );
  }

  /** When there is something to do; null for never. */
  nextAt(now: number): number | null {
    if (this.#pass !== null) return now + WATCH_MS;
    const dueAt = this.#tasks.nextDueAt();
    if (dueAt === null) return null;
    const at = Math.max(dueAt, this.#isLimited(now) ? this.#limitedUntil : 0);
    return at - now > DELAY_LONGEST_MS ? now : at;
  }

  /** Begins a pass when work is due and none is under way. */
  start(now: number): void {
    const at = this.nextAt(now);
    if (this.#pass !== null || at === null || at > now) return;
    this.#pass = this.#doPass()
      .catch((error: unknown) => logError("pull.pass.failed", {}, error))
      .finally(() => {
        this.#pass = null;
        this.#parts.arm();
      });
  }

  async #doPass(): Promise<void> {
    const parts = this.#open();
    // The Worker was told to stop posting: what was queued before is void.
    if (parts === null) return this.#tasks.clear();
    for (const task of this.#tasks.due(Date.now(), PASS_TASKS_MAX)) {
      if (this.#isLimited(Date.now())) return undefined;
      await this.#attempt(parts, task);
    }
    return undefined;
  }

  /** The attempt is on disk before it is made: what it dies of is not tried for ever. */
  async #attempt(parts: PullParts, task: StoredTask<PullTask>): Promise<void> {
    const unanswered = this.#tasks.begin(task);
    await this.#storage.sync();
    if (unanswered < UNANSWERED_MAX)
      return this.#do(
        task,
        () => doTask(parts, task.body),
        () => this.#tasks.answered(task),
      );
    logEvent("pull.task.unanswered", { key: task.key, attempts: unanswered });
    // Not even the word could be said.
    if (unanswered >= 2 * UNANSWERED_MAX) return this.#drop(task);
    return this.#do(task, async () => {
      const told = await giveUp(parts, task.body);
      if (told.ok) this.#tasks.answered(task);
      return told;
    });
  }

  #drop(task: StoredTask<PullTask>): void {
    this.#tasks.answered(task);
    this.#tasks.complete(task, Date.now());
    logEvent("pull.task.givenUp", { key: task.key });
  }

  async #do(
    task: StoredTask<PullTask>,
    work: () => Promise<GithubResult<unknown>>,
    onAnswer: () => void = () => undefined,
  ): Promise<void> {
    try {
      const done = await work();
      onAnswer();
      if (done.ok) return this.#tasks.complete(task, Date.now());
      const { kind, message, retryAt } = done.failure;
      logEvent("pull.task.postponed", {
        key: task.key,
        failures: task.failures + 1,
        kind,
        message,
      });
      if (kind === "rateLimited") this.#limitedUntil = retryAt ?? Date.now() + WATCH_MS;
      this.#postpone(task, retryAt);
    } catch (error) {
      if (!(error instanceof NoAnswer)) onAnswer();
      logError("pull.task.failed", { key: task.key, failures: task.failures + 1 }, error);
      this.#postpone(task, null);
    }
    return undefined;
  }

  #isLimited(now: number): boolean {
    return this.#limitedUntil > now && this.#limitedUntil - now <= DELAY_LONGEST_MS;
  }

  #postpone(task: StoredTask<PullTask>, retryAt: number | null): void {
    if (!this.#tasks.postpone(task, retryAt, Date.now()))
      logEvent("pull.task.givenUp", { key: task.key });
  }

  #open(): PullParts | null {
    const settings = this.#parts.settings();
    const github = this.#parts.github();
    if (!settings?.posts || github === null) return null;
    return {
      settings,
      github,
      liveAccess: this.#parts.liveAccess(),
      readSet: this.#parts.readSet,
      coordinator: this.#parts.coordinator,
      pulls: this.#pulls,
      blobs: this.#blobs,
      queue: (task) => this.#put([task], Date.now()),
      now: () => Date.now(),
    };
  }
}

/** A failure is GitHub's: the task is worth trying again later. */
function doTask(parts: PullParts, task: PullTask): Promise<GithubResult<unknown>> {
  switch (task.kind) {
    case "scan":
      return scanPulls(parts, task.all);
    case "pull":
      return postPull(parts, task.pull, task.again);
    case "command":
      return answerCommand(parts, task);
    case "run":
      return postRun(parts, task.run);
  }
}

/**
 * Writes how far a run is, and how it ended, into the comment of the pull request that it came
 * from.
 */
async function postRun(parts: PullParts, id: string): Promise<GithubResult<null>> {
  const { github, coordinator, settings } = parts;
  const run = coordinator.runs.findRun(id);
  const number = run?.origin?.pull ?? null;
  if (!run || number === null || run.environment !== settings.environment) return success(null);
  const plan = coordinator.plans.read(run.fingerprint);
  const pull = await github.pull(number);
  if (!pull.ok) return pull.failure.kind === "notFound" ? success(null) : pull;
  // A run outlives its plan only by weeks; then there is nobody left to tell.
  if (plan === null) return success(null);
  const posted = await postComment(parts, pull.value, {
    kind: "run",
    plan,
    run,
  });
  return posted.ok ? success(null) : posted;
}
