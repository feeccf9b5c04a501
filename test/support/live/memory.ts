/**
 * Live access over plain values: tests and the planner's benchmark use it where a runtime would
 * only be in the way.
 *
 * A namespace's rows are given as counts by key, so 10,000 namespaces of a billion rows cost
 * nothing. Owners and buckets come from the code that routes real rows. Operations end after a
 * number of polls, or fail on demand; nothing happens by itself.
 */
import { type Partitioners, newestPartitioners } from "../../../src/model/layout/partitioners.ts";
import type {
  Count,
  LiveFailure,
  LiveNamespace,
  LiveResult,
  MemberStatus,
  NamespaceRef,
} from "../../../src/model/live.ts";
import type {
  OperationFault,
  OperationStatus,
  StartOperation,
} from "../../../src/model/operation.ts";
import type { ProtocolFailure } from "../../../src/model/wire/protocol-failure.ts";
import type { RepairOutcome, RepairRequest } from "../../../src/model/repair.ts";
import { failure, success } from "../../../src/model/result.ts";
import { countDistribution } from "./count-distribution.ts";
import { BYTES_PER_ROW, bytesOf, placeRows, type MemoryNamespace } from "./memory-rows.ts";
import { applyMemoryRepair, planMemoryRepair } from "./memory-repair.ts";
import type { LiveAccess } from "../../../src/live/port.ts";

export interface MemoryOptions {
  readonly namespaces: readonly MemoryNamespace[];
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /**
   * Polls of `operation` until an operation has completed, asked at each poll; 0 completes at its
   * start. Default 2.
   */
  readonly pollsToComplete?: () => number;
  readonly partitioners?: Partitioners;
}

export interface MemoryAccess extends LiveAccess {
  /** Every call so far as `verb namespace`, in order. */
  readonly calls: readonly string[];
  /** The next operation of the namespace fails instead of completing. */
  failNext(name: string, fault: OperationFault): void;
  /** The next `times` calls to the namespace fail with `failure`. */
  breakCalls(name: string, failure: LiveFailure, times: number): void;
  /** While true, operations of the namespace stall. */
  stall(name: string, isStalled: boolean): void;
  /** Changes a namespace behind everybody's back. */
  edit(name: string, change: Partial<MemoryNamespace>): void;
}

interface State {
  namespace: MemoryNamespace;
  operations: OperationStatus[];
  polls: number;
  fault: OperationFault | null;
  broken: { failure: LiveFailure; times: number } | null;
  isStalled: boolean;
  members: readonly MemberStatus[] | null;
}

/** Builds the access. Names are unique over all bindings here. */
export function createMemoryAccess(options: MemoryOptions): MemoryAccess {
  const { now, pollsToComplete = () => 2, partitioners = {} } = options;
  const states = new Map(
    options.namespaces.map((namespace) => [namespace.name, newState(namespace)]),
  );
  const calls: string[] = [];

  function open<Value>(
    verb: string,
    ref: NamespaceRef,
    use: (state: State) => LiveResult<Value>,
  ): Promise<LiveResult<Value>> {
    calls.push(`${verb} ${ref.name}`);
    const state = states.get(ref.name);
    if (!state || state.namespace.object !== ref.object)
      return Promise.resolve(failure(unbound(ref)));
    if (state.broken && state.broken.times > 0) {
      state.broken.times--;
      return Promise.resolve(failure(state.broken.failure));
    }
    return Promise.resolve(use(state));
  }

  return {
    calls,
    failNext: (name, fault) => void (stateOf(states, name).fault = fault),
    breakCalls: (name, reason, times) =>
      void (stateOf(states, name).broken = { failure: reason, times }),
    stall: (name, isStalled) => void (stateOf(states, name).isStalled = isStalled),
    edit(name, change) {
      const state = stateOf(states, name);
      state.namespace = { ...state.namespace, ...change };
      state.members = null;
    },
    describe: (ref) =>
      open("describe", ref, (state) => success(describe(state, partitioners, now()))),
    distribute: (ref, request) =>
      open(
        "distribute",
        ref,
        ({ namespace }) =>
          refuseLost(namespace) ??
          success(countDistribution(namespace, request, partitioners, now())),
      ),
    operation: (ref, id) =>
      open("operation", ref, (state) => poll(state, id, pollsToComplete(), now())),
    history: (ref, limit) =>
      open("history", ref, (state) => success(state.operations.toReversed().slice(0, limit))),
    start: (ref, request) =>
      open("start", ref, (state) => start(state, request, pollsToComplete(), now())),
    cancel: (ref, id) => open("cancel", ref, (state) => cancel(state, id, now())),
    pause: (ref, id, why) => open("pause", ref, (state) => pause(state, id, why, now())),
    resume: (ref, id) => open("resume", ref, (state) => resume(state, id, now())),
    ids: (ref) =>
      open("ids", ref, () =>
        success({ namespace: ref.name, texts: [], misplaced: [], unsaid: [] }),
      ),
    planRepair: (ref, request) =>
      open("planRepair", ref, ({ namespace }) => success(planMemoryRepair(namespace, request))),
    repair: (ref, request, fingerprint) =>
      open("repair", ref, (state) => repair(state, request, fingerprint)),
    countMember: (ref, member) =>
      open("count", ref, (state) => countMember(state, member, partitioners)),
  };
}

function newState(namespace: MemoryNamespace): State {
  return {
    namespace,
    operations: [],
    polls: 0,
    fault: null,
    broken: null,
    isStalled: false,
    members: null,
  };
}

function stateOf(states: ReadonlyMap<string, State>, name: string): State {
  const state = states.get(name);
  if (!state) throw new Error(`No namespace '${name}' in memory`);
  return state;
}

function describe(state: State, partitioners: Partitioners, now: number): LiveNamespace {
  const { namespace } = state;
  state.members ??= countMembers(namespace, partitioners);
  return {
    name: namespace.name,
    object: namespace.object,
    layout: namespace.layout,
    epoch: namespace.epoch,
    operation: newestOperation(state),
    ...(namespace.forecast ? { forecast: namespace.forecast } : {}),
    ...(namespace.disorder ? { disorder: namespace.disorder } : {}),
    members: state.members,
    tables: [{ name: "things", role: "keyed" }],
    undeclaredTables: namespace.undeclaredTables ?? [],
    partitioners: newestPartitioners(partitioners),
    countedAt: now,
  };
}

function countMembers(namespace: MemoryNamespace, partitioners: Partitioners): MemberStatus[] {
  const counts = new Map<string, Count>();
  for (const { member, group } of placeRows(namespace, partitioners)) {
    const before = counts.get(member) ?? { rows: 0, bytes: 0 };
    counts.set(member, { rows: before.rows + group.rows, bytes: before.bytes + bytesOf(group) });
  }
  return namespace.layout.members.map((name): MemberStatus => {
    const error = namespace.unhealthy?.[name] ?? null;
    const count = (error === null ? counts.get(name) : undefined) ?? { rows: 0, bytes: 0 };
    return {
      name,
      ...count,
      healthy: error === null,
      error,
      responseMs: 1,
      ...namespace.facts?.[name],
    };
  });
}

function countMember(state: State, member: string, partitioners: Partitioners): LiveResult<Count> {
  const { namespace } = state;
  state.members ??= countMembers(namespace, partitioners);
  const known = state.members.find(({ name }) => name === member);
  if (known?.error) return failure({ kind: "unreachable", message: known.error });
  if (known) return success({ rows: known.rows, bytes: known.bytes });
  const rows = namespace.strays?.[member];
  return rows === undefined
    ? refuse(
        "invalid",
        `${member} is part of namespace '${member}', the message is for '${namespace.name}'`,
      )
    : success({ rows, bytes: rows * BYTES_PER_ROW });
}

function start(
  state: State,
  request: StartOperation,
  pollsToComplete: number,
  now: number,
): LiveResult<OperationStatus> {
  const { namespace } = state;
  const known = state.operations.find(
    (operation) => operation.correlationId === request.correlationId,
  );
  if (known) return success(known);
  const running = runningOperation(state);
  const lost = refuseLost<OperationStatus>(namespace);
  if (lost) return lost;
  if (running)
    return refuse("operationRunning", `Operation ${running.id} of '${namespace.name}' is running`);
  if (request.epoch !== namespace.epoch)
    return refuse(
      "epochChanged",
      `'${namespace.name}' is at epoch ${namespace.epoch}, not ${request.epoch}`,
    );
  const rows = namespace.rows.reduce((sum, group) => sum + group.rows, 0);
  state.polls = 0;
  state.operations.push({
    id: state.operations.length + 1,
    namespace: namespace.name,
    kind: request.kind,
    mode: request.kind === "rebalance" ? "shift" : "swap",
    state: "running",
    step: "prepare",
    wave: 0,
    waves: 0,
    rowsTotal: rows,
    rowsCopied: 0,
    rowsVerified: 0,
    bytesCopied: 0,
    sources: [],
    writePauseMs: null,
    from: namespace.layout,
    to: request.to,
    epochFrom: namespace.epoch,
    epoch: namespace.epoch,
    correlationId: request.correlationId,
    requestedBy: request.requestedBy,
    startedAt: now,
    updatedAt: now,
    finishedAt: null,
    paused: null,
    fault: null,
    lastError: null,
    marked: true,
    retries: 0,
  });
  return success(pollsToComplete === 0 ? finish(state, now) : lastOperation(state));
}

function poll(
  state: State,
  id: number,
  pollsToComplete: number,
  now: number,
): LiveResult<OperationStatus> {
  const operation = state.operations.find((candidate) => candidate.id === id);
  if (!operation) return refuse("notFound", `'${state.namespace.name}' has no operation ${id}`);
  if (operation.state !== "running" || operation.paused !== null || state.isStalled)
    return success(operation);
  state.polls++;
  if (state.polls >= pollsToComplete) return success(finish(state, now));
  const rowsCopied = Math.floor((operation.rowsTotal * state.polls) / pollsToComplete);
  return success(replaceLast(state, { ...operation, step: "copy", rowsCopied, updatedAt: now }));
}

function finish(state: State, now: number): OperationStatus {
  const operation = lastOperation(state);
  const { fault } = state;
  state.fault = null;
  if (fault)
    return replaceLast(state, {
      ...operation,
      state: "failed",
      fault,
      updatedAt: now,
      finishedAt: now,
    });
  const epoch = operation.epochFrom + 1;
  const rowsInPlace = state.namespace.rows.map(({ misplacedOn: _misplacedOn, ...group }) => group);
  state.namespace = { ...state.namespace, layout: operation.to, epoch, rows: rowsInPlace };
  state.members = null;
  const rows = operation.rowsTotal;
  return replaceLast(state, {
    ...operation,
    state: "completed",
    step: "cleanUp",
    rowsCopied: rows,
    rowsVerified: rows,
    epoch,
    updatedAt: now,
    finishedAt: now,
  });
}

function cancel(state: State, id: number, now: number): LiveResult<OperationStatus> {
  const operation = state.operations.find((candidate) => candidate.id === id);
  if (!operation) return refuse("notFound", `'${state.namespace.name}' has no operation ${id}`);
  if (operation.state === "cancelled") return success(operation);
  if (operation.state !== "running")
    return refuse(
      "tooLate",
      `Operation ${id} of '${state.namespace.name}' has ended: ${operation.state}`,
    );
  const fault: OperationFault = {
    kind: "cancelled",
    message: "Cancelled before cutover; nothing was changed",
  };
  return success(
    replaceLast(state, {
      ...operation,
      state: "cancelled",
      paused: null,
      fault,
      updatedAt: now,
      finishedAt: now,
    }),
  );
}

function pause(
  state: State,
  id: number,
  why: { readonly reason: string; readonly by: string },
  now: number,
): LiveResult<OperationStatus> {
  const operation = state.operations.find((candidate) => candidate.id === id);
  if (!operation) return refuse("notFound", `'${state.namespace.name}' has no operation ${id}`);
  if (operation.state !== "running")
    return refuse(
      "tooLate",
      `Operation ${id} of '${state.namespace.name}' has ended: ${operation.state}`,
    );
  const { reason, by } = why;
  return success(
    replaceLast(state, {
      ...operation,
      paused: { reason, by, since: operation.paused?.since ?? now },
      updatedAt: now,
    }),
  );
}

function resume(state: State, id: number, now: number): LiveResult<OperationStatus> {
  const operation = state.operations.find((candidate) => candidate.id === id);
  if (!operation) return refuse("notFound", `'${state.namespace.name}' has no operation ${id}`);
  if (operation.paused === null) return success(operation);
  return success(replaceLast(state, { ...operation, paused: null, updatedAt: now }));
}

/** Only the plan that was shown, without obstacles, and never under an operation that goes on. */
function repair(
  state: State,
  request: RepairRequest,
  fingerprint: string,
): LiveResult<RepairOutcome> {
  const { namespace } = state;
  const running = runningOperation(state);
  if (running && namespace.disorder?.kind !== "registryLost")
    return refuse("operationRunning", `Operation ${running.id} of '${namespace.name}' is running`);
  const plan = planMemoryRepair(namespace, request);
  if (plan.fingerprint !== fingerprint)
    return refuse("invalid", `The plan of this repair is ${plan.fingerprint} by now`);
  if (plan.obstacles.length > 0)
    return refuse("invalid", `The repair has obstacles: ${plan.obstacles.join("; ")}`);
  const applied = applyMemoryRepair(namespace, plan);
  state.namespace = applied.namespace;
  state.members = null;
  return success(applied.outcome);
}

/** A root that has lost its registry starts and counts nothing. */
function refuseLost<Value>({ disorder }: MemoryNamespace): LiveResult<Value> | null {
  return disorder?.kind === "registryLost" ? refuse("registryLost", disorder.message) : null;
}

/**
 * None for a namespace that was edited since: whatever has done that is the newest, and is not
 * known here.
 */
function newestOperation(state: State): OperationStatus | null {
  const running = runningOperation(state);
  const last = state.operations.at(-1);
  return running ?? (last && last.epoch >= state.namespace.epoch ? last : null);
}

function runningOperation(state: State): OperationStatus | undefined {
  return state.operations.find((operation) => operation.state === "running");
}

function lastOperation(state: State): OperationStatus {
  const last = state.operations.at(-1);
  if (!last) throw new Error(`'${state.namespace.name}' has no operation`);
  return last;
}

function replaceLast(state: State, operation: OperationStatus): OperationStatus {
  state.operations[state.operations.length - 1] = operation;
  return operation;
}

function refuse<Value>(reason: ProtocolFailure["kind"], message: string): LiveResult<Value> {
  return failure({ kind: "refused", message, reason });
}

function unbound(ref: NamespaceRef): LiveFailure {
  return {
    kind: "unbound",
    message: `No namespace '${ref.name}' behind '${ref.object}' in memory`,
  };
}
