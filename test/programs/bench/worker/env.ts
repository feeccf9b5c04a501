/** The bindings of the bench Worker. */
import type { Things } from "./things.ts";

export interface BenchEnv {
  readonly THINGS: DurableObjectNamespace<Things>;
  /**
   * The same class, with every statement's rows read and written added up: slower, so never timed.
   */
  readonly METERED: DurableObjectNamespace<Things>;
}

/** Names a binding in a request. */
export type BenchBinding = keyof BenchEnv;
