/// <reference types="@cloudflare/vitest-plugin/types" />
/**
 * Namespaces of the real engine behind the control half's test Worker: declared, applied, changed
 * by hand, and reconciled.
 */
import { runInDurableObject } from "cloudflare:test";

import type { Run } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import type { LiveNamespace } from "../../src/model/live.ts";
import type { OperationStatus } from "../../src/model/operation.ts";
import type { ControlRequest, ProtocolReply } from "../../src/model/wire/protocol.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type SelfHeal } from "../../src/model/spec.ts";
import { call, controlEnv, coordinatorStub, makePlan, spec } from "./control-api.ts";
import type { RealThings } from "./control-worker.ts";

/** Tries of a pass that does not end within one request. */
const PASS_TRIES_MAX = 10;

export function realObject(name: string): DurableObjectStub<RealThings> {
  return controlEnv.REAL.getByName(name);
}

export function declareReal(
  name: string,
  count: number,
  selfHeal: SelfHeal = "alert",
): NamespaceSpec {
  return spec(name, {
    object: "REAL",
    count,
    policy: { ...DEFAULT_POLICY, maxSkew: 100, selfHeal },
  });
}

/**
 * Plans and applies, and follows the run for as long as it takes: the test's own limit ends what
 * hangs.
 */
export async function applyReal(
  environment: string,
  specs: readonly NamespaceSpec[],
): Promise<Run> {
  const { fingerprint } = await makePlan(environment, specs);
  const { body } = await call<Run>("POST", `/v1/plans/${fingerprint}/apply`, {
    body: { overrides: ["bulkChange"] },
  });
  let run = body;
  while (run.finishedAt === null) run = (await call<Run>("GET", `/v1/runs/${run.id}?wait=5`)).body;
  if (run.state !== "succeeded")
    throw new Error(JSON.stringify(run.actions.filter(({ error }) => error !== null)));
  return run;
}

/** One pass to its end. */
export async function reconcileReal(environment: string): Promise<DriftReport> {
  for (let tries = 0; tries < PASS_TRIES_MAX; tries++) {
    const { status, body } = await call<DriftReport>(
      "POST",
      `/v1/reconcile?environment=${environment}`,
    );
    if (status === 200) return body;
  }
  throw new Error(`The pass in ${environment} does not end`);
}

/**
 * Moves the next turn of every namespace, for a check and for an audit, in milliseconds since the
 * Unix epoch: 0 is now, without an hour going by; far ahead is never, however slow the machine is.
 */
export async function setTurns(
  environment: string,
  turns: { readonly checkAt: number; readonly auditAt: number },
): Promise<void> {
  const { checkAt, auditAt } = turns;
  await runInDurableObject(coordinatorStub(), (_instance, state) => {
    state.storage.sql.exec(
      `UPDATE reconciledNames SET dueAt = ?1, body = json_set(body, '$.dueAt', ?1, '$.auditDueAt', ?2) WHERE environment = ?3`,
      checkAt,
      auditAt,
      environment,
    );
  });
}

/** Sends one request to a namespace's root, past the Worker. */
export type AskRoot = (request: ControlRequest) => Promise<ProtocolReply<unknown>>;

export function askRoot(root: Pick<RealThings, "shardctl">, name: string): AskRoot {
  return async (request) => root.shardctl({ protocol: 1, namespace: name, member: name, request });
}

/**
 * Starts a rebalance as somebody would who knows nothing of manifests; by default to the very same
 * layout. @throws when it is refused.
 */
export async function rebalanceByHand(ask: AskRoot, to?: Layout): Promise<OperationStatus> {
  const { layout, epoch } = await answerOf<LiveNamespace>(ask, {
    kind: "describe",
    object: "REAL",
  });
  const policy = {
    allowMissingKey: true,
    rowsPerSecondMax: null,
    waveRowsMax: 100,
    retainHours: 1,
  };
  const operation = {
    epoch,
    to: to ?? layout,
    policy,
    correlationId: "by-hand",
    requestedBy: "someone",
    refuseEmpty: false,
  };
  return answerOf<OperationStatus>(ask, {
    kind: "start",
    operation: { kind: "rebalance", ...operation },
  });
}

/** The operation once it has ended. */
export async function endOfOperation(ask: AskRoot, id: number): Promise<OperationStatus> {
  for (;;) {
    const status = await answerOf<OperationStatus>(ask, { kind: "operation", id });
    if (status.state !== "running") return status;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function answerOf<Reply>(ask: AskRoot, request: ControlRequest): Promise<Reply> {
  const reply = await ask(request);
  if (!reply.ok) throw new Error(reply.failure.message);
  return reply.value as Reply;
}
