/**
 * Keeps the pauses: the switch for everything, and the actions of people on the operation of one
 * namespace. Writes to the history, and makes the next tick look.
 */
import { makeEvent, type NewEvent } from "../history/make-event.ts";
import type { Pause } from "../model/drift.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import { isAnyWindowOpen } from "../runs/windows.ts";
import type { ReconcileDocuments } from "./state-store.ts";

export interface PausesParts {
  readonly documents: ReconcileDocuments;
  /** Environments that are reconciled here. */
  readonly environments: () => readonly string[];
  readonly specOf: (environment: string, ref: NamespaceRef) => NamespaceSpec | null;
  readonly makeDue: (environment: string, ref: NamespaceRef) => void;
  readonly record: (event: NewEvent) => void;
}

export class Pauses {
  readonly #parts: PausesParts;

  constructor(parts: PausesParts) {
    this.#parts = parts;
  }

  /** The switch; null while it is off. */
  read(): Pause | null {
    return this.#parts.documents.pause();
  }

  set(pause: Pause | null, by: string): void {
    const { documents, environments } = this.#parts;
    if (this.read() === null && pause === null) return;
    documents.setPause(pause, Date.now());
    const summary =
      pause === null
        ? "reconciliation has resumed"
        : `nothing is applied any more: ${pause.reason}`;
    for (const environment of environments()) this.#record(environment, null, summary, by);
  }

  /**
   * Why an operation of the namespace would be held now, and what lets it go on; null when it would
   * not.
   */
  findHold(ref: NamespaceRef): string | null {
    const { environments, specOf } = this.#parts;
    const paused = this.read();
    if (paused !== null)
      return `everything is paused by ${paused.by} (${paused.reason}). \`shardctl resume --all\` resumes it.`;
    const specs = environments().map((environment) => specOf(environment, ref));
    const isHeld = specs.some(
      (spec) => spec !== null && !isAnyWindowOpen(spec.policy.windows, Date.now()),
    );
    return isHeld
      ? "no window of its policy.windows is open. It resumes by itself in the next one; to resume it earlier, merge other windows."
      : null;
  }

  /**
   * Somebody has paused an operation, or let it go on. @param environments that know the namespace.
   */
  note(environments: readonly string[], ref: NamespaceRef, summary: string, by: string): void {
    for (const environment of environments) {
      this.#record(environment, ref.name, summary, by);
      this.#parts.makeDue(environment, ref);
    }
  }

  #record(environment: string, namespace: string | null, summary: string, actor: string): void {
    this.#parts.record(
      makeEvent({ at: Date.now(), environment, kind: "pause", namespace, summary, actor }),
    );
  }
}
