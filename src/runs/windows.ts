/** Maintenance windows against the clock. Core has none, so the Worker says which are open. */
import { Cron } from "croner";

import type { Policy, Window } from "../model/spec.ts";

/** True while one window of each of the policy's lists is open. */
export function areWindowsOpen(
  { windows, within = [] }: Pick<Policy, "windows" | "within">,
  now: number,
): boolean {
  return [windows, ...within].every((list) => isAnyWindowOpen(list, now));
}

/**
 * True without windows, or when one of them is open: its last start is less than its duration ago.
 */
export function isAnyWindowOpen(windows: readonly Window[], now: number): boolean {
  return windows.length === 0 || windows.some((window) => isWindowOpen(window, now));
}

function isWindowOpen(window: Window, now: number): boolean {
  // The first start after "a duration ago" has come already exactly when the window is open.
  const opened = readCron(window).nextRun(new Date(now - window.durationMs));
  return opened !== null && opened.getTime() <= now;
}

function readCron({ start, timezone }: Window): Cron {
  return new Cron(start, { timezone, paused: true });
}
