/**
 * Defines the exit codes. Help texts, commands and tests read this table. Scripts depend on it:
 * never renumber.
 */

export const EXIT = {
  done: 0,
  error: 1,
  changesPending: 2,
  stalePlan: 3,
  blocked: 4,
  locked: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const MEANINGS: readonly (readonly [ExitCode, string])[] = [
  [EXIT.done, "done, or nothing to do"],
  [EXIT.error, "error, or something could not be read (plan, status, drift --exit-code)"],
  [EXIT.changesPending, "changes are pending, or drift (plan and drift with --exit-code only)"],
  [EXIT.stalePlan, "stale plan: the state that it was made from has changed"],
  [EXIT.blocked, "blocked by a guard"],
  [EXIT.locked, "locked: another run is active"],
  [EXIT.interrupted, "interrupted; a run that was started continues"],
];

/** The table that closes every help text. */
export function formatExitCodes(): string {
  return [
    "Exit codes:",
    ...MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`),
  ].join("\n");
}
