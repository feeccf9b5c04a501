/** Forgetting a namespace: what the Worker remembers of it, and why it may not forget it yet. */
import type { NamespaceRef } from "./live.ts";

/** The Worker's memory of one namespace, beyond plans, runs and history, which stay. */
export interface KnownNamespace {
  /** Environments that list it, follow it, or only claim it, as far as is asked about; sorted. */
  readonly environments: readonly string[];
  /** Other environments that claim it: there it may live on; sorted. */
  readonly keptIn: readonly string[];
  /** Environments among them whose followed manifests declare it. */
  readonly declaredIn: readonly string[];
  /**
   * The highest epoch at which it was seen: a root that is below it has lost its registry. Null
   * when none was.
   */
  readonly epoch: number | null;
  /** Members of that layout that are known by name. */
  readonly members: number;
  /** The active run that changes it. */
  readonly run: string | null;
}

/** `GET /v1/namespaces/:name/forget`, and the answer to its `POST`. */
export interface ForgetPlan extends NamespaceRef, KnownNamespace {
  /** False when nothing is remembered: then there is nothing to do. */
  readonly isKnown: boolean;
  /** Why it is not forgotten, each with the next step; empty when it may be. */
  readonly obstacles: readonly string[];
}
