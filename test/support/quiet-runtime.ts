/**
 * Keeps the local runtime's own log of exceptions out of a test run's output. Tests abort objects,
 * lose messages and call methods that throw, hundreds of times; the runtime writes a stack trace
 * for each. A test that fails says so by itself. `SHARDCTL_RUNTIME_LOG=1` shows the log.
 */

/** Beginnings of what the runtime writes about an exception. */
const TRACE = /^(uncaught exception;|Annotating with brokenness;|NOSENTRY )/;
/** Lines that belong to the entry above them. */
const CONTINUED = /^(\s+at |stack: )/;

/**
 * Makes a filter that takes such entries out of a text that comes in parts, each of whole lines.
 */
export function createTraceFilter(): (text: string) => string {
  let isTrace = false;
  return (text) =>
    text
      .split(/(?<=\n)/)
      .filter((line) => {
        isTrace = TRACE.test(line) || (isTrace && CONTINUED.test(line));
        return !isTrace;
      })
      .join("");
}

/** Takes those entries out of what this process writes to its standard error. */
export function hideRuntimeTraces(): void {
  if (process.env["SHARDCTL_RUNTIME_LOG"] === "1") return;
  const filter = createTraceFilter();
  const write = process.stderr.write.bind(process.stderr) as (
    ...args: readonly unknown[]
  ) => boolean;
  process.stderr.write = (...args: readonly unknown[]): boolean => {
    const [text, ...rest] = args;
    const shown = typeof text === "string" ? filter(text) : text;
    return shown === "" ? true : write(shown, ...rest);
  };
}
