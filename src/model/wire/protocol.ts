/**
 * The wire protocol: every message between the control half, callers' routers and the objects of a
 * namespace.
 *
 * One RPC method, `shardctl(envelope)`, carries them all, so that a user's class needs one delegate
 * line. Requests and replies are structured-cloneable. Expected refusals are values
 * (`ProtocolFailure`); an exception means that the object is unreachable or broken.
 */
import type { Count, Distribution, DistributionRequest, LiveNamespace, RowIds } from "../live.ts";
import type { OperationStatus, StartOperation } from "../operation.ts";
import type { ProtocolFailure } from "./protocol-failure.ts";
import type { RepairOutcome, RepairPlan, RepairRequest } from "../repair.ts";
import type { Result } from "../result.ts";

/**
 * The newest protocol that this library speaks. It rises with a message, or a meaning, that older
 * objects do not know.
 */
export const PROTOCOL_VERSION = 2;
/**
 * All that it speaks, oldest first: also the one before, because a rollout lets old and new objects
 * run side by side for minutes.
 */
export const PROTOCOLS_SPOKEN: readonly number[] = [1, PROTOCOL_VERSION];

/**
 * The members below a message: those that run a routed call while it is sent, and those that run
 * one below theirs, by name. `many` when there are more than the sender names. Marking too much is
 * safe, too little costs attempts of a fence: see `member/running-calls.ts`.
 */
export type Chain = readonly string[] | "many";

export interface Envelope<Body = unknown> {
  /**
   * One that the addressee speaks, see `PeerProtocols`: it refuses every other, and then nothing
   * has run.
   */
  readonly protocol: number;
  readonly namespace: string;
  /** The object addressed, by name: an object refuses what is meant for another. */
  readonly member: string;
  readonly request: Body;
  /** Absent where no call runs, and from objects of a library that does not mark what it sends. */
  readonly chain?: Chain;
}

/** Requests of the control half to a root. */
export type ControlRequest =
  /** `countsMaxAgeMs`: how old counts may be; absent, they are taken now. */
  | { readonly kind: "describe"; readonly object: string; readonly countsMaxAgeMs?: number }
  /** `exact` reads every row, however many there are; older libraries sample all the same. */
  | {
      readonly kind: "distribute";
      readonly distribution: DistributionRequest;
      readonly exact?: boolean;
    }
  | { readonly kind: "start"; readonly operation: StartOperation }
  | { readonly kind: "operation"; readonly id: number }
  | { readonly kind: "history"; readonly limit: number }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "pause"; readonly id: number; readonly reason: string; readonly by: string }
  | { readonly kind: "resume"; readonly id: number }
  /** The only answer that names rows. */
  | { readonly kind: "ids" }
  | { readonly kind: "planRepair"; readonly repair: RepairRequest }
  /**
   * Applies the plan of this fingerprint, and nothing else: refused as `invalid` when it is another
   * by now.
   */
  | {
      readonly kind: "repair";
      readonly repair: RepairRequest;
      readonly fingerprint: string;
      readonly by: string;
    };

/** The reply to each control request. */
export interface ControlReplies {
  readonly describe: LiveNamespace;
  readonly distribute: Distribution;
  readonly start: OperationStatus;
  readonly operation: OperationStatus;
  readonly history: readonly OperationStatus[];
  readonly cancel: OperationStatus;
  readonly pause: OperationStatus;
  readonly resume: OperationStatus;
  readonly ids: RowIds;
  readonly planRepair: RepairPlan;
  readonly repair: RepairOutcome;
}

/** Request of the control half to a member itself, and the reply: its rows by declared table. */
export interface CountRequest {
  readonly kind: "count";
}
export interface CountReply {
  readonly tables: readonly TableCount[];
  /** Tables with rows that no table spec names. */
  readonly undeclared: readonly string[];
}
export interface TableCount extends Count {
  readonly table: string;
}

/**
 * An answer. `speaks` are the protocols of who answers, oldest first; an object that speaks
 * protocol 1 alone does not say so.
 */
export type ProtocolReply<Value> = Result<Value, ProtocolFailure> & {
  readonly speaks?: readonly number[];
};

/** The shape of a Durable Object that speaks the protocol, as a stub or in a test. */
export interface ProtocolEndpoint {
  shardctl(envelope: Envelope): Promise<ProtocolReply<unknown>>;
}
