/**
 * Starts one operation of a namespace and waits for its end, as the control half does.
 *
 * Of the engine it knows the router, the objects' `shardctl` method and the control half's
 * requests. The layout to move to comes with the request: the Worker also runs with the engine of
 * another commit, whose other files may be named differently.
 */
import type { Layout } from "../../../../src/model/layout/layout.ts";
import type {
  OperationKind,
  OperationPolicy,
  OperationStatus,
} from "../../../../src/model/operation.ts";
import type {
  ControlReplies,
  ControlRequest,
  ProtocolEndpoint,
} from "../../../../src/model/wire/protocol.ts";
import { connect } from "../../../../src/shards/router.ts";
import type { BenchBinding, BenchEnv } from "./env.ts";
import { spokenProtocol } from "./spoken-protocol.ts";

export interface OperateArgs {
  readonly binding: BenchBinding;
  readonly namespace: string;
  readonly kind: OperationKind;
  readonly to: Layout;
  readonly policy: OperationPolicy;
}

/** How an operation went. */
export interface Operated {
  /** Milliseconds since the Unix epoch, as the root journaled it. */
  readonly startedAt: number;
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
  const { namespace, binding, kind, to, policy } = args;
  const ask: Ask = (request) => askRoot(env, binding, namespace, request);
  const live = await ask({ kind: "describe", object: binding });
  const started = await ask({
    kind: "start",
    operation: {
      kind,
      epoch: live.epoch,
      to,
      policy,
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

/** The live layout of a namespace, which the next move starts from. */
export async function layoutOf(
  env: BenchEnv,
  { binding, namespace }: { readonly binding: BenchBinding; readonly namespace: string },
): Promise<Layout> {
  return (await connect(env[binding], namespace).layout()).layout;
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
  const [status] = await askRoot(env, "THINGS", namespace, { kind: "history", limit: 1 });
  if (!status) throw new Error(`${namespace} has no operation`);
  return { ...operatedOf(status), callMs };
}

type Ask = <Kind extends keyof ControlReplies>(
  request: Extract<ControlRequest, { kind: Kind }>,
) => Promise<ControlReplies[Kind]>;

/** Sends the root a request of the control half. @throws Error with the reason of a refusal. */
export async function askRoot<Kind extends keyof ControlReplies>(
  env: BenchEnv,
  binding: BenchBinding,
  namespace: string,
  request: Extract<ControlRequest, { kind: Kind }>,
): Promise<ControlReplies[Kind]> {
  const protocol = await spokenProtocol(async () => connect(env[binding], namespace).layout());
  const root = env[binding].getByName(namespace) as unknown as ProtocolEndpoint;
  const reply = await root.shardctl({ protocol, namespace, member: namespace, request });
  if (!reply.ok) throw new Error(`${request.kind} of ${namespace}: ${reply.failure.message}`);
  return reply.value as ControlReplies[Kind];
}

function operatedOf(status: OperationStatus): Operated {
  if (status.state !== "completed" || status.finishedAt === null) {
    throw new Error(
      `${status.kind} of ${status.namespace} ${status.state}: ${status.fault?.message ?? status.lastError ?? "no reason"}`,
    );
  }
  return {
    startedAt: status.startedAt,
    durationMs: status.finishedAt - status.startedAt,
    rowsMoved: status.rowsCopied,
    members: [...new Set([...status.from.members, ...status.to.members])],
  };
}
