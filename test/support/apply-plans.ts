/**
 * Plans, changes and runs for tests of applying them: each with the fields that a test is about,
 * the rest filled in.
 */
import { freshHashLayout } from "../../src/model/strategies/hash.ts";
import { shardNames, unshardedLayout } from "../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY } from "../../src/model/operation.ts";
import { PLAN_VERSION, type Change, type Plan } from "../../src/model/plan.ts";
import type { MemoryNamespace } from "./live/memory-rows.ts";

/** A change that shards an unsharded namespace at epoch 1 into two by `id`. */
export function shardChange(namespace: string, dependsOn: readonly string[] = []): Change {
  return {
    kind: "shard",
    namespace,
    object: "ORDERS",
    epoch: 1,
    from: unshardedLayout(namespace, 0),
    to: freshHashLayout("id", 0, shardNames(namespace, 0, 2)),
    reason: "unsharded → 2 shards",
    moves: [],
    rowsTotal: 3,
    rowsMoved: 3,
    bytesMoved: 600,
    skewBefore: 1,
    skewAfter: 1,
    missingKeys: 0,
    staysBehind: [],
    estimate: null,
    countedAt: 0,
    policy: DEFAULT_OPERATION_POLICY,
    dependsOn,
    source: { file: "manifests/orders.yaml", line: 1, column: 1 },
  };
}

export function planOf(changes: readonly Change[]): Plan {
  return {
    version: PLAN_VERSION,
    environment: "test",
    commit: null,
    changes,
    inSync: [],
    blocks: [],
    notices: [],
    fingerprint: "f".repeat(64),
  };
}

/** The live namespace that `shardChange` was planned for. */
export function unshardedNamespace(name: string): MemoryNamespace {
  return {
    name,
    object: "ORDERS",
    epoch: 1,
    layout: unshardedLayout(name, 0),
    rows: ["a", "b", "c"].map((id) => ({ keys: { id }, rows: 1 })),
  };
}
