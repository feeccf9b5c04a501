/**
 * Keeps the local runtime's own log of exceptions out of a test run's output. Tests abort objects,
 * lose messages and call methods that throw, hundreds of times; the runtime writes a stack trace
 * for each. A test that fails says so by itself. `SHARDCTL_RUNTIME_LOG=1` shows the log.
 */

/** Beginnings of what the runtime writes about an exception. */
const TRACES = [
  "uncaught exception;",
  "Annotating with brokenness;",
  "NOSENTRY SQLite alarm overdue",
];

/** True for an entry of the runtime's log that tells of an exception. */
export function isRuntimeTrace(entry: string): boolean {
  return TRACES.some((beginning) => entry.startsWith(beginning));
}

/** Drops those entries from what this process writes to its standard error. */
export function hideRuntimeTraces(): void {
  if (process.env["SHARDCTL_RUNTIME_LOG"] === "1") return;
  const write = process.stderr.write.bind(process.stderr) as (
    ...args: readonly unknown[]
  ) => boolean;
  process.stderr.write = (...args: readonly unknown[]): boolean =>
    typeof args[0] === "string" && isRuntimeTrace(args[0]) ? true : write(...args);
}
