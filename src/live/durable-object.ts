/**
 * Live access over a Worker's own Durable Object bindings.
 *
 * Owns the mapping from what can happen to a call (an answer, a refusal, an exception, silence) to
 * a `LiveResult`. It refuses to guess: an answer that is not a reply of the protocol is a failure,
 * never an empty namespace. Every call takes a new stub, because a stub stays broken after its
 * object was aborted; nothing is retried here, since only the caller knows what is idempotent.
 */
import type {
  Count,
  Distribution,
  LiveFailure,
  LiveNamespace,
  LiveResult,
  NamespaceRef,
} from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import {
  errorWords,
  hideRowWords,
  namespaceForOthers,
  operationForOthers,
  readFault,
  withoutRowWords,
} from "../model/row-words.ts";
import { PeerProtocols } from "../model/wire/peer-protocols.ts";
import {
  type ControlReplies,
  type ControlRequest,
  type CountReply,
  type CountRequest,
  type ProtocolEndpoint,
  type ProtocolReply,
} from "../model/wire/protocol.ts";
import type { RepairOutcome, RepairPlan } from "../model/repair.ts";
import { failure, success } from "../model/result.ts";
import type { LiveAccess } from "./port.ts";

/**
 * How long an object may take to answer. Counting by another key reads every row, so it may take
 * longer.
 */
const CALL_TIMEOUT_MS = 30_000;
const DISTRIBUTE_TIMEOUT_MS = 120_000;
/** A repair asks every object that it concerns, and counts the rows that it sets aside. */
const REPAIR_TIMEOUT_MS = 120_000;

/** The part of a `DurableObjectNamespace` that this adapter needs, so that a test may pass less. */
export interface ObjectBinding {
  getByName(name: string): object;
}

export interface ObjectAccessOptions {
  /** Overrides both timeouts, in milliseconds. */
  readonly timeoutMs?: number;
}

/**
 * Reaches namespaces through bindings, by the binding's name.
 *
 * Failures: `unbound` (no such binding; names the ones that exist), `notShardable` (the class does
 * not speak the protocol, or answers nonsense), `unreachable` (exception or timeout), `refused`
 * (with the object's reason).
 */
export function createObjectAccess(
  objects: Readonly<Record<string, ObjectBinding>>,
  options: ObjectAccessOptions = {},
): LiveAccess {
  const protocols = new PeerProtocols();

  function ask<Kind extends keyof ControlReplies>(
    ref: NamespaceRef,
    request: Extract<ControlRequest, { kind: Kind }>,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<LiveResult<ControlReplies[Kind]>> {
    return send<ControlReplies[Kind]>(ref, ref.name, request, timeoutMs);
  }

  async function send<Reply>(
    ref: NamespaceRef,
    member: string,
    request: ControlRequest | CountRequest,
    timeoutMs: number,
  ): Promise<LiveResult<Reply>> {
    const binding = Object.hasOwn(objects, ref.object) ? objects[ref.object] : undefined;
    if (binding === undefined) return failure(unbound(ref, Object.keys(objects)));
    const limitMs = options.timeoutMs ?? timeoutMs;
    try {
      const reply = await protocols.exchange(`${ref.object}/${member}`, async (protocol) =>
        requireReply(
          await withTimeout(callObject(binding, ref, member, protocol, request), limitMs),
        ),
      );
      return readReply<Reply>(ref, request.kind, reply);
    } catch (error) {
      return failure(
        error instanceof NotAReply ? nonsense(ref, request.kind) : explainException(ref, error),
      );
    }
  }

  return {
    async describe(ref, countsMaxAgeMs) {
      const aged = countsMaxAgeMs === undefined ? {} : { countsMaxAgeMs };
      const answer = await ask(ref, { kind: "describe", object: ref.object, ...aged });
      const checked = answer.ok ? checkNamespace(ref, answer.value) : answer;
      return checked.ok ? success(namespaceForOthers(checked.value)) : checked;
    },
    async distribute(ref, distribution, isExact = false) {
      const answer = await ask(
        ref,
        { kind: "distribute", distribution, ...(isExact && { exact: true }) },
        DISTRIBUTE_TIMEOUT_MS,
      );
      return answer.ok ? checkDistribution(ref, answer.value) : answer;
    },
    operation: (ref, id) => follow(ask(ref, { kind: "operation", id })),
    async history(ref, limit) {
      const answer = await ask(ref, { kind: "history", limit });
      if (!answer.ok) return answer;
      return Array.isArray(answer.value)
        ? success(answer.value.map(operationForOthers))
        : failure(nonsense(ref, "history"));
    },
    start: (ref, operation) => follow(ask(ref, { kind: "start", operation })),
    cancel: (ref, id) => follow(ask(ref, { kind: "cancel", id })),
    pause: (ref, id, { reason, by }) => follow(ask(ref, { kind: "pause", id, reason, by })),
    resume: (ref, id) => follow(ask(ref, { kind: "resume", id })),
    ids: (ref) => ask(ref, { kind: "ids" }, REPAIR_TIMEOUT_MS),
    async planRepair(ref, repair) {
      const answer = await ask(ref, { kind: "planRepair", repair }, REPAIR_TIMEOUT_MS);
      return answer.ok ? checkRepair(ref, "planRepair", answer.value, REPAIR_PLAN_LISTS) : answer;
    },
    async repair(ref, repair, fingerprint, by) {
      const answer = await ask(ref, { kind: "repair", repair, fingerprint, by }, REPAIR_TIMEOUT_MS);
      return answer.ok ? checkRepair(ref, "repair", answer.value, REPAIR_OUTCOME_LISTS) : answer;
    },
    async countMember(ref, member) {
      const answer = await send<CountReply>(ref, member, { kind: "count" }, CALL_TIMEOUT_MS);
      return answer.ok ? sumTables(ref, answer.value) : answer;
    },
  };
}

/** Objects of an older library send texts that quote rows. */
async function follow(
  asked: Promise<LiveResult<OperationStatus>>,
): Promise<LiveResult<OperationStatus>> {
  const answer = await asked;
  return answer.ok ? success(operationForOthers(answer.value)) : answer;
}

function callObject(
  binding: ObjectBinding,
  ref: NamespaceRef,
  member: string,
  protocol: number,
  request: ControlRequest | CountRequest,
): Promise<ProtocolReply<unknown>> {
  const endpoint = binding.getByName(member) as ProtocolEndpoint;
  return endpoint.shardctl({ protocol, namespace: ref.name, member, request });
}

/** An object that did not answer in time. Its call may still run and take effect. */
class CallTimeout extends Error {}

async function withTimeout<Value>(call: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new CallTimeout(`no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([call, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** An answer that is not one of the protocol. */
class NotAReply extends Error {}

/** @throws NotAReply */
function requireReply(reply: unknown): ProtocolReply<unknown> {
  const isReply =
    isRecord(reply) &&
    (reply["ok"] === true || (reply["ok"] === false && isRefusal(reply["failure"]))) &&
    (reply["speaks"] === undefined || Array.isArray(reply["speaks"]));
  if (!isReply) throw new NotAReply();
  return reply as unknown as ProtocolReply<unknown>;
}

function isRefusal(reason: unknown): boolean {
  return isRecord(reason) && typeof reason["message"] === "string";
}

function readReply<Value>(
  ref: NamespaceRef,
  asked: string,
  reply: ProtocolReply<unknown>,
): LiveResult<Value> {
  if (reply.ok)
    return isRecord(reply.value) ? success(reply.value as Value) : failure(nonsense(ref, asked));
  const { kind: reason, fault } = reply.failure;
  const message = withoutRowWords(fault ? readFault(fault) : reply.failure.message, ref.name);
  if (reason === "unreachable") return failure({ kind: "unreachable", message });
  const { counted } = reply.failure;
  return failure({
    kind: "refused",
    message,
    reason,
    ...(typeof counted === "number" && { counted }),
  });
}

/**
 * The parts that planning trusts most. A namespace that answers for another, or without its
 * members, is not one that was read.
 */
function checkNamespace(ref: NamespaceRef, live: LiveNamespace): LiveResult<LiveNamespace> {
  const members: unknown = live.members;
  const layout: unknown = live.layout;
  const complete =
    live.name === ref.name &&
    Number.isInteger(live.epoch) &&
    Array.isArray(members) &&
    isRecord(layout) &&
    Array.isArray(layout["members"]) &&
    layout["members"].length === members.length;
  return complete ? success(live) : failure(nonsense(ref, "describe"));
}

function checkDistribution(
  ref: NamespaceRef,
  distribution: Distribution,
): LiveResult<Distribution> {
  const complete = Number.isInteger(distribution.rows) && Array.isArray(distribution.members);
  return complete ? success(distribution) : failure(nonsense(ref, "distribute"));
}

const REPAIR_PLAN_LISTS = ["testimonies", "steps", "losses", "obstacles"];
const REPAIR_OUTCOME_LISTS = ["steps", "setAside"];

/** Refuses a plan that is not whole, or of another namespace: a person approves it as it is. */
function checkRepair<Value extends RepairPlan | RepairOutcome>(
  ref: NamespaceRef,
  asked: string,
  repair: Value,
  lists: readonly string[],
): LiveResult<Value> {
  const fields = repair as unknown as Readonly<Record<string, unknown>>;
  const isWhole =
    repair.namespace === ref.name &&
    typeof repair.fingerprint === "string" &&
    lists.every((name) => Array.isArray(fields[name]));
  return isWhole ? success(repair) : failure(nonsense(ref, asked));
}

function sumTables(ref: NamespaceRef, { tables }: CountReply): LiveResult<Count> {
  if (!Array.isArray(tables)) return failure(nonsense(ref, "count"));
  return success({
    rows: tables.reduce((sum, table) => sum + table.rows, 0),
    bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
  });
}

function unbound(ref: NamespaceRef, bindings: readonly string[]): LiveFailure {
  const known = bindings.length === 0 ? "it has none" : `it has ${bindings.toSorted().join(", ")}`;
  return {
    kind: "unbound",
    message: `The Worker has no Durable Object binding '${ref.object}' for namespace '${ref.name}' (${known}). Correct spec.object, or add the binding to the Worker.`,
  };
}

function nonsense(ref: NamespaceRef, asked: string): LiveFailure {
  return {
    kind: "notShardable",
    message: `The class behind '${ref.object}' gave an answer to '${asked}' for '${ref.name}' that is not a shardctl reply. Its shardctl() method must return what ShardHost returns, in the version that this Worker uses.`,
  };
}

// workerd's two ways to say that there is nothing to call: no such method, or a class that offers
// no RPC at all.
const NO_METHOD =
  /does not implement (the method|"?shardctl)|does not support RPC|is not a function/i;

function explainException(ref: NamespaceRef, error: unknown): LiveFailure {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof TypeError && NO_METHOD.test(text)) {
    return {
      kind: "notShardable",
      message: `The class behind '${ref.object}' has no shardctl() method, so '${ref.name}' cannot be sharded. Add ShardHost to the class (see shardctl/durable-object).`,
    };
  }
  return {
    kind: "unreachable",
    message: `'${ref.name}' behind '${ref.object}' could not be reached: ${error instanceof CallTimeout ? text : wordsOf(text)}`,
  };
}

/** A class may throw what it has read of a row. */
function wordsOf(thrown: string): string {
  const shown = hideRowWords(errorWords(thrown));
  return shown === thrown ? thrown : `${shown}: the log of the class has it`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
