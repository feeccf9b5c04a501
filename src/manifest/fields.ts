/**
 * The single values of manifests and configs as zod schemas. Each carries what a value must be, as
 * the end of the sentence "spec.count must be …": errors, and the schemas' descriptions, are built
 * from it.
 */
import { Cron } from "croner";
import * as z from "zod";

import { canEverStart } from "./cron-days.ts";
import { escapeControls } from "./describe-value.ts";
import { normalizeName } from "./normalize-name.ts";

/**
 * Parts a rule ("must be …") from its explanation: a message names the value found between the two.
 */
export const WHY = "\n";

/** A whole number from `least` to `most`. */
export function wholeNumber(least: number, most: number): z.ZodNumber {
  const range =
    most === Number.MAX_SAFE_INTEGER ? `, ${least} or more` : ` from ${least} to ${most}`;
  const error = `must be a whole number${range}`;
  return z.number({ error }).int({ error }).min(least, { error }).max(most, { error });
}

/** Text that passes `test`. */
export function textThat(error: string, test: RegExp | ((text: string) => boolean)): z.ZodString {
  const text = z.string({ error });
  return test instanceof RegExp ? text.regex(test, { error }) : text.refine(test, { error });
}

/** One of some words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(
  words: Words,
): z.ZodEnum<{ [Word in Words[number]]: Word }> {
  return z.enum(words, {
    error: `must be ${words.length > 1 ? "one of " : ""}${words.join(", ")}`,
  });
}

/** True or false. */
export function flag(): z.ZodBoolean {
  return z.boolean({ error: "must be true or false" });
}

const NAME_BYTES_MAX = 512;

/**
 * Why a namespace cannot have this name, or null when it can. The two last rules keep the objects
 * of two namespaces apart.
 */
export function nameFault(name: string): string | null {
  const bytes = new TextEncoder().encode(name).byteLength;
  if (bytes < 1 || bytes > NAME_BYTES_MAX)
    return `must be from 1 to ${NAME_BYTES_MAX} bytes of text`;
  if (!isPrintable(name)) return "must not have control characters";
  if (name !== name.trim()) return "must not begin or end with a space";
  if (normalizeName(name) === "") return "must have a character that people can see";
  if (/-shard-\d+$/u.test(name))
    return `must not end with "-shard-<number>"${WHY}objects with such names are shards of another namespace`;
  if (/-g[1-9]\d*$/u.test(name)) {
    return `must not end with "-g<number>"${WHY}its shards would have the names that another namespace's shards get after a rekey`;
  }
  return null;
}

/** False when a terminal would obey the text, or show it in another order than it is written. */
export function isPrintable(text: string): boolean {
  return text.isWellFormed() && !/[\p{Cc}\u2028\u2029\p{Bidi_Control}]/u.test(text);
}

/** The name of a namespace. */
export function namespaceName(): z.ZodString {
  const error = "must be the name of a namespace, as text";
  return z
    .string({ error })
    .refine((name) => nameFault(name) === null, {
      error: (issue) => nameFault(String(issue.input)) ?? error,
    })
    .meta({ minLength: 1, maxLength: NAME_BYTES_MAX });
}

/** Column, then at most nine segments of a JSON path. */
const SHARD_KEY_SEGMENTS_MAX = 10;
const SHARD_KEY_LENGTH_MAX = 1024;
const SHARD_KEY = /^[\p{L}_][\p{L}\p{M}\p{N}_]*(?:\.[\p{L}\p{M}\p{N}_-]+){0,9}$/u;

/** The path of a shard key. */
export function shardKeyPath(): z.ZodString {
  return textThat(
    `must be a column, or a column and a JSON path such as "data.customer.id"${WHY}` +
      `at most ${SHARD_KEY_SEGMENTS_MAX} segments of letters, digits, _ and -, joined by dots, and ${SHARD_KEY_LENGTH_MAX} characters`,
    (text) => text.length <= SHARD_KEY_LENGTH_MAX && SHARD_KEY.test(text),
  );
}

/** A name that JavaScript accepts: a binding, a partitioner. */
export function identifier(what: string, example: string): z.ZodString {
  return textThat(
    `must be ${what}${WHY}write a JavaScript name such as ${example}`,
    /^[A-Za-z_$][A-Za-z0-9_$]{0,511}$/u,
  );
}

const DURATION = /^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?$/u;
const DURATION_MS_MAX = 7 * 24 * 3_600_000;

/**
 * Milliseconds of `2h`, `30m`, `1h30m`, `1d`, `90s`; null when the text is none of that, or not
 * above 0 and at most 7 days.
 */
export function parseDuration(text: string): number | null {
  const parts = DURATION.exec(text);
  if (!parts) return null;
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = parts
    .slice(1)
    .map((part) => Number(part ?? 0));
  const durationMs = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
  return durationMs > 0 && durationMs <= DURATION_MS_MAX ? durationMs : null;
}

/** The opposite of `parseDuration`, for whole seconds: `1h30m`. */
export function renderDuration(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  const parts = [
    [Math.floor(seconds / 3600), "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ] as const;
  return parts.map(([amount, unit]) => (amount === 0 ? "" : `${amount}${unit}`)).join("");
}

/** How long a window stays open. */
export function duration(): z.ZodString {
  return textThat(
    "must be a duration such as 30m, 2h or 1h30m, at most 7 days (168h)",
    (text) => parseDuration(text) !== null,
  );
}

const CRON_TEXT_MAX = 200;
const REMEMBERED_MAX = 1000;

/** Keeps verdicts that are costly to reach: thousands of manifests share a few windows. */
function remember<Verdict>(judge: (text: string) => Verdict): (text: string) => Verdict {
  const known = new Map<string, { readonly verdict: Verdict }>();
  return (text) => {
    const found = known.get(text) ?? { verdict: judge(text) };
    if (known.size < REMEMBERED_MAX && text.length <= CRON_TEXT_MAX) known.set(text, found);
    return found.verdict;
  };
}

/** Why a text is no start of a window, or null when it is. */
const cronFault = remember((text: string): string | null => {
  const shape =
    "must be a cron expression with exactly 5 fields (minute hour day-of-month month day-of-week)";
  if (text.length > CRON_TEXT_MAX) return `${shape} in at most ${CRON_TEXT_MAX} characters`;
  const fields = text.trim() === "" ? 0 : text.trim().split(/\s+/u).length;
  if (fields !== 5) return `${shape}${WHY}${fields} fields found`;
  try {
    new Cron(text, { paused: true, mode: "5-part", timezone: "UTC" }).stop();
  } catch (error) {
    // The parser says no by throwing. Its text says which field.
    const reason =
      error instanceof Error ? error.message.replace(/^CronPattern: /u, "") : String(error);
    return `${shape}${WHY}${escapeControls(reason.slice(0, 150))}`;
  }
  const canStart = canEverStart(text);
  if (canStart === null) return `${shape}${WHY}its days are not understood; write them as numbers`;
  return canStart ? null : `must be a cron expression that comes true${WHY}no date ever fits it`;
});

/** When a window opens. */
export function cronExpression(): z.ZodString {
  const error = "must be a cron expression with exactly 5 fields";
  return z.string({ error }).refine((text) => cronFault(text) === null, {
    error: (issue) => cronFault(String(issue.input)) ?? error,
  });
}

const isTimezone = remember((name: string): boolean => {
  if (!/^[A-Za-z][\w+/-]{0,63}$/u.test(name)) return false;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    // RangeError is how Intl says that it does not know the zone.
    return false;
  }
});

/** The time zone of a window. */
export function timezone(): z.ZodString {
  return textThat("must be an IANA time zone such as Europe/Berlin or UTC", isTimezone);
}

/** The name of an environment, as a key. */
export const ENVIRONMENT_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/u;
export const ENVIRONMENT_EXPECTED =
  "must be the name of an environment: at most 63 letters, digits, - and _";
