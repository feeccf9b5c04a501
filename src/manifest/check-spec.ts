/**
 * Checks the rules between the options of one spec: which options fit the strategy, and whether
 * the split points split.
 *
 * | option      | hash | range | roundRobin | custom | none |
 * |-------------|------|-------|------------|--------|------|
 * | shardKey    | must | must  | must       | must   | no   |
 * | count       | must | must  | must       | must   | 1    |
 * | directory   | may  | may   | true       | may    | no   |
 * | splitPoints | no   | may   | no         | no     | no   |
 * | partitioner | no   | no    | no         | must   | no   |
 *
 * Runs on what is known: options with an error of their own are left out, and nothing is said about
 * them twice.
 */
import { formatCount } from "../model/figures.ts";
import { type Key, compareKeys, formatKey, toKey } from "../model/layout/key.ts";
import type { Strategy } from "../model/layout/layout.ts";
import { SHARD_COUNT_MAX } from "../model/spec.ts";
import { describeValue, quoteValue } from "./describe-value.ts";
import type { ManifestErrorKind } from "./manifest-error.ts";
import type { RawSpec, RawSplitPoint } from "./namespace-schema.ts";
import type { NodePath } from "./yaml-node.ts";

/** Options of one environment, and the names of those that cannot be used. */
export interface SpecView {
  readonly options: Partial<RawSpec>;
  readonly broken: ReadonlySet<string>;
}

/** A fault, and its place below `spec`: the first path that the manifest has. */
export interface SpecFault {
  readonly kind: ManifestErrorKind;
  readonly paths: readonly NodePath[];
  /** True points at the key instead of its value. */
  readonly atKey: boolean;
  readonly message: string;
}

type Need = "must" | "may" | "no";
/** Of the text of a split point: plans and messages carry it. */
const SPLIT_POINT_LENGTH_MAX = 1024;

type FittedOption = "shardKey" | "count" | "directory" | "splitPoints" | "partitioner";

const FIT: Readonly<Record<Strategy, Readonly<Record<FittedOption, Need>>>> = {
  hash: { shardKey: "must", count: "must", directory: "may", splitPoints: "no", partitioner: "no" },
  range: {
    shardKey: "must",
    count: "must",
    directory: "may",
    splitPoints: "may",
    partitioner: "no",
  },
  roundRobin: {
    shardKey: "must",
    count: "must",
    directory: "may",
    splitPoints: "no",
    partitioner: "no",
  },
  custom: {
    shardKey: "must",
    count: "must",
    directory: "may",
    splitPoints: "no",
    partitioner: "must",
  },
  none: { shardKey: "no", count: "may", directory: "may", splitPoints: "no", partitioner: "no" },
};

const PURPOSE: Readonly<Record<FittedOption, string>> = {
  shardKey: "the column or JSON path that decides the shard",
  count: `the number of shards, from 1 to ${SHARD_COUNT_MAX}`,
  directory: "the directory",
  splitPoints: "the inner bounds",
  partitioner: "the name of a partitioner that the class registers",
};

/** Everything that is wrong with the options as a whole. */
export function checkSpec({ options, broken }: SpecView): SpecFault[] {
  const { strategy, count, directory, splitPoints, dependsOn } = options;
  const faults: SpecFault[] = [];
  if (strategy !== undefined) {
    for (const option of Object.keys(FIT[strategy]) as FittedOption[]) {
      if (!broken.has(option))
        faults.push(...checkFit(option, options[option] !== undefined, strategy));
    }
    if (strategy === "none" && count !== undefined && count !== 1) {
      faults.push(
        fault(
          "strategy",
          ["count"],
          `spec.count must be 1 or left out with strategy none, but is ${count}.`,
        ),
      );
    }
    if (strategy === "none" && directory === true) {
      faults.push(
        fault(
          "strategy",
          ["directory"],
          "spec.directory must be false or left out with strategy none, but is true: all rows are in one object.",
        ),
      );
    }
    if (strategy === "roundRobin" && directory === false) {
      const why = "it finds rows through the directory";
      faults.push(
        fault(
          "strategy",
          ["directory"],
          `spec.directory must be true or left out with strategy roundRobin, but is false: ${why}.`,
        ),
      );
    }
  }
  if (splitPoints !== undefined && (strategy === undefined || strategy === "range")) {
    if (count !== undefined && splitPoints.length !== count - 1)
      faults.push(wrongLength(splitPoints.length, count));
    faults.push(...checkSplitPoints(splitPoints));
  }
  if (dependsOn !== undefined) faults.push(...checkRepeats(dependsOn));
  return faults;
}

/**
 * True when an option has a meaning under a strategy: what a change of strategy in an environment
 * inherits.
 */
export function fitsStrategy(option: string, value: unknown, strategy: Strategy): boolean {
  if (option === "count") return strategy !== "none";
  if (option === "directory")
    return value === true ? strategy !== "none" : strategy !== "roundRobin";
  return !Object.hasOwn(FIT.none, option) || FIT[strategy][option as FittedOption] !== "no";
}

/** The key of a split point as written; null for a whole number that SQLite cannot hold. */
export function splitPointKey(point: RawSplitPoint): Key | null {
  if (typeof point === "object") return { type: "blob", text: point.blob.toUpperCase() };
  if (typeof point === "bigint" && BigInt.asIntN(64, point) !== point) return null;
  return toKey(point);
}

function fault(kind: ManifestErrorKind, path: NodePath, message: string, atKey = false): SpecFault {
  return { kind, paths: [path], atKey, message };
}

function checkFit(option: FittedOption, given: boolean, strategy: Strategy): SpecFault[] {
  const need = FIT[strategy][option];
  if (need === "must" && !given) {
    return [
      fault(
        "strategy",
        ["strategy"],
        `spec.${option} is missing: strategy ${strategy} needs ${PURPOSE[option]}.`,
      ),
    ];
  }
  if (need !== "no" || !given) return [];
  const takers = (Object.keys(FIT) as Strategy[]).filter((other) => FIT[other][option] !== "no");
  const wayOut =
    takers.length === 1 ? `Remove it, or set strategy to ${takers.join("")}` : "Remove it";
  return [
    fault(
      "strategy",
      [option],
      `spec.${option} does not fit strategy ${strategy}. ${wayOut}.`,
      true,
    ),
  ];
}

function wrongLength(length: number, count: number): SpecFault {
  const wanted =
    count === 1
      ? "must be empty or left out with count 1"
      : `must have ${count - 1} ${count === 2 ? "key" : "keys"}, one less than count ${count}`;
  const wayOut = count === 1 ? "" : " Without splitPoints the plan chooses quantiles.";
  return {
    kind: "splitPoints",
    paths: [["splitPoints"], ["count"]],
    atKey: false,
    message: `spec.splitPoints ${wanted}, but has ${length}.${wayOut}`,
  };
}

function checkSplitPoints(points: readonly RawSplitPoint[]): SpecFault[] {
  const faults: SpecFault[] = [];
  let previous: Key | null = null;
  for (const [index, point] of points.entries()) {
    const key = splitPointKey(point);
    const path = ["splitPoints", index];
    if (key === null) {
      const message = `spec.splitPoints[${index}] is ${describeValue(point)}, which is no 64-bit integer. Put it in quotes if the keys are text.`;
      faults.push(fault("splitPoints", path, message));
      continue;
    }
    if (key.text.length > SPLIT_POINT_LENGTH_MAX) {
      const message = `spec.splitPoints[${index}] has ${formatCount(key.text.length)} characters, more than ${formatCount(SPLIT_POINT_LENGTH_MAX)}. Give a shorter one: it need not be a key that exists.`;
      faults.push(fault("splitPoints", path, message));
      continue;
    }
    const order: number = previous === null ? 1 : compareKeys(key, previous);
    if (previous !== null && order <= 0)
      faults.push(fault("splitPoints", path, orderMessage(index, key, previous, order)));
    previous = key;
  }
  return faults;
}

function orderMessage(index: number, key: Key, previous: Key, order: number): string {
  if (order === 0)
    return `spec.splitPoints[${index}] repeats ${showKey(key)}. Give each split point once.`;
  const hint = key.type === previous.type ? "" : ": SQLite sorts numbers before text before blobs";
  return `spec.splitPoints[${index}] must be above the one before it, but ${showKey(key)} is below ${showKey(previous)}${hint}. Sort them ascending.`;
}

function showKey(key: Key): string {
  return key.type === "text" ? quoteValue(key.text) : formatKey(key).slice(0, 60);
}

function checkRepeats(names: readonly string[]): SpecFault[] {
  const seen = new Set<string>();
  const faults: SpecFault[] = [];
  for (const [index, name] of names.entries()) {
    if (seen.has(name))
      faults.push(
        fault(
          "dependsOn",
          ["dependsOn", index],
          `spec.dependsOn[${index}] repeats ${quoteValue(name)}. Give each name once.`,
        ),
      );
    seen.add(name);
  }
  return faults;
}
