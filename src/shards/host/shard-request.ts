/**
 * The direct API's requests and answers: what `shard()` and its companions take and give.
 * Validation and figures, pure.
 */
import { withRowWords } from "../../model/row-words.ts";
import type { Layout, PartitionerRef } from "../../model/layout/layout.ts";
import type { LiveNamespace } from "../../model/live.ts";
import { SHARD_COUNT_MAX, DEFAULT_POLICY, type NamespaceSpec } from "../../model/spec.ts";
import { requireKnown, requireMilliseconds, requireType, shownValue } from "../protocol/options.ts";
import { findPartitioner } from "../../model/strategies/custom.ts";

export interface ShardOptions {
  /** Column, or JSON path below a JSON column, with dots. */
  readonly key: string;
  /** 1 … 1000. */
  readonly count: number;
  readonly strategy?: "hash" | "range" | "roundRobin" | "custom";
  /**
   * `atomic` (default) waits for the end and undoes on failure; the others return once the
   * operation is journaled.
   */
  readonly mode?: "atomic" | "staged" | "eventual" | "resumable";
  /** Default: a new id. The same id asked for twice is one operation. */
  readonly correlationId?: string;
  /** Milliseconds, default 30,000: an operation that has not cut over by then is cancelled. */
  readonly timeout?: number;
  /** `custom` only: the name of a partitioner that the class registers. */
  readonly keyExtractor?: string;
  /**
   * True keeps ids unique over the shards, and finds them without their key. Default false; always
   * true for roundRobin.
   */
  readonly directory?: boolean;
  /** Accepted for compatibility: metadata always travels. */
  readonly includeMetadata?: boolean;
  /** Names for the shards, one for each, unique. */
  readonly targetShards?: readonly string[];
}

export interface UnshardOptions {
  /** Milliseconds, default 30,000. */
  readonly timeout?: number;
  readonly correlationId?: string;
}

export interface RebalanceOptions {
  readonly targetCount?: number;
  /** Default 1.5, as max/average. */
  readonly maxSkew?: number;
  /** `incremental` (default) moves the fewest rows; `full` recomputes an even layout. */
  readonly strategy?: "incremental" | "full";
  readonly correlationId?: string;
  readonly timeout?: number;
}

export interface ShardStats {
  readonly totalThings: number;
  readonly minPerShard: number;
  readonly maxPerShard: number;
  readonly avgPerShard: number;
  readonly stdDev: number;
  /** max/min; Infinity when a shard is empty and another is not, 1 when all are. */
  readonly skewRatio: number;
}

export interface ShardEndpoint {
  readonly shardIndex: number;
  readonly ns: string;
  readonly doId: string;
  /** `pending`: of the layout that a running operation is making. */
  readonly status: "active" | "pending";
}

export interface ShardRegistry {
  readonly id: string;
  readonly shardKey: string;
  readonly shardCount: number;
  readonly strategy: string;
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
  readonly endpoints: readonly ShardEndpoint[];
}

/**
 * Of an operation that still runs (`mode`): the shards that will be, `pending` and without rows,
 * and the figures of the rows where they are.
 */
export interface ShardOutcome {
  readonly shardKey: string;
  readonly shards: readonly {
    readonly ns: string;
    readonly doId: string;
    readonly shardIndex: number;
    readonly thingCount: number;
  }[];
  /** Milliseconds. */
  readonly duration: number;
  readonly registry: ShardRegistry;
  readonly stats: ShardStats;
}

export interface ShardHealth {
  readonly shardIndex: number;
  readonly healthy: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly lastCheck: number;
  readonly responseTime?: number;
}

export interface RebalanceOutcome {
  readonly itemsMoved: number;
  readonly newStats: ShardStats;
  /** Indexes of the shards that gave or took rows. */
  readonly modifiedShards: readonly number[];
  readonly duration: number;
}

export const SHARD_TIMEOUT_MS = 30_000;
const STRATEGIES: ReadonlySet<unknown> = new Set(["hash", "range", "roundRobin", "custom"]);
const MODES: readonly unknown[] = ["atomic", "staged", "eventual", "resumable"];
const REBALANCES: readonly unknown[] = ["incremental", "full"];

const SHARD_OPTIONS: Readonly<Record<keyof ShardOptions, true>> = {
  key: true,
  count: true,
  strategy: true,
  mode: true,
  correlationId: true,
  timeout: true,
  keyExtractor: true,
  directory: true,
  includeMetadata: true,
  targetShards: true,
};
const REBALANCE_OPTIONS: Readonly<Record<keyof RebalanceOptions, true>> = {
  targetCount: true,
  maxSkew: true,
  strategy: true,
  correlationId: true,
  timeout: true,
};

/** @throws Error with the message that the contract names, or that names the option. */
export function validateShardOptions(options: ShardOptions): void {
  requireKnown("shard", options, Object.keys(SHARD_OPTIONS));
  const { key, count, strategy = "hash", targetShards, mode, keyExtractor } = options;
  if (typeof key !== "string" || key === "") throw new Error("Shard key is required");
  if (!Number.isInteger(count) || count < 1) throw new Error("Shard count must be positive");
  if (count > SHARD_COUNT_MAX)
    throw new Error(`Shard count too large: maximum ${SHARD_COUNT_MAX} shards`);
  if (!STRATEGIES.has(strategy)) throw new Error(`Invalid shard strategy: '${strategy}'`);
  if (mode !== undefined && !MODES.includes(mode))
    throw new Error(`shard: mode must be one of ${MODES.join(", ")}, not ${shownValue(mode)}`);
  requireMilliseconds("shard", "timeout", options.timeout);
  requireType("shard", "correlationId", options.correlationId, "string");
  requireType("shard", "directory", options.directory, "boolean");
  requireType("shard", "includeMetadata", options.includeMetadata, "boolean");
  requireType("shard", "keyExtractor", keyExtractor, "string");
  if (keyExtractor !== undefined && strategy !== "custom")
    throw new Error(
      `shard: keyExtractor is for strategy 'custom', and ${strategy} would ignore it: leave one of them out`,
    );
  if (targetShards !== undefined) requireNames(targetShards, count);
}

function requireNames(names: readonly unknown[], count: number): void {
  const wrong = Array.isArray(names)
    ? names.find((name) => typeof name !== "string" || name === "")
    : names;
  if (wrong !== undefined)
    throw new Error(`shard: targetShards must be a list of names, not of ${shownValue(wrong)}`);
  if (names.length !== count)
    throw new Error(`targetShards names ${names.length} shards, but count is ${count}`);
  if (new Set(names).size !== count) throw new Error("targetShards must be unique");
}

/** @throws Error that names the option. */
export function validateUnshardOptions(options: UnshardOptions): void {
  requireKnown("unshard", options, ["timeout", "correlationId"]);
  requireMilliseconds("unshard", "timeout", options.timeout);
  requireType("unshard", "correlationId", options.correlationId, "string");
}

/** @throws Error that names the option. */
export function validateRebalanceOptions(options: RebalanceOptions): void {
  requireKnown("rebalanceShards", options, Object.keys(REBALANCE_OPTIONS));
  const { maxSkew, strategy, timeout, correlationId } = options;
  if (maxSkew !== undefined && !(Number.isFinite(maxSkew) && maxSkew >= 1))
    throw new Error(
      `rebalanceShards: maxSkew must be a number from 1, the largest shard over the average, not ${String(maxSkew)}`,
    );
  if (strategy !== undefined && !REBALANCES.includes(strategy))
    throw new Error(
      `rebalanceShards: strategy must be one of ${REBALANCES.join(", ")}, not ${shownValue(strategy)}`,
    );
  requireMilliseconds("rebalanceShards", "timeout", timeout);
  requireType("rebalanceShards", "correlationId", correlationId, "string");
}

/** The request as a manifest would say it, for the planner's own code. */
export function specOf(
  name: string,
  spec: Pick<NamespaceSpec, "strategy" | "shardKey" | "count"> & Partial<NamespaceSpec>,
): NamespaceSpec {
  return {
    name,
    labels: {},
    object: "",
    directory: spec.strategy === "roundRobin",
    splitPoints: null,
    partitioner: null,
    dependsOn: [],
    policy: { ...DEFAULT_POLICY, onMissingKey: "allow" },
    source: { file: "", line: 1, column: 1 },
    ...spec,
  };
}

/** @throws Error naming the partitioners that are registered. */
export function requirePartitioner(
  name: string | undefined,
  registered: readonly PartitionerRef[],
): PartitionerRef {
  const found = findPartitioner(name ?? null, registered);
  if (!found.ok)
    throw new Error(
      `Strategy 'custom' needs keyExtractor, the name of a registered partitioner: ${found.failure}`,
    );
  return found.value;
}

/** A layout whose shards are named by hand. */
export function renameMembers(layout: Layout, names: readonly string[]): Layout {
  const renamed = new Map(layout.members.map((member, index) => [member, names[index] ?? member]));
  const members = layout.members.map((member) => renamed.get(member) ?? member);
  if (layout.kind === "hash")
    return {
      ...layout,
      members,
      ranges: layout.ranges.map((range) => ({
        ...range,
        member: renamed.get(range.member) ?? range.member,
      })),
    };
  if (layout.kind === "range")
    return {
      ...layout,
      members,
      ranges: layout.ranges.map((range) => ({
        ...range,
        member: renamed.get(range.member) ?? range.member,
      })),
    };
  return { ...layout, members };
}

export function statsOf(counts: readonly number[]): ShardStats {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const average = counts.length === 0 ? 0 : total / counts.length;
  const variance =
    counts.length === 0
      ? 0
      : counts.reduce((sum, count) => sum + (count - average) ** 2, 0) / counts.length;
  const min = counts.length === 0 ? 0 : Math.min(...counts);
  const max = counts.length === 0 ? 0 : Math.max(...counts);
  return {
    totalThings: total,
    minPerShard: min,
    maxPerShard: max,
    avgPerShard: average,
    stdDev: Math.sqrt(variance),
    skewRatio: max === 0 ? 1 : max / min,
  };
}

/**
 * @throws Error naming the first member that did not answer: an unreachable shard is never an empty
 * one.
 */
export function requireHealthy(live: LiveNamespace): void {
  const ill = live.members.find((member) => !member.healthy);
  if (ill)
    throw new Error(
      `${ill.name} is unreachable (${withRowWords(ill.error ?? "no answer")}): nothing was changed`,
    );
}
