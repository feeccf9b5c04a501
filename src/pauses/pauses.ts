/**
 * Keeps the pauses: the switch for everything, and the actions of people on the operation of one
 * namespace. Writes to the history, and makes the next tick look.
 */
import { makeEvent, type NewEvent } from "../history/make-event.ts";
import type { Pause } from "../model/drift.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { areWindowsOpen } from "../runs/windows.ts";

/** The calls about pauses. */
export interface PauseCalls {
  /** Null switches reconciliation on again. */
  set(pause: Pause | null, by: string): Pause | null;
  /**
   * Why the Worker itself would hold an operation of the namespace now, and what resumes it; null
   * when it would not.
   */
  findHold(ref: NamespaceRef): string | null;
  /** Somebody has paused or resumed an operation: for the history, and the next tick looks. */
  note(ref: NamespaceRef, summary: string, by: string): void;
}

/** Keeps the switch. */
export interface PauseStore {
  pause(): Pause | null;
  /** @param now when it is set; of the end it is remembered. */
  setPause(pause: Pause | null, now: number): void;
}

export interface PausesParts {
  readonly storage: DurableObjectStorage;
  readonly documents: PauseStore;
  /** Environments that are reconciled here. */
  readonly environments: () => readonly string[];
  /** Environments in which the namespace was ever seen. */
  readonly environmentsOf: (ref: NamespaceRef) => readonly string[];
  readonly specOf: (environment: string, ref: NamespaceRef) => NamespaceSpec | null;
  readonly makeDue: (environment: string, ref: NamespaceRef) => void;
  readonly record: (event: NewEvent) => void;
}

export class Pauses implements PauseCalls {
  readonly #parts: PausesParts;

  constructor(parts: PausesParts) {
    this.#parts = parts;
  }

  /** The switch; null while it is off. */
  read(): Pause | null {
    return this.#parts.documents.pause();
  }

  set(pause: Pause | null, by: string): Pause | null {
    const { documents, environments } = this.#parts;
    if (this.read() === null && pause === null) return pause;
    documents.setPause(pause, Date.now());
    const summary =
      pause === null
        ? "reconciliation has resumed"
        : `nothing is applied any more: ${pause.reason}`;
    for (const environment of environments()) this.#record(environment, null, summary, by);
    return pause;
  }

  findHold(ref: NamespaceRef): string | null {
    const { environments, specOf } = this.#parts;
    const paused = this.read();
    if (paused !== null)
      return `everything is paused by ${paused.by} (${paused.reason}). \`shardctl resume --all\` resumes it.`;
    const specs = environments().map((environment) => specOf(environment, ref));
    const isHeld = specs.some((spec) => spec !== null && !areWindowsOpen(spec.policy, Date.now()));
    return isHeld
      ? "no window of its policy.windows is open. It resumes by itself in the next one; to resume it earlier, merge other windows."
      : null;
  }

  note(ref: NamespaceRef, summary: string, by: string): void {
    const { storage, environmentsOf, makeDue } = this.#parts;
    storage.transactionSync(() => {
      for (const environment of environmentsOf(ref)) {
        this.#record(environment, ref.name, summary, by);
        makeDue(environment, ref);
      }
    });
  }

  #record(environment: string, namespace: string | null, summary: string, actor: string): void {
    this.#parts.record(
      makeEvent({ at: Date.now(), environment, kind: "pause", namespace, summary, actor }),
    );
  }
}
