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

/**
 * Takes those entries out of what this process writes. The pool of workers prints them with either
 * stream, by the level that the runtime gives them.
 */
export function hideRuntimeTraces(): void {
  if (process.env["SHARDCTL_RUNTIME_LOG"] === "1") return;
  for (const stream of [process.stdout, process.stderr]) hideTracesIn(stream);
}

/** As `hideRuntimeTraces`, for one stream. */
export function hideTracesIn(stream: Pick<NodeJS.WriteStream, "write">): void {
  const filter = createTraceFilter();
  const write = stream.write.bind(stream) as (...args: readonly unknown[]) => boolean;
  stream.write = (...args: readonly unknown[]): boolean => {
    const [part, ...rest] = args;
    const text = part instanceof Uint8Array ? Buffer.from(part).toString() : part;
    return write(typeof text === "string" ? filter(text) : text, ...rest);
  };
}
