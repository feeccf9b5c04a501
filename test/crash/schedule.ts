/**
 * The schedule of a crash run, decided before it starts: operations that follow one another, and
 * the step in which each kill is aimed at. All from the seed. Pure.
 */
import { toKey } from "../../src/model/layout/key.ts";
import {
  type Layout,
  type RangeLayout,
  shardNames,
  unshardedLayout,
} from "../../src/model/layout/layout.ts";
import { shiftMembers, swapGeneration } from "../../src/model/operation-mode.ts";
import type { OperationKind } from "../../src/model/operation.ts";
import { customLayout } from "../../src/model/strategies/custom.ts";
import { freshHashLayout, resizeHashLayout } from "../../src/model/strategies/hash.ts";
import { freshRangeLayout } from "../../src/model/strategies/range.ts";
import { roundRobinLayout } from "../../src/model/strategies/round-robin.ts";
import type { Random } from "../sim/random.ts";
import { GROUPS, NAMESPACE } from "./accounts.ts";

/**
 * Steps that a kill can find in the journal: `cutover` is over in the turn that begins it. `idle`
 * is between operations.
 */
export const KILL_STEPS = [
  "prepare",
  "copy",
  "verify",
  "fence",
  "activate",
  "cleanUp",
  "idle",
] as const;
export type KillStep = (typeof KILL_STEPS)[number];

export interface Change {
  readonly name: string;
  readonly kind: OperationKind;
  readonly to: (from: Layout) => Layout;
}

/** One round: from an unsharded namespace through every kind of operation and back. */
const CHANGES: readonly Change[] = [
  { name: "shard", kind: "shard", to: (from) => hashBy("id", 4, from) },
  { name: "rebalance up", kind: "rebalance", to: (from) => resizeHash(from, 6) },
  { name: "rebalance down", kind: "rebalance", to: (from) => resizeHash(from, 3) },
  { name: "rekey", kind: "rekey", to: (from) => hashBy("region", 4, from) },
  {
    name: "rekey to range",
    kind: "rekey",
    to: (from) => cutRange(from, fresh(from, 3), [0.2, 0.7]),
  },
  {
    name: "rebalance range",
    kind: "rebalance",
    to: (from) => cutRange(from, shifted(from, 5), [0.1, 0.35, 0.6, 0.8]),
  },
  {
    name: "rekey to roundRobin",
    kind: "rekey",
    to: (from) => roundRobinLayout("id", generation(from, 3), fresh(from, 3)),
  },
  {
    name: "rekey to custom",
    kind: "rekey",
    to: (from) => customLayout("region", generation(from, 4), fresh(from, 4), PARTITIONER),
  },
  {
    name: "unshard",
    kind: "unshard",
    to: (from) => unshardedLayout(NAMESPACE, swapGeneration(NAMESPACE, from, 1)),
  },
];

/** @throws Error when a round has no such change. */
export function findChange(name: string): Change {
  const change = CHANGES.find((known) => known.name === name);
  if (!change) throw new Error(`No such change: ${name}`);
  return change;
}

const PARTITIONER = { name: "byRegion", version: 1 };

export interface PlannedOperation {
  readonly name: string;
  readonly kind: OperationKind;
  readonly to: (from: Layout) => Layout;
  /**
   * Kills in this order, each as soon as the operation is in that step or past it, and a while
   * more.
   */
  readonly kills: readonly PlannedKill[];
  /** The step from which the operation is cancelled; null leaves it to its end. */
  readonly cancelFrom: KillStep | null;
  readonly retainHours: number;
}

export interface PlannedKill {
  readonly step: KillStep;
  /** 0 … 1 of the time that the step takes. */
  readonly delay: number;
  /** True kills wrangler and all its processes, not only the user's workerd. */
  readonly isWholeTree: boolean;
  /**
   * The version of the class that all objects start with afterwards; null leaves the one that runs.
   */
  readonly deploys: number | null;
}

const TREE_KILL_SHARE = 0.12;
/** The first operation meets a deploy, and so do the others in this share of their kills. */
const FIRST_DEPLOY: KillStep = "verify";
const DEPLOY_SHARE = 0.1;
/** About one operation in five is cancelled first, and then done again. */
const CANCEL_SHARE = 0.2;

/**
 * Plans operations for ever; the caller stops when it has its kills. Every kind meets every step
 * within two rounds.
 */
export function* planOperations(random: Random): Generator<PlannedOperation> {
  let version = 1;
  const planDeploys = (
    kills: readonly PlannedKill[],
    first: KillStep | null = null,
  ): PlannedKill[] =>
    kills.map((kill) => {
      if (!random.chance("deploy", DEPLOY_SHARE) && kill.step !== first) return kill;
      return { ...kill, isWholeTree: true, deploys: ++version };
    });
  for (let round = 0; ; round++) {
    for (const [index, change] of CHANGES.entries()) {
      const { name, kind, to } = change;
      if (random.chance("cancel", CANCEL_SHARE)) {
        const { kills, cancelFrom } = planCancel(random);
        yield { name, kind, to, kills: planDeploys(kills), cancelFrom, retainHours: 24 };
      }
      const steps = KILL_STEPS.filter((_, step) => (step + round + index) % 2 === 0);
      const kills = planDeploys(
        planKills(random, steps),
        version === 1 && round + index === 0 ? FIRST_DEPLOY : null,
      );
      yield {
        name,
        kind,
        to,
        kills,
        cancelFrom: null,
        retainHours: random.chance("retain", 0.5) ? 0 : 24,
      };
    }
  }
}

/** A kill before the operation is cancelled, and one while it is being undone. */
function planCancel(random: Random): Pick<PlannedOperation, "kills" | "cancelFrom"> {
  const cancelFrom = random.pick("cancelFrom", ["copy", "verify", "fence"] as const);
  const before = KILL_STEPS.slice(0, KILL_STEPS.indexOf(cancelFrom));
  return { kills: planKills(random, [random.pick("killBefore", before), "cleanUp"]), cancelFrom };
}

function planKills(random: Random, steps: readonly KillStep[]): PlannedKill[] {
  return steps.map((step) => ({
    step,
    delay: random.next("delay"),
    isWholeTree: random.chance("tree", TREE_KILL_SHARE),
    deploys: null,
  }));
}

function generation(from: Layout, count: number): number {
  return swapGeneration(NAMESPACE, from, count);
}

function fresh(from: Layout, count: number): string[] {
  return shardNames(NAMESPACE, generation(from, count), count);
}

function shifted(from: Layout, count: number): string[] {
  return shiftMembers(NAMESPACE, from, count);
}

function hashBy(shardKey: string, count: number, from: Layout): Layout {
  return freshHashLayout(shardKey, generation(from, count), fresh(from, count));
}

function resizeHash(from: Layout, count: number): Layout {
  if (from.kind !== "hash") throw new Error(`A ${from.kind} layout cannot be resized as hash`);
  return resizeHashLayout(from, shifted(from, count));
}

/** A range layout by `grp`, cut at these parts of its values. */
function cutRange(from: Layout, members: readonly string[], cuts: readonly number[]): RangeLayout {
  const number = from.kind === "range" ? from.generation : generation(from, members.length);
  return freshRangeLayout(
    "grp",
    number,
    members,
    cuts.map((cut) => toKey(Math.floor(cut * GROUPS))),
  );
}
