/**
 * Parses the command in a comment. The command must be the whole comment, so that a quotation, a
 * code block, or shardctl's own comment, which shows the command to copy, never counts as one.
 * Nothing of it is executed or expanded: the result is a fingerprint and names of guards.
 */
import { failure, type Result, success } from "../model/result.ts";

export interface ApplyCommand {
  readonly kind: "apply";
  /** 64 lower-case hex digits. */
  readonly fingerprint: string;
  /** Guards that are let through, as they were written. */
  readonly overrides: readonly string[];
}

const COMMAND = /^\/shardctl(?:[ \t]|$)/;
const LENGTH_MAX = 1000;
const OVERRIDES_MAX = 50;
const USAGE =
  "Write `/shardctl apply <fingerprint>`, with `--override <guard>` for each guard that it may pass.";

/**
 * Null for a comment that is not addressed to us; a failure says what is wrong with one that is.
 */
export function parseCommand(body: string): Result<ApplyCommand, string> | null {
  const line = body.trim();
  if (!COMMAND.test(line)) return null;
  if (line.includes("\n"))
    return failure(`A command is a comment of one line, with nothing else in it. ${USAGE}`);
  if (line.length > LENGTH_MAX)
    return failure(`The command is longer than ${LENGTH_MAX} characters. ${USAGE}`);
  const [, verb, fingerprint, ...rest] = line.split(/[ \t]+/);
  if (verb !== "apply") return failure(`The only command is apply. ${USAGE}`);
  if (fingerprint === undefined || !/^[0-9a-f]{64}$/i.test(fingerprint)) {
    return failure(
      `A plan is named by all 64 digits of its fingerprint: copy the line from the comment with the plan. ${USAGE}`,
    );
  }
  const overrides = readOverrides(rest);
  return overrides.ok
    ? success({ kind: "apply", fingerprint: fingerprint.toLowerCase(), overrides: overrides.value })
    : overrides;
}

/** `--override a b --override c`, each with one name or more. */
function readOverrides(words: readonly string[]): Result<readonly string[], string> {
  const overrides = new Set<string>();
  let names: number | null = null;
  for (const word of words) {
    if (word === "--override") {
      if (names === 0) return failure(`--override needs the name of a guard. ${USAGE}`);
      names = 0;
    } else if (names === null || !/^[A-Za-z]{1,40}$/.test(word)) {
      return failure(`The command has a word that it cannot contain. ${USAGE}`);
    } else {
      overrides.add(word);
      names += 1;
    }
  }
  if (names === 0) return failure(`--override needs the name of a guard. ${USAGE}`);
  if (overrides.size > OVERRIDES_MAX)
    return failure(`The command names more than ${OVERRIDES_MAX} guards. ${USAGE}`);
  return success([...overrides]);
}
