/** Runs one operation of a namespace from its start to its end, as the control half does. */
import { type Layout, shardNames, unshardedLayout } from "../../../src/core/layout.ts";
import { shiftMembers, swapGeneration } from "../../../src/core/operation-mode.ts";
import { DEFAULT_OPERATION_POLICY, type OperationPolicy, type OperationStatus } from "../../../src/core/operation.ts";
import { type ControlReplies, type ControlRequest, PROTOCOL_VERSION, type ProtocolEndpoint } from "../../../src/core/protocol.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/core/strategies/hash.ts";
import type { BenchBinding, BenchEnv } from "./env.ts";

export interface OperateArgs {
  readonly binding?: BenchBinding;
  readonly namespace: string;
  readonly to:
    | { readonly kind: "shard"; readonly count: number }
    | { readonly kind: "rebalance"; readonly count: number }
    | { readonly kind: "rekey"; readonly count: number; readonly shardKey: string }
    | { readonly kind: "unshard" };
  readonly policy?: Partial<OperationPolicy>;
}

/** How an operation went. */
export interface Operated {
  /** From its start, as the root journaled it, to its end. */
  readonly durationMs: number;
  /** Rows that were copied: for a rebalance only those that changed hands. */
  readonly rowsMoved: number;
  /** Every object that has rows of the namespace now or had them before. */
  readonly members: readonly string[];
}

const POLL_MS = 50;
const DIRECT_TIMEOUT_MS = 600_000;

export async function operate(env: BenchEnv, args: OperateArgs): Promise<Operated> {
  const { namespace, binding = "THINGS", to, policy } = args;
  const ask: Ask = (request) => askRoot(env[binding].getByName(namespace) as unknown as ProtocolEndpoint, namespace, request);
  const live = await ask({ kind: "describe", object: binding });
  const started = await ask({
    kind: "start",
    operation: {
      kind: to.kind,
      epoch: live.epoch,
      to: layoutFor(namespace, live.layout, to),
      policy: { ...DEFAULT_OPERATION_POLICY, ...policy },
      correlationId: crypto.randomUUID(),
      requestedBy: "bench",
      refuseEmpty: false,
    },
  });
  for (;;) {
    const status = await ask({ kind: "operation", id: started.id });
    if (status.state !== "running") return operatedOf(status);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The direct API's `shard`, with its counts before and after: what a caller waits for. */
export async function shardDirectly(
  env: BenchEnv,
  { namespace, count }: { namespace: string; count: number },
): Promise<Operated & { readonly callMs: number }> {
  const root = env.THINGS.getByName(namespace);
  const startedAt = Date.now();
  await root.shard({ key: "id", count, timeout: DIRECT_TIMEOUT_MS });
  const callMs = Date.now() - startedAt;
  const [status] = await askRoot(root as unknown as ProtocolEndpoint, namespace, { kind: "history", limit: 1 });
  if (!status) throw new Error(`${namespace} has no operation`);
  return { ...operatedOf(status), callMs };
}

type Ask = <Kind extends keyof ControlReplies>(request: Extract<ControlRequest, { kind: Kind }>) => Promise<ControlReplies[Kind]>;

async function askRoot<Kind extends keyof ControlReplies>(
  root: ProtocolEndpoint,
  namespace: string,
  request: Extract<ControlRequest, { kind: Kind }>,
): Promise<ControlReplies[Kind]> {
  const reply = await root.shardctl({ protocol: PROTOCOL_VERSION, namespace, member: namespace, request });
  if (!reply.ok) throw new Error(`${request.kind} of ${namespace}: ${reply.failure.message}`);
  return reply.value as ControlReplies[Kind];
}

function layoutFor(namespace: string, from: Layout, to: OperateArgs["to"]): Layout {
  switch (to.kind) {
    case "shard":
      return freshHashLayout("id", from.generation, shardNames(namespace, from.generation, to.count));
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

function operatedOf(status: OperationStatus): Operated {
  if (status.state !== "completed" || status.finishedAt === null) {
    throw new Error(
      `${status.kind} of ${status.namespace} ${status.state}: ${status.fault?.message ?? status.lastError ?? "no reason"}`,
    );
  }
  return {
    durationMs: status.finishedAt - status.startedAt,
    rowsMoved: status.rowsCopied,
    members: [...new Set([...status.from.members, ...status.to.members])],
  };
}
