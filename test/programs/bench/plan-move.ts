/**
 * Plans a move of a benchmark: the layout that a namespace is to have, from the one it has now.
 * Decided here, by the control half of this tree, so that the engine of another commit makes the
 * very same move.
 */
import { type Layout, shardNames, unshardedLayout } from "../../../src/model/layout/layout.ts";
import { shiftMembers, swapGeneration } from "../../../src/model/operation-mode.ts";
import { DEFAULT_OPERATION_POLICY, type OperationPolicy } from "../../../src/model/operation.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import type { BenchRuntime } from "./runtime.ts";
import type { BenchBinding } from "./worker/env.ts";
import type { OperateArgs } from "./worker/operate.ts";

/** Where a move leads. */
export type Target =
  | { readonly kind: "shard"; readonly count: number }
  | { readonly kind: "rebalance"; readonly count: number }
  | { readonly kind: "rekey"; readonly count: number; readonly shardKey: string }
  | { readonly kind: "unshard" };

export interface MoveRequest {
  /** Default `THINGS`. */
  readonly binding?: BenchBinding;
  readonly namespace: string;
  readonly to: Target;
  readonly policy?: Partial<OperationPolicy>;
}

/** Arguments for the Worker's `operate`. */
export async function planMove(runtime: BenchRuntime, request: MoveRequest): Promise<OperateArgs> {
  const { binding = "THINGS", namespace, to, policy } = request;
  const from = await runtime.call<Layout>("layoutOf", { binding, namespace });
  return {
    binding,
    namespace,
    kind: to.kind,
    to: layoutFor(namespace, from, to),
    policy: { ...DEFAULT_OPERATION_POLICY, ...policy },
  };
}

function layoutFor(namespace: string, from: Layout, to: Target): Layout {
  switch (to.kind) {
    case "shard":
      return freshHashLayout(
        "id",
        from.generation,
        shardNames(namespace, from.generation, to.count),
      );
    case "rebalance":
      if (from.kind !== "hash") throw new Error(`${namespace} is not sharded by hash`);
      return resizeHashLayout(from, shiftMembers(namespace, from, to.count));
    case "rekey": {
      const generation = swapGeneration(namespace, from, to.count);
      return freshHashLayout(to.shardKey, generation, shardNames(namespace, generation, to.count));
    }
    case "unshard":
      return unshardedLayout(namespace, from.generation + 1);
  }
}
