/**
 * Derives the events of one run from its seed alone: the rows at the start, the calls of each
 * client and their times, the operations that are started and cancelled, and how often each fault
 * strikes.
 *
 * Everything can be left out (`Cuts`) to shorten a failing run.
 */
import {
  type Deploys,
  type FullDiskStep,
  NO_DEPLOYS,
  chooseDeploys,
  chooseFullDisks,
  type RestoreStep,
  SHIFT_STORIES,
  chooseQuietRestores,
  chooseRestores,
} from "./hazards.ts";
import { Random } from "./random.ts";

export interface FaultRates {
  readonly lostRequest: number;
  readonly lateRequest: number;
  /** Between objects: it arrives, and nothing comes back, not even an error. */
  readonly silent: number;
  readonly lostReply: number;
  readonly doubled: number;
  readonly slow: number;
  readonly slowFlush: number;
  readonly crash: number;
}
export type FaultName = keyof FaultRates;

export const NO_FAULTS: FaultRates = {
  lostRequest: 0,
  lateRequest: 0,
  silent: 0,
  lostReply: 0,
  doubled: 0,
  slow: 0,
  slowFlush: 0,
  crash: 0,
};

/**
 * The moment that a call waits for, a while: a fence, or a target that makes rows live, on which it
 * then looks for a key of its own.
 */
export type Moment = "any" | "fence" | "promotion";

/**
 * `briefly`: soon enough for the tickets of the others to stand. `beyondCutover`: once the next
 * wave has cut over, or after a while.
 */
export type Straggling = "no" | "briefly" | "beyondCutover";

/** An action of a client. `grp` is the group that the item has by then. */
export type Intent =
  | {
      readonly kind: "put";
      readonly id: string;
      readonly n: number;
      readonly tag: number;
      readonly slowMs: number;
    }
  | { readonly kind: "get"; readonly id: string }
  | { readonly kind: "remove"; readonly id: string }
  | { readonly kind: "increment"; readonly id: string; readonly by: number }
  | { readonly kind: "note"; readonly id: string; readonly seq: number; readonly body: string }
  /**
   * `copyMs` waits until rows have been copied for so long; null does not wait. From then on, for
   * `cutOffMs`, the object that has the item sends no rows that arrive.
   */
  | {
      readonly kind: "regroup";
      readonly id: string;
      readonly grp: string;
      readonly copyMs: number | null;
      readonly cutOffMs?: number;
    }
  /** Two items change places: each takes the other's group. */
  | {
      readonly kind: "exchange";
      readonly ids: readonly [string, string];
      readonly copyMs: number | null;
      readonly cutOffMs?: number;
    }
  /**
   * The same id under another group: another item, as long as one member never owns both groups.
   */
  | {
      readonly kind: "twin";
      readonly id: string;
      readonly grp: string;
      readonly does: "put" | "get" | "remove";
      readonly n: number;
      readonly tag: number;
      readonly moment: Moment;
    }
  /**
   * An item whose code other items have too: one member holds at most one of them, several members
   * may.
   */
  | {
      readonly kind: "rival";
      readonly id: string;
      readonly does: "put" | "get" | "remove";
      readonly n: number;
      readonly tag: number;
      readonly moment: Moment;
    }
  /**
   * Writes on the root itself, past the router; `fenceMs` waits so long for a fence, and writes
   * while it stands.
   */
  | {
      readonly kind: "stray";
      readonly id: string;
      readonly n: number;
      readonly tag: number;
      readonly fenceMs: number;
    }
  /**
   * A timer of the object that has the item: removes it with its notes, and tries a note of no
   * item. `fenceMs` waits so long for a fence somewhere, and then `afterMs` more.
   */
  | {
      readonly kind: "sweep";
      readonly id: string;
      readonly fenceMs: number;
      readonly afterMs: number;
    }
  /**
   * A timer that pins an item for a while, in a table of its object's own that points at it: one
   * that a target has just made live, on its target or, with `isAtSource`, where it still is
   * served.
   */
  | {
      readonly kind: "pin";
      readonly isAtSource: boolean;
      readonly afterMs: number;
      readonly forMs: number;
    }
  /**
   * Puts that are made by one call: the owner of each item calls the owner of the next. `isOwn`:
   * through the host's router; else through one that the engine does not know. `isBack`: the last
   * one calls itself.
   */
  | {
      readonly kind: "relay";
      readonly hops: readonly { readonly id: string; readonly n: number; readonly tag: number }[];
      readonly isOwn: boolean;
      readonly isBack: boolean;
      readonly delayMs: number;
      /** Waits so long for a root that asks what runs, as it does before each fence. */
      readonly fenceMs: number;
    }
  /** Several items at once, all or nothing per member. */
  | {
      readonly kind: "putMany";
      readonly items: readonly { readonly id: string; readonly n: number; readonly tag: number }[];
    }
  /**
   * Adds to every item, by one call to all members. `fenceMs` waits so long for a root that asks
   * what runs, and then `afterMs` more. `straggles`: what is sent to some members comes later than
   * to others.
   */
  | {
      readonly kind: "fanOut";
      readonly by: number;
      readonly slowMs: number;
      readonly fenceMs: number;
      readonly afterMs: number;
      readonly straggles: Straggling;
    }
  /** A read of every member. */
  | { readonly kind: "list"; readonly by: "call" | "query" };

export interface ClientStep {
  /** Place in the whole scenario: what `Cuts` name. */
  readonly index: number;
  readonly afterMs: number;
  readonly intent: Intent;
}

export interface OperatorStep {
  readonly index: number;
  readonly afterMs: number;
  /**
   * Waits for a root that is busy with chores only: the moment in which a start is most easily
   * overlooked.
   */
  readonly startsAtChores: boolean;
  readonly retainHours: number;
  /** Slow moves leave time for changes of what is already copied. */
  readonly rowsPerSecondMax: number | null;
  /** Waits for the end of what it started before its next step. */
  readonly waits: boolean;
  /** Asks for a cancel so long after the start; null never. */
  readonly cancelAfterMs: number | null;
  /** Then waits for a fence as well: the moment in which a cancel is hardest. */
  readonly cancelsAtFence: boolean;
  /** Holds up what it started, before any cancel; null never. */
  readonly pause: PauseStep | null;
}

export interface PauseStep {
  readonly afterMs: number;
  /**
   * Waits for this instead, a while: an attempt of a fence, or a wave that has cut over and is not
   * active yet.
   */
  readonly moment: "any" | "fence" | "activation";
  /**
   * A long one outlasts the faults and the clients: then nothing may be left in any log, and no
   * fence may stand.
   */
  readonly forMs: number;
  /** Cancels it instead of letting it go on. */
  readonly cancels: boolean;
}
/** From here on a pause is long. */
export const LONG_PAUSE_MS = 150_000;

export interface InitialRow {
  readonly id: string;
  readonly grp: string;
  readonly n: number;
  readonly tag: number;
  readonly notes: number;
}

export interface Scenario {
  readonly seed: number;
  readonly namespace: string;
  readonly faults: FaultRates;
  readonly hasUniqueIndex: boolean;
  readonly hasForeignKey: boolean;
  /** Some ids stand under several groups: an operation that would bring them together fails. */
  readonly hasTwins: boolean;
  /**
   * Some items have the same code, which is unique on each member: an operation that would bring
   * two together fails.
   */
  readonly hasRivals: boolean;
  /** Items often change their group, while they are copied and otherwise. */
  readonly hasRegroups: boolean;
  /** Operations are paused and resumed. */
  readonly hasPauses: boolean;
  /** Versions of the class are deployed while rows move. */
  readonly hasDeploys: boolean;
  /** Databases reach their limit. */
  readonly hasFullDisks: boolean;
  /** Methods call other owners, and some run for seconds. */
  readonly hasNestedCalls: boolean;
  /** Timers of all objects write, past the router. */
  readonly hasDirectWriters: boolean;
  /** Calls to all members change rows. */
  readonly hasFanOuts: boolean;
  /** An object goes back to an earlier moment, and is repaired. */
  readonly hasRestores: boolean;
  /** An object loses its storage, and is repaired. */
  readonly hasLostStorage: boolean;
  /**
   * Any object may go back, at any time: what it had since may be lost. Else it is the root alone,
   * while it owns nothing.
   */
  readonly hasSetbacks: boolean;
  /** The class's host is made before its tables, as a field is. */
  readonly isHostFirst: boolean;
  readonly deploys: Deploys;
  readonly fullDisks: readonly FullDiskStep[];
  readonly restores: readonly RestoreStep[];
  readonly waveRowsMax: number;
  readonly initial: readonly InitialRow[];
  /**
   * Ids that several clients use; the others belong to one client each, and may change their group.
   */
  readonly shared: readonly string[];
  readonly clients: readonly (readonly ClientStep[])[];
  readonly operators: readonly (readonly OperatorStep[])[];
}

/** Features that only some scenarios have. */
export const FEATURES = [
  "hasUniqueIndex",
  "hasForeignKey",
  "hasTwins",
  "hasRivals",
  "hasRegroups",
  "hasPauses",
  "hasDeploys",
  "hasFullDisks",
  "hasNestedCalls",
  "hasDirectWriters",
  "hasFanOuts",
  "hasRestores",
  "hasLostStorage",
  "hasSetbacks",
] as const;
export type Feature = (typeof FEATURES)[number];

/** Parts left out of a scenario. */
export interface Cuts {
  readonly faults: readonly FaultName[];
  readonly steps: readonly number[];
  readonly operations: readonly number[];
  /** By their index. A deploy that is left out is skipped, the versions stay. */
  readonly deploys?: readonly number[];
  readonly fullDisks?: readonly number[];
  readonly restores?: readonly number[];
}
export const NO_CUTS: Cuts = { faults: [], steps: [], operations: [] };

/**
 * Ids that stand under several groups at once. What the history says of them is said per group: see
 * `keyOfView`.
 */
export const TWINS: readonly string[] = ["t0", "t1"];
/** Items that share their codes, one in each group. */
export const RIVALS: readonly string[] = ["r0", "r1", "r2", "r3", "r4"];
/** How long what is to happen at a fence waits for one. */
const FENCE_WAIT_MS = 800;
export const GROUPS = ["g0", "g1", "g2", "g3", "g4"];

/** How many of the ordinary seeds have what. */
const NESTED_SHARE = 0.25;
const DEPLOYS_SHARE = 0.25;
const FULL_DISKS_SHARE = 0.2;
const DIRECT_WRITERS_SHARE = 0.2;
const FAN_OUTS_SHARE = 0.2;
/** Of those: only where no fault strikes every call to all members must succeed. */
const CALM_FAN_OUTS_SHARE = 0.3;
/**
 * Of those in which nothing else gives operations reason to end otherwise: the root goes back while
 * it owns nothing.
 */
const QUIET_RESTORES_SHARE = 0.2;
/**
 * Objects of any kind go back, or lose everything. What else these runs have, such as calls within
 * calls, they have more rarely.
 */
const RESTORES_SHARE = 0.07;
const LOST_STORAGE_SHARE = 0.07;
const BESIDE_SETBACKS_SHARE = 0.15;

export function groupOf(id: string): string {
  return (
    GROUPS[Array.from(id).reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % GROUPS.length] ??
    "g0"
  );
}

export function createScenario(seed: number, cuts: Cuts = NO_CUTS): Scenario {
  const random = new Random(seed);
  const goesBack = random.chance("setbacks", RESTORES_SHARE);
  const hasLostStorage = random.chance("lostStorage", LOST_STORAGE_SHARE);
  // Each lost row must be known: little else may disturb the run.
  const hasSetbacks = [goesBack, hasLostStorage].some(Boolean);
  const has = (label: string, share: number): boolean =>
    random.chance(label, share) && !hasSetbacks;
  const hasAlso = (label: string, share: number): boolean =>
    hasSetbacks
      ? random.chance(`setbacks/${label}`, BESIDE_SETBACKS_SHARE)
      : random.chance(label, share);
  const clientCount = random.whole("clients", 2, 4);
  // Rare meetings of two rows under one id need many of them.
  const twinShare = has("twins", 0.25) ? random.pick("twinShare", [0.35, 0.85]) : 0;
  const regroupShare = has("regroups", 0.3) ? random.pick("regroupShare", [0.4, 0.8]) : 0;
  const hasUniqueIndex = random.chance("unique", 0.4);
  const rivalShare = hasUniqueIndex && twinShare === 0 && has("rivals", 0.7) ? 0.3 : 0;
  const stepMsMax = random.pick("stepMsMax", [40, 160, 160, 160]);
  const nestedShare = hasAlso("nested", NESTED_SHARE) ? random.pick("nestedShare", [0.15, 0.4]) : 0;
  const sweepShare = random.chance("directWriters", DIRECT_WRITERS_SHARE) ? 0.3 : 0;
  const fanOutShare = hasAlso("fanOuts", FAN_OUTS_SHARE)
    ? random.pick("fanOutShare", [0.2, 0.5])
    : 0;
  const faults = chooseFaults(random, fanOutShare > 0);
  const isCalm = Object.values(faults).every((rate) => rate === 0);
  const hasDeploys = has("deploys", DEPLOYS_SHARE);
  const hasFullDisks = has("fullDisks", FULL_DISKS_SHARE);
  const shared = Array.from({ length: random.whole("shared", 2, 5) }, (_, index) => `s${index}`);
  const passive = Array.from({ length: random.whole("passive", 0, 14) }, (_, index) => `p${index}`);
  const own = Array.from({ length: clientCount }, (_, client) => [`c${client}a`, `c${client}b`]);
  let index = 0;
  const clients = own.map((ids, client) =>
    Array.from(
      { length: random.whole("steps", 8, 26) * (regroupShare + fanOutShare > 0 ? 2 : 1) },
      (): ClientStep => ({
        index: index++,
        afterMs: random.whole("stepMs", 1, stepMsMax),
        intent:
          chooseTwin(random, client, twinShare) ??
          chooseRival(random, client, rivalShare) ??
          chooseRegroup(random, client, regroupShare, ids, isCalm) ??
          chooseRelay(random, client, nestedShare, shared) ??
          choosePin(random, client, sweepShare) ??
          chooseSweep(random, client, sweepShare, shared) ??
          chooseFanOut(random, client, fanOutShare, isCalm) ??
          plainOf(
            chooseIntent(random, client, shared, ids, nestedShare > 0 ? 5_000 : 1_400),
            hasSetbacks,
          ),
      }),
    ),
  );
  const hasPauses = hasAlso("holdsUp", 0.25);
  const isDisturbed = [hasPauses, hasDeploys, hasFullDisks].some(Boolean);
  const isQuiet = !isDisturbed && has("restores", QUIET_RESTORES_SHARE);
  const restores = drawRestores(random, { goesBack, hasLostStorage, isQuiet }, cuts.restores ?? []);
  const operationsMin = chooseOperationsMin(regroupShare + fanOutShare, restores);
  const retainHours = random.pick("retain", [0, 0, 1, 24]);
  let operation = 0;
  const operators = Array.from({ length: random.chance("operators", 0.4) ? 2 : 1 }, () =>
    Array.from(
      {
        length: Math.max(random.whole("operations", 1, 4), operationsMin),
      },
      (): OperatorStep => ({
        index: operation++,
        afterMs: random.whole("operatorMs", 1, 500),
        startsAtChores: random.chance("atChores", 0.3),
        // Some chores of the root are due at once, others much later.
        retainHours: random.chance("retainsShort", 0.4) ? 0 : retainHours,
        rowsPerSecondMax:
          regroupShare > 0 && random.chance("slowMove", 0.5)
            ? random.pick("rowsPerSecond", [40, 150])
            : null,
        waits: random.chance("waits", 0.75),
        cancelAfterMs: random.chance("cancels", 0.25) ? random.whole("cancelMs", 1, 1_500) : null,
        cancelsAtFence: random.chance("cancelsAtFence", 0.4),
        pause: hasPauses && random.chance("pausesThis", 0.7) ? choosePause(random) : null,
      }),
    ),
  );
  return {
    seed,
    namespace: "ns",
    hasTwins: twinShare > 0,
    hasRivals: rivalShare > 0,
    hasRegroups: regroupShare > 0,
    hasPauses,
    hasDeploys,
    hasFullDisks,
    hasNestedCalls: nestedShare > 0,
    hasDirectWriters: sweepShare > 0,
    hasFanOuts: fanOutShare > 0,
    hasRestores: goesBack || isQuiet,
    hasLostStorage,
    hasSetbacks,
    restores,
    isHostFirst: hasDeploys && random.chance("hostFirst", 0.8),
    deploys: cutDeploys(
      hasDeploys ? chooseDeploys(random, hasUniqueIndex) : NO_DEPLOYS,
      cuts.deploys ?? [],
    ),
    fullDisks: hasFullDisks
      ? chooseFullDisks(random).filter((step) => !cuts.fullDisks?.includes(step.index))
      : [],
    faults: cutFaults(faults, cuts.faults),
    hasUniqueIndex,
    // The foreign key's cascades reveal what direct writers break.
    hasForeignKey: random.chance("foreignKey", 0.4) || sweepShare > 0,
    waveRowsMax: random.whole("waveRows", 2, 9),
    initial: [...shared, ...passive, ...own.flat(), ...(rivalShare > 0 ? RIVALS.slice(0, 1) : [])]
      .filter(() => random.chance("initial", 0.7))
      .map((id): InitialRow => ({
        id,
        grp: groupOf(id),
        n: random.whole("n", 0, 99),
        tag: random.whole("tag", 1, 999),
        notes: random.whole("notes", 0, 2),
      })),
    shared,
    clients: clients.map((steps) => steps.filter((step) => !cuts.steps.includes(step.index))),
    operators: operators.map((steps) =>
      steps.filter((step) => !cuts.operations.includes(step.index)),
    ),
  };
}

/** Regroups, calls to all members and some setbacks are to disturb a second move. */
function chooseOperationsMin(share: number, restores: readonly RestoreStep[]): number {
  const isShifted = restores.some(({ story }) => SHIFT_STORIES.includes(story));
  return share > 0 || isShifted ? 3 : 0;
}

function drawRestores(
  random: Random,
  {
    goesBack,
    hasLostStorage,
    isQuiet,
  }: Readonly<Record<"goesBack" | "hasLostStorage" | "isQuiet", boolean>>,
  cut: readonly number[],
): RestoreStep[] {
  const isLoud = goesBack || hasLostStorage;
  const steps = isLoud
    ? chooseRestores(random, goesBack, hasLostStorage)
    : isQuiet
      ? chooseQuietRestores(random)
      : [];
  return steps.filter(({ index }) => !cut.includes(index));
}

function choosePause(random: Random): PauseStep {
  const moment = random.pick("pauseMoment", [
    "any",
    "any",
    "fence",
    "fence",
    "activation",
  ] as const);
  const isLong = moment === "activation" || random.chance("pausesLong", 0.3);
  return {
    afterMs: random.whole("pauseMs", 1, 1_200),
    moment,
    forMs: isLong ? LONG_PAUSE_MS : random.whole("pausedMs", 1, 4_000),
    cancels: random.chance("cancelsPaused", 0.15),
  };
}

function chooseFaults(random: Random, hasFanOuts: boolean): FaultRates {
  if (hasFanOuts && random.chance("calmFanOuts", CALM_FAN_OUTS_SHARE)) return NO_FAULTS;
  // Some runs are calm, some have one kind of fault, most have them all: rare interleavings need
  // quiet around them.
  const mood = random.next("mood");
  const rate = (name: string, most: number): number => {
    if (mood < 0.12) return 0;
    if (mood < 0.45 && !random.chance(`mood/${name}`, 0.35)) return 0;
    return random.next(`rate/${name}`) * most;
  };
  return {
    lostRequest: rate("lostRequest", 0.04),
    lateRequest: rate("lateRequest", 0.05),
    silent: rate("silent", 0.006),
    lostReply: rate("lostReply", 0.04),
    doubled: rate("doubled", 0.12),
    slow: rate("slow", 0.15),
    slowFlush: rate("slowFlush", 0.3),
    crash: rate("crash", 0.012),
  };
}

function cutFaults(rates: FaultRates, cut: readonly FaultName[]): FaultRates {
  return { ...rates, ...Object.fromEntries(cut.map((name) => [name, 0])) };
}

function cutDeploys(deploys: Deploys, cut: readonly number[]): Deploys {
  return { ...deploys, steps: deploys.steps.filter((step) => !cut.includes(step.index)) };
}

function chooseIntent(
  random: Random,
  client: number,
  shared: readonly string[],
  own: readonly string[],
  slowMsMax: number,
): Intent {
  const label = `intent/${client}`;
  const roll = random.next(label);
  const id = random.chance(`${label}/own`, 0.4)
    ? random.pick(`${label}/ownId`, own)
    : random.pick(`${label}/sharedId`, shared);
  const n = random.whole(`${label}/n`, 0, 999);
  const tag = random.whole(`${label}/tag`, 1, 9_999);
  if (roll < 0.24)
    return {
      kind: "put",
      id,
      n,
      tag,
      slowMs: random.chance(`${label}/slow`, 0.12)
        ? random.whole(`${label}/slowMs`, 5, slowMsMax)
        : 0,
    };
  if (roll < 0.4) return { kind: "get", id };
  if (roll < 0.54) return { kind: "remove", id };
  if (roll < 0.7) return { kind: "increment", id, by: random.whole(`${label}/by`, 1, 9) };
  if (roll < 0.8)
    return {
      kind: "note",
      id,
      seq: random.whole(`${label}/seq`, 0, 3),
      body: `b${random.whole(`${label}/body`, 0, 99)}`,
    };
  if (roll < 0.84)
    return {
      kind: "putMany",
      items: shared
        .slice(0, 3)
        .map((item, index) => ({ id: item, n: n + index, tag: tag + index })),
    };
  if (roll < 0.89)
    return {
      kind: "regroup",
      id: random.pick(`${label}/ownId`, own),
      grp: random.pick(`${label}/grp`, GROUPS),
      copyMs: null,
    };
  if (roll < 0.93) {
    const fenceMs = random.chance(`${label}/atFence`, 0.5) ? FENCE_WAIT_MS : 0;
    return { kind: "stray", id: random.pick(`${label}/sharedId`, shared), n, tag, fenceMs };
  }
  return { kind: "list", by: random.chance(`${label}/query`, 0.5) ? "query" : "call" };
}

/** Where objects go back each call is of one row, and each row keeps its owner in a layout. */
function plainOf(intent: Intent, isPlain: boolean): Intent {
  if (!isPlain) return intent;
  if (intent.kind === "regroup") return { kind: "get", id: intent.id };
  const [first] = intent.kind === "putMany" ? intent.items : [];
  return first === undefined ? intent : { kind: "put", ...first, slowMs: 0 };
}

/**
 * Rows that change their shard key again and again: each is absent on one source, and new on
 * another.
 */
function chooseRegroup(
  random: Random,
  client: number,
  share: number,
  own: readonly string[],
  isCalm: boolean,
): Intent | null {
  const label = `regroup/${client}`;
  if (!random.chance(label, share)) return null;
  const copyMs = random.chance(`${label}/atCopy`, 0.6)
    ? random.whole(`${label}/copyMs`, 1, 120)
    : null;
  const isCutOff = !isCalm && copyMs !== null && random.chance(`${label}/isCutOff`, 0.5);
  const cutOff = isCutOff ? { cutOffMs: random.whole(`${label}/cutOffMs`, 50, 2_000) } : {};
  const [first, second] = own;
  if (first !== undefined && second !== undefined && random.chance(`${label}/exchange`, 0.4))
    return { kind: "exchange", ids: [first, second], copyMs, ...cutOff };
  return {
    kind: "regroup",
    id: random.pick(`${label}/id`, own),
    grp: random.pick(`${label}/grp`, GROUPS),
    copyMs,
    ...cutOff,
  };
}

function chooseSweep(
  random: Random,
  client: number,
  share: number,
  shared: readonly string[],
): Intent | null {
  const label = `sweep/${client}`;
  if (!random.chance(label, share)) return null;
  const fenceMs = random.chance(`${label}/atFence`, 0.7) ? FENCE_WAIT_MS : 0;
  return {
    kind: "sweep",
    id: random.pick(`${label}/id`, shared),
    fenceMs,
    afterMs: random.whole(`${label}/afterMs`, 0, 30),
  };
}

/**
 * Once it is decided which rows leave. One that comes before is gone soon: an operation that meets
 * it ends.
 */
function choosePin(random: Random, client: number, share: number): Intent | null {
  const label = `pin/${client}`;
  if (!random.chance(label, share)) return null;
  return {
    kind: "pin",
    isAtSource: random.chance(`${label}/atSource`, 0.6),
    afterMs: random.whole(`${label}/afterMs`, 0, 25),
    forMs: random.whole(`${label}/forMs`, 0, 30),
  };
}

/**
 * Slow ones, and some that begin just before a fence: what they meet must be the rows of one
 * layout.
 */
function chooseFanOut(
  random: Random,
  client: number,
  share: number,
  isCalm: boolean,
): Intent | null {
  const label = `fanOut/${client}`;
  if (!random.chance(label, share)) return null;
  const atFence = random.chance(`${label}/atFence`, 0.6);
  return {
    kind: "fanOut",
    by: random.whole(`${label}/by`, 1, 9),
    slowMs: random.chance(`${label}/slow`, 0.25) ? random.whole(`${label}/slowMs`, 5, 400) : 0,
    fenceMs: atFence ? FENCE_WAIT_MS : 0,
    afterMs: atFence ? random.whole(`${label}/afterMs`, 0, 30) : 0,
    straggles: random.pick(`${label}/straggles`, [
      "no",
      "briefly",
      isCalm ? "briefly" : "beyondCutover",
    ] as const),
  };
}

function chooseTwin(random: Random, client: number, share: number): Intent | null {
  const label = `twin/${client}`;
  if (!random.chance(label, share)) return null;
  return {
    kind: "twin",
    id: random.pick(`${label}/id`, TWINS),
    grp: random.pick(`${label}/grp`, GROUPS),
    does: random.pick(`${label}/does`, ["put", "put", "get", "remove"] as const),
    n: random.whole(`${label}/n`, 0, 999),
    tag: random.whole(`${label}/tag`, 1, 9_999),
    moment: random.pick(`${label}/moment`, ["any", "any", "fence", "promotion"] as const),
  };
}

function chooseRival(random: Random, client: number, share: number): Intent | null {
  const label = `rival/${client}`;
  if (!random.chance(label, share)) return null;
  const does = random.pick(`${label}/does`, [
    "put",
    "put",
    "put",
    "get",
    "remove",
    "remove",
  ] as const);
  return {
    kind: "rival",
    id: random.pick(`${label}/id`, RIVALS),
    does,
    n: random.whole(`${label}/n`, 0, 999),
    tag: random.whole(`${label}/tag`, 1, 9_999),
    // Elsewhere rivals are rather taken away, or hardly an operation would find none in its way.
    moment: does === "put" && random.chance(`${label}/atPromotion`, 0.8) ? "promotion" : "any",
  };
}

/** Calls within calls, among the items that keep their groups. */
function chooseRelay(
  random: Random,
  client: number,
  share: number,
  shared: readonly string[],
): Intent | null {
  const label = `relay/${client}`;
  if (!random.chance(label, share)) return null;
  const first = random.whole(`${label}/id`, 0, shared.length - 1);
  const count = Math.min(shared.length, random.pick(`${label}/hops`, [1, 2, 2, 3]));
  // Slow ones, so that a fence which did not wait for them would be in their way.
  const atFence = random.chance(`${label}/atFence`, 0.4);
  return {
    kind: "relay",
    hops: Array.from({ length: count }, (_, hop) => ({
      id: shared[(first + hop) % shared.length] ?? "s0",
      n: random.whole(`${label}/n`, 0, 999),
      tag: random.whole(`${label}/tag`, 1, 9_999),
    })),
    isOwn: random.chance(`${label}/isOwn`, 0.75),
    isBack: count === 1 || random.chance(`${label}/isBack`, 0.3),
    delayMs:
      atFence || random.chance(`${label}/isSlow`, 0.3)
        ? random.whole(`${label}/delayMs`, 5, 900)
        : 0,
    fenceMs: atFence ? FENCE_WAIT_MS : 0,
  };
}
