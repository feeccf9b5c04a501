/**
 * Computes the hash slot of a stored key in an SQL expression, for triggers: SQLite in a Durable
 * Object has no user-defined functions. It gives what `slotOf` gives for the key that SQL reads
 * from the same value.
 *
 * CRC16 is a remainder of polynomials over two elements, so that five bytes are taken at a time:
 * the bits above the lowest sixteen are folded down a byte, then half a byte at a time, each by one
 * multiplication whose terms do not overlap, and one exclusive or.
 *
 * | fold       | because, modulo the polynomial | of at most |
 * |------------|--------------------------------|------------|
 * | from x^32  | x^32 = x^24 + x^10 + 1         | ten bits   |
 * | from x^16  | x^16 = x^12 + x^5 + 1          | five bits  |
 */
import { SLOT_COUNT } from "../../model/layout/slots.ts";

/** The value of the expression for a key whose text SQL cannot make as JavaScript does. */
export const SLOT_UNKNOWN = -1;

const STEP_BYTES = 5;
const STEP_DIGITS = 2 * STEP_BYTES;
const FOLDS = [
  { from: 32, by: 2n ** 24n + 2n ** 10n + 1n, lowest: [48, 40, 32] },
  { from: 16, by: 2n ** 12n + 2n ** 5n + 1n, lowest: [28, 24, 20, 16] },
] as const;

/**
 * SQL for the slot of the value of `key`, an SQL expression: 0 … 16,383, or -1 for a REAL that is
 * no whole number.
 */
export function slotExpression(key: string): string {
  const digits = `SELECT h, length(h) % ${STEP_DIGITS} AS n FROM (SELECT ${hexOfText("k")} AS h FROM (SELECT ${key} AS k LIMIT 1) LIMIT 1) LIMIT 1`;
  const first = `SELECT substr(h, n + 1), CASE WHEN h IS NULL THEN NULL WHEN n = 0 THEN 0 ELSE ${step("0", numberOf("substr(h, 1, n)"))} END FROM (${digits})`;
  const next = `SELECT substr(h, ${STEP_DIGITS + 1}), ${step("c", numberOf(`substr(h, 1, ${STEP_DIGITS})`))} FROM crc WHERE h <> ''`;
  const crc = `WITH RECURSIVE crc (h, c) AS (${first} UNION ALL ${next}) SELECT c & ${SLOT_COUNT - 1} FROM crc WHERE h = ''`;
  return `coalesce((${crc}), ${SLOT_UNKNOWN})`;
}

/** The hexadecimal digits of the text that is hashed; NULL when SQL cannot make that text. */
function hexOfText(key: string): string {
  const isWhole = `${key} >= -9223372036854775808 AND ${key} = CAST(${key} AS INTEGER)`;
  return `CASE typeof(${key}) WHEN 'text' THEN CASE WHEN instr(${key}, '{') = 0 THEN hex(${key}) ELSE ${hexOfTag(key)} END
    WHEN 'blob' THEN hex(hex(${key})) WHEN 'real' THEN CASE WHEN ${isWhole} THEN hex(CAST(${key} AS INTEGER)) END ELSE hex(${key}) END`;
}

/**
 * The digits of what stands between the first braces, or of the whole text where nothing does. A
 * brace that closes at once is passed over, as `cluster-key-slot` does. Of an empty blob, `substr`
 * gives NULL.
 */
function hexOfTag(key: string): string {
  const opened = `SELECT b, substr(b, instr(b, x'7B') + 1) AS r FROM (SELECT CAST(${key} AS BLOB) AS b)`;
  const begun = `SELECT b, substr(r, 1 + (substr(r, 1, 1) = x'7D')) AS r FROM (${opened})`;
  return `(SELECT hex(CASE p WHEN 0 THEN b ELSE substr(r, 1, p - 1) END) FROM (SELECT b, r, coalesce(instr(r, x'7D'), 0) AS p FROM (${begun})))`;
}

/** Reads hexadecimal digits as a number: only JSON5 does that in SQL. */
function numberOf(digits: string): string {
  return `(('0x' || ${digits}) ->> '$')`;
}

/** SQL for the CRC of the bytes so far, `crc`, and up to five more, as one number. */
function step(crc: string, bytes: string): string {
  const wide = `${crc} << ${8 * (STEP_BYTES - 2)}`;
  let folded = `SELECT ${exclusiveOr(`(${wide})`, "d")} << 16 AS w FROM (SELECT ${bytes} AS d LIMIT 1)`;
  for (const { from, by, lowest } of FOLDS) {
    for (const bit of lowest) {
      const kept = `(w & ${2n ** BigInt(bit) - 1n})`;
      const down = `((w >> ${bit}) * ${by << BigInt(bit - from)})`;
      // The limit keeps SQLite from putting the query inside into the outer one, twice each time.
      folded = `SELECT ${exclusiveOr(kept, down)} AS w FROM (${folded} LIMIT 1)`;
    }
  }
  return `(${folded})`;
}

function exclusiveOr(left: string, right: string): string {
  return `((${left} | ${right}) - (${left} & ${right}))`;
}
