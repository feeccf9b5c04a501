/** Checks of options that every public call shares, with errors that name the option. */
import { suggestWord } from "../../model/suggest.ts";

/** Longest time that a timer of the runtime takes, about 24 days. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** @throws Error that names an option that does not exist, and the nearest that does. */
export function requireKnown(call: string, options: unknown, known: readonly string[]): void {
  if (options === null || typeof options !== "object" || Array.isArray(options))
    throw new Error(`${call} takes an object with options`);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const near = suggestWord(name, known);
    const hint = near === null ? `It takes ${known.join(", ")}` : `Did you mean '${near}'?`;
    throw new Error(`${call} takes no '${name}'. ${hint}`);
  }
}

/** @throws Error when the option is given and no number of milliseconds that a timer takes. */
export function requireMilliseconds(call: string, name: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value === "number" && value > 0 && value <= TIMEOUT_MS_MAX) return;
  throw new Error(
    `${call}: ${name} must be a number of milliseconds above 0 and up to ${TIMEOUT_MS_MAX}, not ${shownValue(value)}`,
  );
}

/** @throws Error when the option is given and is another type. */
export function requireType(
  call: string,
  name: string,
  value: unknown,
  type: "string" | "boolean",
): void {
  if (value === undefined || typeof value === type) return;
  throw new Error(`${call}: ${name} must be a ${type}, not ${shownValue(value)}`);
}

/** A value of an option as an error shows it. Other than JSON it has a word for every one. */
export function shownValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  return value !== null && typeof value === "object" ? "an object" : String(value);
}
