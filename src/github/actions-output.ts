/**
 * Formats texts that a runner understands: outputs, lines of its log, and the step's summary.
 *
 * The texts hold values from manifests, which anybody may write: no value can end its output early,
 * and none can become a command.
 */

/** Bytes of one step's summary: a larger one is dropped whole by GitHub, without an error. */
export const SUMMARY_BYTES_MAX = 1024 * 1024;

const SUMMARY_NOTE = "\n\n… cut here: GitHub shows at most 1 MiB of a summary.\n";
/** For earlier writes of the same step. */
const SUMMARY_ROOM_BYTES = 1024;

/**
 * Outputs for the end of the `GITHUB_OUTPUT` file, as heredocs.
 *
 * @param outputs names are letters, digits, `_` and `-`.
 * @param delimiter one that nobody can guess, and so write into a value. @throws Error when a value
 * holds it.
 */
export function formatOutputs(
  outputs: Readonly<Record<string, string>>,
  delimiter: string = `end_${crypto.randomUUID()}`,
): string {
  const lines = Object.entries(outputs).map(([name, value]) => {
    if (!/^[A-Za-z_][\w-]*$/.test(name))
      throw new Error(`${JSON.stringify(name)} cannot name an output`);
    if (value.includes(delimiter)) throw new Error(`The output ${name} holds the delimiter`);
    return `${name}<<${delimiter}\n${value}\n${delimiter}\n`;
  });
  return lines.join("");
}

/**
 * Lines for the log of a step, none of which is a workflow command: the runner acts on lines that
 * begin with `::` (after blanks), and on `##[` anywhere. A zero-width space before them takes that
 * away and leaves the text readable.
 */
export function defuseCommands(text: string): string {
  return text
    .replaceAll("\r", "\n")
    .replaceAll("##[", "#\u200B#[")
    .replace(/^((?:[^\S\n]|\u0085)*)(?=::)/gmu, "$1\u200B");
}

/**
 * Markdown for the step's summary, cut at a line before GitHub's limit; nothing when not even the
 * note of the cut fits.
 */
export function capSummary(
  markdown: string,
  bytesMax: number = SUMMARY_BYTES_MAX - SUMMARY_ROOM_BYTES,
): string {
  const bytes = new TextEncoder().encode(markdown);
  if (bytes.byteLength <= bytesMax) return markdown;
  const room = bytesMax - new TextEncoder().encode(SUMMARY_NOTE).byteLength;
  if (room < 0) return "";
  const cut = new TextDecoder().decode(bytes.subarray(0, room)).replace(/\uFFFD$/u, "");
  const lastLine = cut.lastIndexOf("\n");
  return `${lastLine > 0 ? cut.slice(0, lastLine) : cut}${SUMMARY_NOTE}`;
}
