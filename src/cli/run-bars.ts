/**
 * Shows progress as bars on a terminal: one bar for each running action, and a line above them for
 * each that has ended.
 */
import { MultiBar, type SingleBar } from "cli-progress";

import type { Run, RunAction } from "../model/api.ts";
import { type RunReporter, describeEnd, describeWork, progressOf } from "./run-progress.ts";
import type { Session } from "./session.ts";

/** More bars than this scroll on small terminals; the others still get their line at the end. */
const BARS_MAX = 10;
const BAR_TOTAL = 1_000;
const NAME_WIDTH = 24;

export function openBars(session: Session): RunReporter {
  const { colors } = session;
  const bars = new Map<string, SingleBar>();
  const ended = new Set<string>();
  const multi = new MultiBar({
    stream: session.stream,
    format: `  {name} ${colors.cyan("{bar}")} {percentage} %  {work}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    emptyOnZero: true,
    // Ctrl-C is the follower's: it ends the bars itself.
    gracefulExit: false,
  });

  const finish = (key: string, action: RunAction, end: string): void => {
    const bar = bars.get(key);
    if (bar !== undefined) multi.remove(bar);
    bars.delete(key);
    ended.add(key);
    const mark =
      action.state === "done"
        ? colors.green("✓")
        : action.state === "failed"
          ? colors.red("✗")
          : colors.yellow("-");
    multi.log(`${mark} ${action.namespace.padEnd(NAME_WIDTH)} ${action.kind} ${end}\n`);
  };

  const show = (key: string, action: RunAction): void => {
    const payload = {
      name: `${action.namespace} ${action.kind}`.padEnd(NAME_WIDTH),
      work: describeWork(action),
    };
    const value = Math.round(progressOf(action) * BAR_TOTAL);
    const bar = bars.get(key);
    if (bar !== undefined) bar.update(value, payload);
    else if (bars.size < BARS_MAX) bars.set(key, multi.create(BAR_TOTAL, value, payload));
  };

  const update = (run: Run): void => {
    for (const action of run.actions) {
      const key = `${action.object}/${action.namespace}`;
      if (ended.has(key)) continue;
      const end = describeEnd(action);
      if (end !== null) finish(key, action, end);
      else if (action.state === "running") show(key, action);
    }
    multi.update();
  };

  return {
    update,
    note: (text) => {
      multi.log(`${text}\n`);
      multi.update();
    },
    end: () => {
      multi.update();
      multi.stop();
    },
  };
}
