/** The world around an object, as the object sees it. */
import type { Host } from "../../src/shards/host/host.ts";
import type { Partitioners } from "../../src/model/layout/partitioners.ts";
import type { Envelope, ProtocolReply } from "../../src/model/wire/protocol.ts";
import type { Deployment } from "./deployment.ts";
import type { FanOuts } from "./fan-outs.ts";
import type { Random } from "./random.ts";
import type { FaultRates } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SchemaOptions, StoreVersion } from "./versions.ts";

/** There is no answer: the call may have run, may still run, or not. */
export class Unreachable extends Error {}

/** How an answer, or its absence, gets back to who asked. */
export interface Answer {
  resolve(reply: ProtocolReply<unknown>): void;
  reject(error: Error): void;
}

export interface WorldOptions {
  readonly namespace: string;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly faults: FaultRates;
  readonly partitioners: Partitioners;
  readonly store: SchemaOptions;
  readonly versions: readonly StoreVersion[];
  /** Constructs the host before the class's own tables are made, as a field of the class does. */
  readonly isHostFirst: boolean;
  readonly trace: ((line: string) => void) | null;
  /**
   * Builds the host of an object each time that it starts; by default from this version of the
   * library.
   */
  readonly createHost?: (...parts: ConstructorParameters<typeof Host>) => Host;
}

export interface Surroundings {
  readonly options: WorldOptions;
  readonly deployment: Deployment;
  /** Limits for objects that are yet to be made, in pages beyond their first tables. */
  readonly nextLimits: { readonly pages: number; readonly liftedAfterMs: number | null }[];
  readonly fanOuts: FanOuts;
  /** When constructors found no room. */
  readonly failedStarts: number[];
  /** False once the faults have stopped. */
  readonly isFaulty: boolean;
  /**
   * True while a version that declares another shard key may run anywhere: what is begun then is
   * rightly done by that key.
   */
  readonly isMisdeclared: boolean;
  /** The object that was last asked to make rows live, and how often one was. */
  promoting: { readonly name: string; readonly times: number };
  /** Carries a request over the network, and its reply back. */
  transmit(from: string, to: string, envelope: Envelope, answer: Answer): void;
  strike(fault: string): void;
  /** A statement of this object has found no room. */
  strikeFull(name: string): void;
  strikes(fault: string, label: string, probability: number): boolean;
  violate(message: string): void;
  violateOnce(message: string): void;
  trace(line: () => string): void;
}
