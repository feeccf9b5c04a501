/**
 * The desired states that callers have sent under one fingerprint: its labels, files, commit and
 * other names are in no fingerprint, so that several texts may have it. None takes the place of
 * another caller's. What each counts for is told in `applied-state.ts`.
 */
import type { NamespaceRef } from "../model/live.ts";
import { isEmptyPlan, type Plan } from "../model/plan.ts";
import type { DesiredState } from "../model/spec.ts";
import type { TextUse } from "./applied-state.ts";
import { haveSameBytes } from "./documents.ts";
import { type CoordinatorStore, decodeJson, type StoredPlan } from "./store.ts";

/** The first text of somebody who may apply everything. */
const WHOLE = "whole";
/** The newest text that the Worker has read itself. */
const WORKER = "worker";

export class PlanTexts {
  readonly #store: CoordinatorStore;

  constructor(store: CoordinatorStore) {
    this.#store = store;
  }

  /**
   * Keeps what a caller has sent.
   *
   * @param shown the desired state with which the plan is stored.
   */
  keep(
    plan: Plan,
    { fingerprint, desired }: StoredPlan,
    shown: Uint8Array,
    { actor, use }: { readonly actor: string; readonly use: TextUse },
  ): void {
    if (use === "none") return;
    // An empty plan has one fingerprint, whatever is declared: it is stored with the newest text.
    const isEmpty = isEmptyPlan(plan);
    const text = !isEmpty && haveSameBytes(desired, shown) ? null : desired;
    this.#store.putText(fingerprint, use === "worker" ? WORKER : slotOf(actor), text);
    if (use === "whole" && (isEmpty || this.#store.getText(fingerprint, WHOLE) === null))
      this.#store.putText(fingerprint, WHOLE, text);
  }

  /** The text that everybody who plans the same commit must have, too; null where none stands. */
  standing(fingerprint: string): DesiredState | null {
    return this.#read(fingerprint, WHOLE);
  }

  /** The text that counts for an apply of this caller; null where none does. */
  find(fingerprint: string, actor: string): DesiredState | null {
    return (
      this.#read(fingerprint, slotOf(actor)) ??
      this.#read(fingerprint, WHOLE) ??
      this.#read(fingerprint, WORKER)
    );
  }

  /** The namespaces that it declares. */
  refs(fingerprint: string, actor: string): NamespaceRef[] {
    const namespaces = this.find(fingerprint, actor)?.namespaces ?? [];
    return namespaces.map(({ name, object }) => ({ name, object }));
  }

  #read(fingerprint: string, slot: string): DesiredState | null {
    const body = this.#store.getText(fingerprint, slot);
    return body && (decodeJson(body) as DesiredState);
  }
}

/** With a prefix, so that no caller's name is one of the slots above. */
function slotOf(actor: string): string {
  return `of ${actor}`;
}
