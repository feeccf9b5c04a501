/**
 * Prints progress in plain lines, for pipes and CI logs: every change of state, and between them
 * at most one line a second and per 10 % of an action.
 */
import type { RunAction } from "../model/api.ts";
import {
  type RunReporter,
  describeEnd,
  describeHold,
  describeWork,
  progressOf,
} from "./run-progress.ts";
import type { Session } from "./session.ts";

const LINE_INTERVAL_MS = 1_000;
const TENTHS = 10;

interface Seen {
  readonly state: RunAction["state"];
  readonly tenth: number;
  readonly hold: string | null;
}

export function openLines(session: Session): RunReporter {
  const seen = new Map<string, Seen>();
  let lastLineAt = Number.NEGATIVE_INFINITY;

  const report = (action: RunAction): void => {
    const key = `${action.object}/${action.namespace}`;
    const before = seen.get(key) ?? { state: "pending", tenth: 0, hold: null };
    const tenth = Math.floor(progressOf(action) * TENTHS);
    const name = `${action.namespace}: ${action.kind}`;
    const end = describeEnd(action);
    const hold = describeHold(action);
    if (action.state !== before.state) {
      session.say(end === null ? `${name} started` : `${name} ${end}`);
    } else if (hold !== before.hold) {
      session.say(`${name} ${hold ?? "has resumed"}`);
    } else if (
      action.state === "running" &&
      tenth > before.tenth &&
      session.host.now() - lastLineAt >= LINE_INTERVAL_MS
    ) {
      session.say(`${name} ${tenth * TENTHS} %, ${describeWork(action)}`);
      lastLineAt = session.host.now();
    } else {
      return;
    }
    seen.set(key, { state: action.state, tenth, hold });
  };

  return {
    update: (run) => run.actions.forEach(report),
    note: (text) => session.say(text),
    end: () => undefined,
  };
}
