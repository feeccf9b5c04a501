/** An event of the history of which only some is known. Pure. */
import type { NewEvent } from "../reconcile/ports.ts";

/** The event; what is not given is null. */
export function makeEvent(
  known: Pick<NewEvent, "at" | "environment" | "kind" | "summary" | "actor"> & Partial<NewEvent>,
): NewEvent {
  return {
    namespace: null,
    commit: null,
    pull: null,
    fingerprint: null,
    run: null,
    rowsMoved: null,
    durationMs: null,
    ...known,
  };
}
