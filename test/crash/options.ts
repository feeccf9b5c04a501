/** The command line of the crash runs. */
import { parseArgs } from "node:util";

export interface CrashCommand {
  readonly kills: number;
  readonly seed: number;
  readonly writers: number;
  readonly json: boolean;
  /** Keeps the directory of a run in which something was wrong. */
  readonly keep: boolean;
  /** Plays the stories of restored objects, instead of kills. */
  readonly restore: boolean;
  /** Plays only the stories that have this in their name. */
  readonly story: string;
}

/** @throws Error that names the option and what it takes. */
export function readCommand(args: readonly string[], seed: number): CrashCommand {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kills: { type: "string", default: "50" },
      seed: { type: "string", default: String(seed) },
      writers: { type: "string", default: "8" },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      restore: { type: "boolean", default: false },
      story: { type: "string", default: "" },
    },
  });
  return {
    kills: wholeNumber("--kills", values.kills),
    seed: wholeNumber("--seed", values.seed),
    writers: wholeNumber("--writers", values.writers),
    json: values.json,
    keep: values.keep,
    restore: values.restore,
    story: values.story,
  };
}

function wholeNumber(option: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`${option} must be a whole number from 1, not '${text}'`);
  return number;
}
