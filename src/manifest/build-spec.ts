/**
 * Builds the spec of one environment from the options as written: merges overrides and fills in
 * defaults. Runs only on manifests without errors.
 */
import { compareText } from "../model/compare-text.ts";
import type { Key } from "../model/layout/key.ts";
import {
  DEFAULT_POLICY,
  type NamespaceSpec,
  type Policy,
  type SourcePosition,
} from "../model/spec.ts";
import { type SpecView, fitsStrategy, splitPointKey } from "./check-spec.ts";
import { parseDuration } from "./fields.ts";
import type { RawSpec, RawSplitPoint } from "./namespace-schema.ts";

type RawPolicy = NonNullable<RawSpec["policy"]>;

/**
 * Lays an override over a spec as JSON merge patch does (RFC 7396): maps are merged, lists
 * replaced, and null removes an option. An override of the strategy does not inherit options that
 * have no meaning under the new one.
 */
export function mergeOverride(base: SpecView, override: SpecView): SpecView {
  const { strategy } = override.options;
  const changes = strategy !== undefined && strategy !== base.options.strategy;
  const inherited = Object.entries(base.options).filter(
    ([key, value]) => !changes || fitsStrategy(key, value, strategy),
  );
  const options: Record<string, unknown> = Object.fromEntries(inherited);
  const broken = new Set([...base.broken].filter((key) => !Object.hasOwn(override.options, key)));
  for (const key of override.broken) broken.add(key);
  for (const [key, value] of Object.entries(override.options)) {
    if (value === null) delete options[key];
    else
      options[key] =
        key === "policy" ? mergePolicy(base.options.policy, value as RawPolicy) : value;
  }
  for (const key of override.broken) delete options[key];
  return { options, broken };
}

function mergePolicy(base: RawPolicy | undefined, override: RawPolicy): RawPolicy {
  return Object.fromEntries(
    Object.entries({ ...base, ...override }).filter(([, value]) => value !== null),
  );
}

/**
 * Fills in defaults. Throws when the options have not passed `checkSpec`: that would be a mistake
 * of this program.
 */
export function buildSpec(
  name: string,
  labels: Readonly<Record<string, string>>,
  options: Partial<RawSpec>,
  source: SourcePosition,
): NamespaceSpec {
  const {
    object,
    strategy,
    shardKey,
    count,
    directory,
    splitPoints,
    partitioner,
    dependsOn,
    policy,
  } = options;
  if (object === undefined || strategy === undefined)
    throw new Error(`The options of ${name} were not checked before they were used`);
  return {
    name,
    labels: Object.fromEntries(
      Object.entries(labels).toSorted(([left], [right]) => compareText(left, right)),
    ),
    object,
    strategy,
    shardKey: shardKey ?? null,
    count: count ?? 1,
    directory: directory ?? strategy === "roundRobin",
    splitPoints: splitPoints?.map(requireKey) ?? null,
    partitioner: partitioner ?? null,
    dependsOn: (dependsOn ?? []).toSorted(compareText),
    policy: buildPolicy(policy ?? {}),
    source,
  };
}

/** Fills in the defaults. */
export function buildPolicy(policy: RawPolicy): Policy {
  return {
    maxSkew: policy.maxSkew ?? DEFAULT_POLICY.maxSkew,
    selfHeal: policy.selfHeal ?? DEFAULT_POLICY.selfHeal,
    suspend: policy.suspend ?? DEFAULT_POLICY.suspend,
    onMissingKey: policy.onMissingKey ?? DEFAULT_POLICY.onMissingKey,
    windows: (policy.windows ?? []).map(({ start, duration, timezone }) => ({
      start: start.trim().split(/\s+/u).join(" "),
      durationMs: requireDuration(duration),
      timezone: timezone ?? "UTC",
    })),
    budgetRows: policy.budget?.rows ?? DEFAULT_POLICY.budgetRows,
    rowsPerSecondMax: policy.rowsPerSecondMax ?? DEFAULT_POLICY.rowsPerSecondMax,
    retainHours: policy.retainHours ?? DEFAULT_POLICY.retainHours,
    ...(policy.storageBytesMax === undefined ? {} : { storageBytesMax: policy.storageBytesMax }),
    ...(policy.maxFill === undefined ? {} : { maxFill: policy.maxFill }),
  };
}

function requireKey(point: RawSplitPoint): Key {
  const key = splitPointKey(point);
  if (key === null) throw new Error("A split point was not checked before it was used");
  return key;
}

function requireDuration(text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs === null) throw new Error("A duration was not checked before it was used");
  return durationMs;
}
