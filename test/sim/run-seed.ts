/**
 * One run: clients and operators under faults, then calm, then rest; then the checks. The same seed
 * and cuts give the same run.
 */
import { checkEnd } from "./check-end.ts";
import { Client } from "./client.ts";
import { History } from "./history.ts";
import { checkKey, initialState } from "./linearizable.ts";
import { PARTITIONERS, runOperator, runningOperation, waitsForTables } from "./operator.ts";
import { deployNewest, runDeploys, runFullDisks } from "./run-hazards.ts";
import { checkRepaired, isInOrder, repairAgain } from "./repairer.ts";
import { runRestores } from "./run-restores.ts";
import { Random } from "./random.ts";
import {
  type Cuts,
  GROUPS,
  NO_CUTS,
  RIVALS,
  type Scenario,
  TWINS,
  createScenario,
} from "./scenario.ts";
import { Scheduler } from "./scheduler.ts";
import { World } from "./world.ts";

export interface RunReport {
  readonly seed: number;
  /** Empty when all is well. */
  readonly violations: readonly string[];
  readonly steps: number;
  readonly calls: number;
  readonly unknown: number;
  readonly epochs: number;
  /** How operations ended: `shard completed` and how often. */
  readonly operations: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly trace: readonly string[];
}

/** Faults stop after this time at the latest. */
const FAULTY_MS_MAX = 15_000;
/**
 * Once faults have stopped, everything must have ended after this time: a step is tried for two
 * minutes.
 */
const RECOVERY_MS_MAX = 3 * 60_000;
/** How much longer an operation waits for tables to be the same. */
const TABLES_MS_MAX = 10 * 60_000;
/** Retired members are emptied after a day: longer than that nothing takes. */
const REST_MS_MAX = 30 * 3_600_000;
const STEPS_MAX = 60_000;
/** Time for what is told the root once faults have stopped, and for its repair. */
const TELL_MS = 5_000;

export async function runSeed(
  seed: number,
  cuts: Cuts = NO_CUTS,
  isTraced = false,
): Promise<RunReport> {
  const scenario = createScenario(seed, cuts);
  const trace: string[] = [];
  const scheduler = new Scheduler();
  const world = new World({
    namespace: scenario.namespace,
    random: new Random(seed ^ 0x5eed),
    scheduler,
    faults: scenario.faults,
    partitioners: PARTITIONERS,
    store: { ...scenario, hasPins: scenario.hasDirectWriters, rebuilds: rebuiltTable(scenario) },
    versions: scenario.deploys.versions,
    isHostFirst: scenario.isHostFirst,
    trace: isTraced ? (line) => trace.push(line) : null,
  });
  const history = new History(() => scheduler.steps);
  try {
    await play(world, scenario, history);
    const report = judge(world, scenario, history);
    return { ...report, trace };
  } finally {
    world.close();
  }
}

async function play(world: World, scenario: Scenario, history: History): Promise<void> {
  const { scheduler } = world.options;
  const start = scheduler.now;
  await fill(world, scenario);
  const keys = keysOf(scenario);
  let open = 0;
  const follow = (name: string, work: Promise<void>): void => {
    open++;
    void work.then(
      () => open--,
      (error: unknown) => {
        open--;
        world.violate(
          `${name} broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        );
      },
    );
  };
  scenario.clients.forEach((steps, index) =>
    follow(`client ${index}`, new Client(world, history, `c${index}`, keys).run(steps)),
  );
  scenario.operators.forEach((steps, index) =>
    follow(`operator ${index}`, runOperator(world, `o${index}`, steps, scenario)),
  );
  follow("deploys", runDeploys(world, scenario.deploys.steps));
  follow("restores", runRestores(world, scenario.restores));
  let isOver = false;
  const goesBack = scenario.restores.length > 0;
  if (goesBack)
    follow(
      "repairer",
      repairAgain(world, () => isOver),
    );
  runFullDisks(world, scenario.fullDisks).forEach((work, index) =>
    follow(`full disk ${index}`, work),
  );
  // The repairer goes on.
  const last = goesBack ? 1 : 0;
  await scheduler.run(() => open === last, start + FAULTY_MS_MAX, STEPS_MAX);
  world.isFaulty = false;
  if (scenario.hasDeploys) deployNewest(world);
  world.trace(() => "faults stop");
  const calmAt = scheduler.now;
  // Every object that has something to tell the root has done so by then.
  const isTold = (): boolean =>
    !goesBack || scheduler.now >= Math.max(calmAt, world.setbacks.lastAt) + TELL_MS;
  const isSettled = (): boolean =>
    open === last &&
    isTold() &&
    isInOrder(world) &&
    world.setbacks.isOver &&
    runningOperation(world) === null;
  let recoveryMs = RECOVERY_MS_MAX + pausesMs(scenario);
  let recovered = await scheduler.run(isSettled, scheduler.now + recoveryMs, STEPS_MAX);
  if (waitsForTables(world)) {
    recovered = await scheduler.run(isSettled, scheduler.now + TABLES_MS_MAX, STEPS_MAX);
    recoveryMs += TABLES_MS_MAX;
  }
  if (!isSettled())
    world.violate(
      `${recoveryMs / 60_000} minutes after the faults: ${open} clients wait, operation ${runningOperation(world) ?? "none"} runs (${recovered}): ${lastError(world)}`,
    );
  isOver = true;
  if (scenario.hasSetbacks) await closeOff(world, history, scenario, follow, () => open === 0);
  const rested = await scheduler.run(() => false, scheduler.now + REST_MS_MAX, STEPS_MAX);
  if (rested !== "empty") world.violate(`it does not come to rest (${rested})`);
}

/**
 * Checks the state after the last repair, as callers and operators see it, and stay so over one
 * more operation.
 */
async function closeOff(
  world: World,
  history: History,
  scenario: Scenario,
  follow: (name: string, work: Promise<void>) => void,
  isOver: () => boolean,
): Promise<void> {
  const { scheduler } = world.options;
  const look = (): Promise<void> =>
    new Client(world, history, "caller", keysOf(scenario)).run(
      (["query", "call"] as const).map((by, index) => ({
        index,
        afterMs: 1,
        intent: { kind: "list", by },
      })),
    );
  follow("closing", checkRepaired(world, scenario, look));
  if ((await scheduler.run(isOver, scheduler.now + RECOVERY_MS_MAX, STEPS_MAX)) !== "done")
    world.violate("the namespace does not come to order in the end");
}

/** Returns the last error that the running operation met. */
function lastError(world: World): string {
  const query =
    "SELECT json_extract(record, '$.lastError') AS error FROM shardctl_operations WHERE state = 'running'";
  const error = world.object(world.options.namespace).storage.peek(query)[0]?.["error"] ?? null;
  return typeof error === "string" ? error : "no error";
}

/** Rows of a table that is followed by reference would go with it when it is dropped. */
function rebuiltTable({ hasForeignKey, deploys }: Scenario): "items" | "notes" {
  const isReferenced =
    hasForeignKey || deploys.versions.some(({ changes }) => changes.includes("table"));
  return isReferenced ? "notes" : "items";
}

/** How long operators hold operations up: nobody can recover meanwhile. */
function pausesMs({ operators }: Scenario): number {
  return operators.flat().reduce((total, { pause }) => total + (pause?.forMs ?? 0), 0);
}

/** The rows that are there before the first call. */
async function fill(world: World, scenario: Scenario): Promise<void> {
  const root = world.object(scenario.namespace);
  const filled = root.stray((store) => {
    for (const { id, grp, n, tag, notes } of scenario.initial) {
      store.put(id, grp, n, tag);
      for (let seq = 0; seq < notes; seq++) store.note(id, seq, "first");
    }
  });
  let isFilled = false;
  void filled.then(() => (isFilled = true));
  const wasFaulty = world.isFaulty;
  world.isFaulty = false;
  await world.options.scheduler.run(() => isFilled, Infinity, STEPS_MAX);
  world.isFaulty = wasFaulty;
}

function keysOf(scenario: Scenario): string[] {
  const own = scenario.clients.flatMap((_, client) => [`c${client}a`, `c${client}b`]);
  const twins = TWINS.flatMap((id) => GROUPS.map((grp) => `${id}@${grp}`));
  return [
    ...new Set([
      ...scenario.initial.map((row) => row.id),
      ...scenario.shared,
      ...own,
      ...twins,
      ...RIVALS,
    ]),
  ].toSorted();
}

function judge(world: World, scenario: Scenario, history: History): Omit<RunReport, "trace"> {
  const end = checkEnd(world, {
    ...scenario,
    isRepaired: scenario.hasRestores || scenario.hasLostStorage,
  });
  const keys = keysOf(scenario);
  for (const id of end.views.keys())
    if (!keys.includes(id)) world.violate(`${id} was never written`);
  for (const flaw of world.fanOuts.judge(history, keys)) world.violate(flaw);
  for (const flaw of world.setbacks.judge(history, keys)) world.violate(flaw);
  const unknown = history.entries.filter((entry) => entry.returnedAt === Infinity).length;
  const calls = history.size;
  // The rows stored in the end are one more read, after everything else.
  history.sawAll("end", keys, world.options.scheduler.steps + 1, end.views);
  for (const key of world.setbacks.isUnknown ? [] : keys) {
    const entries = history.entries.filter((entry) => entry.key === key);
    const row = scenario.initial.find((candidate) => candidate.id === key);
    const flaw = checkKey(key, initialState(row), entries);
    if (flaw) world.violate(flaw);
  }
  const operations: Record<string, number> = {};
  for (const { kind, state, mode, fault } of end.operations) {
    const ended = `${kind} ${mode} ${state}${fault && fault.kind !== state ? `: ${fault.kind}` : ""}`;
    operations[ended] = (operations[ended] ?? 0) + 1;
  }
  return {
    seed: scenario.seed,
    violations: world.violations,
    steps: world.options.scheduler.steps,
    calls,
    unknown,
    epochs: end.epoch,
    operations,
    faults: { ...world.struck },
  };
}
