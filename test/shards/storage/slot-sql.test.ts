import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { keyFromSql } from "../../../src/model/layout/key.ts";
import { slotOf } from "../../../src/model/layout/slots.ts";
import { SLOT_UNKNOWN, slotExpression } from "../../../src/shards/storage/slot-sql.ts";
import type { SqlValue } from "../../../src/shards/storage/storage.ts";
import { openSql } from "../support/node-storage.ts";
import { tries } from "../../support/sample.ts";

const sql = openSql();

function bySql(value: string, ...bindings: readonly SqlValue[]): unknown {
  return sql.first(`SELECT ${slotExpression(value)} AS slot`, ...bindings)?.["slot"];
}

/** By the way that every stored row's key goes through JavaScript. */
function byJavaScript(value: string, ...bindings: readonly SqlValue[]): number {
  const text = `CASE typeof(v) WHEN 'blob' THEN hex(v) WHEN 'real' THEN printf('%!.17g', v) ELSE CAST(v AS TEXT) END`;
  const row = sql.first<{ type: string; text: string | null }>(
    `SELECT typeof(v) AS type, ${text} AS text FROM (SELECT ${value} AS v)`,
    ...bindings,
  );
  return slotOf(keyFromSql(row?.type ?? "", row?.text ?? null));
}

describe("writers 2: the slot of a key in SQL is the one in JavaScript", () => {
  it("for any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        expect(bySql("?1", text.toWellFormed())).toBe(byJavaScript("?1", text.toWellFormed()));
      }),
    );
  });

  it("for texts with braces in any order", () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom("{", "}", "a", "é", "\u{1f600}", "{}", "\0"),
          maxLength: 12,
        }),
        (text) => {
          expect(bySql("?1", text)).toBe(byJavaScript("?1", text));
        },
      ),
      { numRuns: tries(1_000) },
    );
  });

  it("for blobs, whole numbers and NULL", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
        (bytes, whole) => {
          const blob = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
          expect(bySql("?1", blob)).toBe(byJavaScript("?1", blob));
          const literal = `CAST('${whole}' AS INTEGER)`;
          expect(bySql(literal)).toBe(byJavaScript(literal));
        },
      ),
    );
    expect(bySql("NULL")).toBe(slotOf(keyFromSql("null", null)));
  });

  it.each(["1.0", "-0.0", "1e15", "9.2e18", "-9223372036854775808.0"])(
    "for the REAL %s, which is whole",
    (literal) => {
      expect(bySql(literal)).toBe(byJavaScript(literal));
    },
  );

  it.each(["0.1", "9.3e18", "-1e300", "9e999", "-9e999"])(
    "is unknown for the REAL %s",
    (literal) => {
      expect(bySql(literal)).toBe(SLOT_UNKNOWN);
    },
  );
});
