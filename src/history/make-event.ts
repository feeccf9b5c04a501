/** Makes an event of the history from the fields that are known. Pure. */
import type { HistoryEvent } from "../model/event.ts";

/** An event before the history has given it its place. */
export type NewEvent = Omit<HistoryEvent, "id">;

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
