/**
 * Desired and live states for tests, built from rows.
 *
 * A `NamespaceFixture` is one namespace as a list of rows and a layout. Everything that the planner
 * reads of it (members' counts, distributions) is counted here row by row with `createOwnerLookup`,
 * so that a projection can be checked against rows it has not seen.
 */
import {
  type Key,
  type KeyInput,
  compareKeys,
  isMissing,
  toKey,
} from "../../src/model/layout/key.ts";
import { type Layout, shardNames, unshardedLayout } from "../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import {
  type Partitioners,
  newestPartitioners,
  registeredPartitioner,
} from "../../src/model/layout/partitioners.ts";
import type {
  Count,
  Distribution,
  DistributionRequest,
  LiveNamespace,
  MemberDistribution,
} from "../../src/model/live.ts";
import type { OperationStatus } from "../../src/model/operation.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { AppliedPolicies } from "../../src/model/policy.ts";
import {
  decideNamespace,
  type LiveEntry,
  type LiveState,
} from "../../src/planning/decide-namespace.ts";
import { success } from "../../src/model/result.ts";
import { slotOf } from "../../src/model/layout/slots.ts";
import {
  DEFAULT_POLICY,
  type DesiredState,
  type NamespaceSpec,
  type Policy,
} from "../../src/model/spec.ts";
import { freshHashLayout } from "../../src/model/strategies/hash.ts";
import { freshRangeLayout } from "../../src/model/strategies/range.ts";

/** Private tables of an object with no row. */
const FIXED_BYTES = 122_880;

/** A fixed moment for every count: 2026-03-01T12:00:00Z. */
export const COUNTED_AT = Date.UTC(2026, 2, 1, 12);

export interface Row {
  readonly key: KeyInput;
  /** Value of another key column, for rekeys. */
  readonly other?: KeyInput;
  readonly bytes?: number;
}

export interface NamespaceFixture {
  readonly name: string;
  readonly object: string;
  readonly layout: Layout;
  readonly epoch: number;
  readonly rows: readonly Row[];
  readonly partitioners: Partitioners;
  readonly undeclaredTables: readonly string[];
  readonly operation: OperationStatus | null;
  /** Bytes of a database for each byte of its values; absent: members do not say their size. */
  readonly storageFactor?: number;
}

export function world(name: string, changes: Partial<NamespaceFixture> = {}): NamespaceFixture {
  return {
    name,
    object: "ORDERS",
    layout: unshardedLayout(name, 0),
    epoch: 3,
    rows: [],
    partitioners: {},
    undeclaredTables: [],
    operation: null,
    ...changes,
  };
}

type SpecChanges = Partial<Omit<NamespaceSpec, "policy">> & { readonly policy?: Partial<Policy> };

/** A spec: hash of `id` over 8 shards unless told otherwise. */
export function spec(name: string, { policy, ...changes }: SpecChanges = {}): NamespaceSpec {
  const none = changes.strategy === "none";
  return {
    name,
    labels: { team: "checkout" },
    object: "ORDERS",
    strategy: "hash",
    shardKey: none ? null : "id",
    count: none ? 1 : 8,
    directory: changes.strategy === "roundRobin",
    splitPoints: null,
    partitioner: null,
    dependsOn: [],
    policy: { ...DEFAULT_POLICY, ...policy },
    source: { file: `manifests/${name}.yaml`, line: 4, column: 3 },
    ...changes,
  };
}

/** Applied policies, each at its first revision. */
export function applied(policies: Readonly<Record<string, Partial<Policy>>>): AppliedPolicies {
  return new Map(
    Object.entries(policies).map(([name, policy]) => [
      name,
      { policy: { ...DEFAULT_POLICY, ...policy }, revision: 1 },
    ]),
  );
}

export function desired(...namespaces: readonly NamespaceSpec[]): DesiredState {
  return {
    environment: "production",
    commit: "3f9c2e1a4d5b6c7d8e9f0a1b2c3d4e5f6a7b8c9d",
    namespaces: namespaces.toSorted((left, right) => (left.name < right.name ? -1 : 1)),
  };
}

export function hashOf(name: string, count: number, shardKey = "id", generation = 0): Layout {
  return freshHashLayout(shardKey, generation, shardNames(name, generation, count));
}

export function rangeOf(
  name: string,
  splitPoints: readonly KeyInput[],
  shardKey = "id",
  generation = 0,
): Layout {
  return freshRangeLayout(
    shardKey,
    generation,
    shardNames(name, generation, splitPoints.length + 1),
    splitPoints.map(toKey),
  );
}

/** `count` rows with the ids `<prefix>0`, `<prefix>1`, …, 100 bytes each. */
export function rowsOf(count: number, prefix = "row-"): Row[] {
  return Array.from({ length: count }, (_, index) => ({ key: `${prefix}${index}`, bytes: 100 }));
}

/** Rows with the integer keys `from` … `from + count - 1`. */
export function integerRows(count: number, from = 0): Row[] {
  return Array.from({ length: count }, (_, index) => ({ key: from + index, bytes: 100 }));
}

export function liveNamespace(from: NamespaceFixture): LiveNamespace {
  const counts = countMembers(from);
  return {
    name: from.name,
    object: from.object,
    layout: from.layout,
    epoch: from.epoch,
    operation: from.operation,
    members: from.layout.members.map((name) => ({
      name,
      ...(counts.get(name) ?? { rows: 0, bytes: 0 }),
      ...(from.storageFactor !== undefined && {
        storage: FIXED_BYTES + Math.round((counts.get(name)?.bytes ?? 0) * from.storageFactor),
      }),
      healthy: true,
      error: null,
      responseMs: 3,
    })),
    tables: [{ name: "things", role: "keyed" }],
    undeclaredTables: from.undeclaredTables,
    partitioners: newestPartitioners(from.partitioners),
    countedAt: COUNTED_AT,
  };
}

/** The entry that a gatherer makes: the registry, and the counts that the planner asks for. */
export function liveEntry(
  from: NamespaceFixture,
  wanted: NamespaceSpec | undefined,
  basis: Plan | null = null,
): LiveEntry {
  const namespace = success(liveNamespace(from));
  const decided = wanted?.object === from.object ? decideNamespace(wanted, namespace, basis) : null;
  const request = decided?.kind === "decided" ? decided.request : null;
  return {
    ref: { name: from.name, object: from.object },
    namespace,
    decided,
    distribution: request ? success(distribution(from, request)) : null,
  };
}

/** The entry as a gatherer makes it of other words of the registry, with the same counts. */
export function withLive(
  entry: LiveEntry,
  wanted: NamespaceSpec,
  namespace: LiveEntry["namespace"],
): LiveEntry {
  return { ...entry, namespace, decided: decideNamespace(wanted, namespace) };
}

export function liveState(
  wanted: DesiredState,
  worlds: readonly NamespaceFixture[],
  basis: Plan | null = null,
): LiveState {
  return {
    namespaces: worlds.map((one) =>
      liveEntry(
        one,
        wanted.namespaces.find((namespace) => namespace.name === one.name),
        basis,
      ),
    ),
  };
}

/**
 * Every row of the world with the member that holds it now. Rows of a roundRobin layout are dealt
 * in turn.
 */
export function placedRows({
  layout,
  rows,
  partitioners,
}: NamespaceFixture): { readonly row: Row; readonly member: string }[] {
  if (layout.kind === "roundRobin") {
    return rows.map((row, index) => ({
      row,
      member: layout.members[index % layout.members.length] ?? "",
    }));
  }
  const ownerOf = createOwnerLookup(layout, partitioners);
  const shardKey = layout.kind === "none" ? "id" : layout.shardKey;
  return rows.map((row) => ({ row, member: ownerOf(keyBy(row, shardKey)) }));
}

export function countMembers(from: NamespaceFixture): Map<string, Count> {
  const counts = new Map<string, Count>();
  for (const { row, member } of placedRows(from)) {
    const sofar = counts.get(member) ?? { rows: 0, bytes: 0 };
    counts.set(member, { rows: sofar.rows + 1, bytes: sofar.bytes + (row.bytes ?? 0) });
  }
  return counts;
}

/** The row's key under a shard key: `id` is `key`, anything else is `other`. */
export function keyBy(row: Row, shardKey: string): Key {
  return toKey(shardKey === "id" ? row.key : row.other);
}

/** Rows of one bucket of keys. Small, so that a quantile needs many; never across a boundary. */
const BUCKET_ROWS_MAX = 5;

export function distribution(from: NamespaceFixture, request: DistributionRequest): Distribution {
  const placed = placedRows(from);
  const keyOf = (row: Row): Key => keyBy(row, request.shardKey);
  return {
    request,
    rows: placed.length,
    bytes: placed.reduce((sum, { row }) => sum + (row.bytes ?? 0), 0),
    missing: placed.filter(({ row }) => isMissing(keyOf(row))).length,
    members: from.layout.members.map((member): MemberDistribution => {
      const rows = placed.filter((one) => one.member === member).map(({ row }) => row);
      switch (request.by) {
        case "slots":
          return {
            member,
            slots: countBy(rows, (row) => slotOf(keyOf(row))).map(([slot, count]) => ({
              slot,
              ...count,
            })),
          };
        case "shards": {
          const partitioner = registeredPartitioner(request.partitioner, from.partitioners);
          const counts = countBy(rows, (row) => partitioner.owner(keyOf(row), request.count));
          return { member, shards: counts.map(([shard, count]) => ({ shard, ...count })) };
        }
        case "keys":
          return { member, keys: keyBuckets(rows, keyOf, request.boundaries) };
      }
    }),
    sampledEvery: null,
    countedAt: COUNTED_AT,
  };
}

function countBy(rows: readonly Row[], bucketOf: (row: Row) => number): [number, Count][] {
  const counts = new Map<number, Count>();
  for (const row of rows) {
    const bucket = bucketOf(row);
    const sofar = counts.get(bucket) ?? { rows: 0, bytes: 0 };
    counts.set(bucket, { rows: sofar.rows + 1, bytes: sofar.bytes + (row.bytes ?? 0) });
  }
  return [...counts].toSorted(([left], [right]) => left - right);
}

function keyBuckets(rows: readonly Row[], keyOf: (row: Row) => Key, boundaries: readonly Key[]) {
  const buckets: { first: Key; last: Key; rows: number; bytes: number }[] = [];
  for (const row of rows.toSorted((left, right) => compareKeys(keyOf(left), keyOf(right)))) {
    const key = keyOf(row);
    const bucket = buckets.at(-1);
    const sameKey = bucket !== undefined && compareKeys(bucket.last, key) === 0;
    const crosses =
      bucket !== undefined &&
      boundaries.some((edge) => compareKeys(bucket.last, edge) < 0 && compareKeys(key, edge) >= 0);
    if (bucket && (sameKey || (bucket.rows < BUCKET_ROWS_MAX && !crosses))) {
      bucket.last = key;
      bucket.rows++;
      bucket.bytes += row.bytes ?? 0;
    } else {
      buckets.push({ first: key, last: key, rows: 1, bytes: row.bytes ?? 0 });
    }
  }
  return buckets;
}

/** A running operation on its way from a world's layout. */
export function runningOperation(
  from: NamespaceFixture,
  to: Layout,
  changes: Partial<OperationStatus> = {},
): OperationStatus {
  return {
    id: 7,
    namespace: from.name,
    kind: "shard",
    mode: "swap",
    state: "running",
    step: "copy",
    wave: 0,
    waves: 0,
    rowsTotal: 1_204_332,
    rowsCopied: 301_083,
    rowsVerified: 0,
    bytesCopied: 30_108_300,
    sources: [],
    from: from.layout,
    to,
    epochFrom: from.epoch,
    epoch: from.epoch,
    correlationId: "run-1:orders",
    requestedBy: "octocat",
    startedAt: COUNTED_AT - 95_000,
    updatedAt: COUNTED_AT - 2_000,
    finishedAt: null,
    fault: null,
    writePauseMs: null,
    paused: null,
    lastError: null,
    retries: 0,
    ...changes,
  };
}
