/**
 * Decides from the day fields of a cron expression whether any date fits them. The library finds
 * out by a search through four centuries, a tenth of a second of CPU for each expression.
 */

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/** The lengths that each month may have. */
const LENGTHS: readonly (readonly number[])[] = [
  [31],
  [28, 29],
  [31],
  [30],
  [31],
  [30],
  [31],
  [31],
  [30],
  [31],
  [30],
  [31],
];
const WEEK = 7;

/** Days of a month that a field asks for: by number, counted from its end, or by weekday. */
type DayRule = (day: number, length: number) => boolean;

/**
 * False when no date ever fits; null when a field is written in a way that is not understood. The
 * expression must have five fields that the library accepts.
 */
export function canEverStart(expression: string): boolean | null {
  const [, , days = "", months = "", weekdays = ""] = expression.trim().split(/\s+/u);
  const isFree = /^[*?]$/u.test(weekdays);
  // Either of two restricted fields is enough, unless + asks for both.
  if (!isFree && !weekdays.startsWith("+")) return true;
  // Where the nearest weekday must be a certain weekday too, only a search would know.
  if (!isFree && /w/iu.test(days)) return null;
  const chosen = readMonths(months);
  const byNumber = readRules(days, readDay);
  const byWeekday = isFree ? [(): boolean => true] : readRules(weekdays.slice(1), readWeekday);
  if (chosen === null || byNumber === null || byWeekday === null) return null;
  return chosen.some((month) =>
    (LENGTHS[month - 1] ?? []).some((length) =>
      Array.from({ length }, (_, index) => index + 1).some(
        (day) =>
          byNumber.some((fits) => fits(day, length)) && byWeekday.some((fits) => fits(day, length)),
      ),
    ),
  );
}

function readRules(
  field: string,
  read: (item: string) => DayRule | null,
): readonly DayRule[] | null {
  const rules = field.split(",").map((item) => read(item));
  return rules.every((rule) => rule !== null) ? rules : null;
}

function readDay(item: string): DayRule | null {
  if (/^lw?$/iu.test(item)) return (day, length) => day === length;
  const nearest = /^(\d{1,2})w$/iu.exec(item);
  // The weekday nearest to a date is in its month, when the date is.
  if (nearest !== null) return (_day, length) => Number(nearest[1]) <= length;
  const range = readRange(item, 1, 31);
  return range === null ? null : (day) => range.includes(day);
}

/** Any weekday falls on any day of a month in some year: only its number in the month counts. */
function readWeekday(item: string): DayRule | null {
  const [, nth] = /^[\da-z-]+#([1-5l])$/iu.exec(item) ?? /^[\da-z]+(l)$/iu.exec(item) ?? [];
  if (nth === undefined) return /^[\da-z*?/-]+$/iu.test(item) ? (): boolean => true : null;
  if (/l/iu.test(nth)) return (day, length) => day > length - WEEK;
  return (day) => Math.ceil(day / WEEK) === Number(nth);
}

function readMonths(field: string): readonly number[] | null {
  const months: number[] = [];
  for (const item of field.split(",")) {
    const numbers = item.replaceAll(/[a-z]{3}/giu, (name) => {
      return String(MONTHS.indexOf(name.toLowerCase()) + 1);
    });
    const range = readRange(numbers, 1, 12);
    if (range === null) return null;
    months.push(...range);
  }
  return months;
}

/** The numbers of `*`, `5`, `2-9`, and of these with a step. */
function readRange(item: string, least: number, most: number): readonly number[] | null {
  const found = /^(?:[*?]|(\d{1,2})(?:-(\d{1,2}))?)?(?:\/(\d{1,3}))?$/u.exec(item);
  if (found === null || item === "") return null;
  const [, from, to, step] = found;
  const first = from === undefined ? least : Number(from);
  const last =
    to !== undefined ? Number(to) : from === undefined || step !== undefined ? most : first;
  const numbers: number[] = [];
  for (
    let number = first;
    number <= last && number <= most;
    number += Math.max(1, Number(step ?? 1))
  )
    numbers.push(number);
  return numbers;
}
