/**
 * Draws from the seed the things that owners do to their objects while rows move: they deploy other
 * versions of the class, and fill disks up. Pure.
 *
 * In the end every object runs the newest version, which starts. Earlier deploys go forward and
 * back, for all objects or some.
 */
import type { Step } from "../../src/model/operation.ts";
import type { Random } from "./random.ts";
import { type Change, FIRST_VERSION, type StoreVersion } from "./versions.ts";

/** A deploy, of a version by its place in `Deploys.versions`. */
export interface DeployStep {
  /** Place among the deploys: what `Cuts` name. */
  readonly index: number;
  readonly afterMs: number;
  /** Waits, a while, for an operation in this step. */
  readonly step: Step | null;
  /** Without such an operation it is not deployed at all. */
  readonly needsStep: boolean;
  readonly version: number;
  /**
   * Which part of the objects gets it: the others keep the version before, also when they start
   * anew.
   */
  readonly share: number;
  /**
   * Which part of them is restarted by the deploy; the others go on with their old code until they
   * crash.
   */
  readonly restarts: number;
  readonly restartMsMax: number;
}

export interface Deploys {
  readonly versions: readonly StoreVersion[];
  readonly steps: readonly DeployStep[];
  /**
   * True when a version runs before one of which it lacks a change: rows that it stores then lack
   * what that would have stored.
   */
  readonly goesBack: boolean;
}
export const NO_DEPLOYS: Deploys = { versions: [FIRST_VERSION], steps: [], goesBack: false };

/** A limit on an object's database, from some time on. */
export interface FullDiskStep {
  readonly index: number;
  readonly afterMs: number;
  readonly step: Step | null;
  /** The root, another object that is there, or the next one to be made. */
  readonly which: "root" | "present" | "next";
  /** Pages that are left beyond what it holds; of a new one beyond its first tables. */
  readonly pages: number;
  /** When the limit is lifted, by a larger plan. Null never. */
  readonly liftedAfterMs: number | null;
}

/**
 * Stories of setbacks: which object goes back, and from where to where.
 *
 * | story         | goes back                                                                   |
 * |---------------|-----------------------------------------------------------------------------|
 * | `any`         | any object, from any moment to any other                                    |
 * | `shifted`     | a member to before an operation that has given it another part, and ended   |
 * | `source`      | a source of a running operation, by a few pages                             |
 * | `halfCutOver` | the root to before a cutover of which some members have heard, and one not  |
 * | `unheard`     | the root to before a cutover of which a caller alone has heard              |
 * | `withSource`  | the root to before a running operation, of which a source loses its storage |
 */
export type SetbackStory = "any" | "shifted" | "source" | "halfCutOver" | "unheard" | "withSource";

/** An object goes back to an earlier moment, or loses everything. */
export interface RestoreStep {
  readonly index: number;
  readonly story: SetbackStory;
  /**
   * `quiet`: the root, only while it owns no rows and takes part in nothing, so that nothing may be
   * lost.
   */
  readonly which: "quiet" | "root" | "member" | "any";
  /** Nothing is left of it. */
  readonly isLost: boolean;
  /** Until the moment to which it goes back, and from then on. */
  readonly takenAfterMs: number;
  readonly afterMs: number;
  /** Waits then, a while, for an operation in this step. */
  readonly takenStep: Step | null;
  readonly step: Step | null;
}

const STEPS: readonly (Step | null)[] = [
  null,
  null,
  "prepare",
  "copy",
  "copy",
  "verify",
  "fence",
  "fence",
  "activate",
  "activate",
  "cleanUp",
];

export function chooseDeploys(random: Random, hasUniqueIndex: boolean): Deploys {
  const flags = {
    runsOnce: random.chance("deploy/once", 0.35),
    isAtomic: random.chance("deploy/atomic", 0.7),
  };
  const version = (label: string, changes: readonly Change[], throws = false): StoreVersion => ({
    ...flags,
    changes,
    throws,
    startMs: random.chance(`${label}/isSlow`, 0.3)
      ? random.pick(`${label}/startMs`, [20, 300, 2_000, 6_000, 20_000])
      : 0,
  });
  if (random.chance("deploy/stamps", 0.15)) return planStamps(random);
  const first = chooseChanges(random, "deploy/first", hasUniqueIndex, []);
  const both = [...first, ...chooseChanges(random, "deploy/second", hasUniqueIndex, first)];
  const story = random.pick("deploy/story", [
    "once",
    "twice",
    "twice",
    "back",
    "back",
    "flaw",
    "otherKey",
  ] as const);
  switch (story) {
    case "once":
      return plan(random, [version("v1", first)], [1]);
    case "twice":
      return plan(random, [version("v1", first), version("v2", both)], [1, 2]);
    case "back":
      // A table that is no longer declared would stay behind: that is no way back, and nobody's
      // fault but the owner's.
      if (first.includes("table"))
        return plan(random, [version("v1", first), version("v2", both)], [1, 2]);
      return plan(random, [version("v1", first), version("v2", both)], [1, 0, 2], true);
    case "flaw":
      return plan(random, [version("v1", first, true), version("v2", first)], [1, 2]);
    case "otherKey": {
      const mended = first.filter((change) => change !== "table");
      const deploys = plan(
        random,
        [version("v1", [...mended, "otherKey"]), version("v2", mended)],
        [1, 2],
      );
      // Only in the middle of a move: one that is begun by this key would rightly move rows by it.
      const [other, ...rest] = deploys.steps;
      const step = random.pick("deploy/otherKeyStep", [
        "copy",
        "verify",
        "fence",
        "activate",
      ] as const);
      return { ...deploys, steps: other ? [{ ...other, step, needsStep: true }, ...rest] : rest };
    }
  }
}

/**
 * A migration that changes rows and no definition, by a migrator that runs each step once. It runs
 * on some objects long before it does on others.
 */
function planStamps(random: Random): Deploys {
  const stamped: StoreVersion = {
    changes: ["stamp"],
    runsOnce: true,
    isAtomic: true,
    startMs: 0,
    throws: false,
  };
  const deploys = plan(random, [stamped], [1]);
  const share = random.pick("deploy/stampsShare", [0.5, 0.5, 1]);
  return { ...deploys, steps: deploys.steps.map((step) => ({ ...step, share })) };
}

function plan(
  random: Random,
  later: readonly StoreVersion[],
  order: readonly number[],
  goesBack = false,
): Deploys {
  const steps = order.map((version, index): DeployStep => {
    const label = `deploy/${index}`;
    const step = random.pick(`${label}/step`, STEPS);
    return {
      index,
      afterMs: random.whole(`${label}/ms`, 1, 2_500),
      step,
      needsStep: false,
      version,
      share: random.chance(`${label}/gradual`, 0.3) ? 0.5 : 1,
      restarts: random.pick(`${label}/restarts`, [0.3, 0.7, 1, 1]),
      // A wave that has cut over is active a moment later.
      restartMsMax: random.pick(
        `${label}/restartMs`,
        step === "activate" ? [1, 1, 20] : [1, 300, 2_000],
      ),
    };
  });
  return { versions: [FIRST_VERSION, ...later], steps, goesBack };
}

function chooseChanges(
  random: Random,
  label: string,
  hasUniqueIndex: boolean,
  before: readonly Change[],
): Change[] {
  const all: readonly Change[] = [
    "column",
    "column",
    "column",
    "index",
    "rebuild",
    "table",
    ...(hasUniqueIndex ? [] : ["unique" as const]),
  ];
  const chosen = new Set(
    Array.from({ length: random.whole(`${label}/count`, 1, 3) }, () =>
      random.pick(`${label}/change`, all),
    ),
  );
  const fresh = [...chosen].filter((change) => !before.includes(change));
  return before.includes("index") && random.chance(`${label}/dropsIndex`, 0.5)
    ? [...fresh, "noIndex"]
    : fresh;
}

export function chooseFullDisks(random: Random): FullDiskStep[] {
  return Array.from({ length: random.whole("full/count", 1, 3) }, (_, index): FullDiskStep => {
    const label = `full/${index}`;
    const which = random.pick(`${label}/which`, [
      "root",
      "present",
      "present",
      "next",
      "next",
    ] as const);
    return {
      index,
      afterMs: random.whole(`${label}/ms`, 1, 2_500),
      step: random.pick(`${label}/step`, STEPS),
      which,
      pages: random.pick(`${label}/pages`, [0, 0, 1, 2, 4, 8]),
      liftedAfterMs: random.chance(`${label}/isLifted`, 0.5)
        ? random.whole(`${label}/liftedMs`, 200, 9_000)
        : null,
    };
  });
}

/** The root goes back while it owns no rows. */
export function chooseQuietRestores(random: Random): RestoreStep[] {
  return Array.from({ length: random.whole("restore/count", 1, 2) }, (_, index) => ({
    index,
    story: "any",
    which: "quiet",
    isLost: false,
    takenAfterMs: random.whole(`restore/${index}/takenMs`, 1, 1_500),
    afterMs: random.whole(`restore/${index}/ms`, 50, 3_000),
    takenStep: null,
    step: null,
  }));
}

const ANY_STORY: readonly SetbackStory[] = ["any", "any", "any", "any"];
const RESTORE_STORIES: readonly SetbackStory[] = [
  "shifted",
  "shifted",
  "source",
  "halfCutOver",
  "unheard",
];
const LOSS_STORIES: readonly SetbackStory[] = ["withSource", "withSource"];
/** Stories of members that stay. */
export const SHIFT_STORIES: readonly SetbackStory[] = ["shifted", "halfCutOver", "withSource"];

/** Any object goes back at any time; in some runs objects that are `lost` keep nothing. */
export function chooseRestores(
  random: Random,
  hasRestores: boolean,
  hasLostStorage: boolean,
): RestoreStep[] {
  return Array.from({ length: random.whole("setback/count", 1, 2) }, (_, index) => {
    const label = `setback/${index}`;
    const which = random.pick(`${label}/which`, [
      "root",
      "root",
      "member",
      "member",
      "any",
    ] as const);
    const isLost = hasLostStorage && (!hasRestores || random.chance(`${label}/isLost`, 0.5));
    const takenStep = random.pick(`${label}/takenStep`, STEPS);
    const step = random.pick(`${label}/step`, STEPS);
    return {
      index,
      story: random.pick(`${label}/story`, [
        ...ANY_STORY,
        ...(hasRestores ? RESTORE_STORIES : []),
        ...(hasLostStorage ? LOSS_STORIES : []),
      ]),
      which,
      isLost,
      takenAfterMs: random.whole(`${label}/takenMs`, 1, 1_500),
      // Within one operation steps follow each other soon.
      afterMs: random.whole(
        `${label}/ms`,
        1,
        takenStep === null ? 2_500 : random.pick(`${label}/msMax`, [30, 200, 2_500]),
      ),
      takenStep,
      step,
    };
  });
}
