import { DatabaseSync } from "node:sqlite";

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  type KeyInput,
  MISSING_KEY,
  compareKeys,
  formatKey,
  isMissing,
  keyFromSql,
  keyText,
  toKey,
} from "../../../src/model/layout/key.ts";
import { tries } from "../../support/sample.ts";

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Values that SQLite can hold, as JavaScript gives them. */
const storable: fc.Arbitrary<null | number | bigint | string | Uint8Array> = fc.oneof(
  fc.constant(null),
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.bigInt({ min: INT64_MIN, max: INT64_MAX }),
  fc.constantFrom(
    2 ** 53,
    2 ** 53 + 2,
    2 ** 63,
    -(2 ** 63),
    -0,
    1e308,
    Infinity,
    -Infinity,
    0.1,
    1e21,
    5e-324,
  ),
  fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }),
  // Units around the surrogates are where UTF-16 order and byte order differ.
  fc.string({
    unit: fc.constantFrom("a", "b", "\0", "é", "\ud7ff", "\ue000", "\uffff", "😀", "𐀀", "{", "}"),
  }),
  fc.string({ unit: "grapheme" }).map((text) => text.toWellFormed()),
  fc.uint8Array({ maxLength: 4 }),
);

const database = new DatabaseSync(":memory:");
// Without a type, so that each value keeps its own storage class.
database.exec("CREATE TABLE pair (id INTEGER PRIMARY KEY, value)");

function store(
  left: null | number | bigint | string | Uint8Array,
  right: null | number | bigint | string | Uint8Array,
): void {
  database.exec("DELETE FROM pair");
  database.prepare("INSERT INTO pair VALUES (1, ?), (2, ?)").run(left, right);
}

function sqlOrder(): number {
  // ORDER BY compares across classes; equal values count as one rank.
  const ranks = database
    .prepare("SELECT rank() OVER (ORDER BY value) AS rank FROM pair ORDER BY id")
    .all() as { rank: number }[];
  return Math.sign((ranks[0]?.rank ?? 0) - (ranks[1]?.rank ?? 0));
}

describe("compareKeys", () => {
  it("agrees with SQLite for any two stored values", () => {
    fc.assert(
      fc.property(storable, storable, (left, right) => {
        store(left, right);
        expect(Math.sign(compareKeys(toKey(left), toKey(right)))).toBe(sqlOrder());
      }),
      { numRuns: tries(2000) },
    );
  });

  it("is a total order", () => {
    fc.assert(
      fc.property(fc.array(storable, { maxLength: 12 }), (values) => {
        const sorted = values.map(toKey).toSorted(compareKeys);
        for (let left = 0; left < sorted.length; left++) {
          for (let right = left; right < sorted.length; right++) {
            expect(
              compareKeys(sorted[left] ?? MISSING_KEY, sorted[right] ?? MISSING_KEY),
            ).toBeLessThanOrEqual(0);
          }
        }
      }),
    );
  });
});

describe("toKey and keyFromSql", () => {
  it("give one key for a value and for its stored form", () => {
    const read = database.prepare(`
      SELECT typeof(value) AS type,
        CASE typeof(value) WHEN 'blob' THEN hex(value) WHEN 'real' THEN printf('%!.17g', value) ELSE CAST(value AS TEXT) END AS text
      FROM pair WHERE id = 1`);
    fc.assert(
      fc.property(storable, (value) => {
        store(value, null);
        const { type, text } = read.get() as { type: string; text: string | null };
        expect(keyFromSql(type, text)).toEqual(toKey(value));
      }),
      { numRuns: tries(2000) },
    );
  });

  const cases: [string, KeyInput, string, string][] = [
    ["an integer", 42, "integer", "42"],
    ["a whole real", 1.0, "integer", "1"],
    ["minus zero", -0, "integer", "0"],
    ["an int64 beyond 2^53", 9_007_199_254_740_993n, "integer", "9007199254740993"],
    ["a real", 0.1, "real", "0.1"],
    ["a boolean", true, "integer", "1"],
    ["a lone surrogate", "a\ud800", "text", "a\ufffd"],
    ["NUL in text", "a\0b", "text", "a\0b"],
    ["bytes", new Uint8Array([0, 255]), "blob", "00FF"],
    ["undefined", undefined, "null", ""],
    ["NaN, which SQLite stores as NULL", Number.NaN, "null", ""],
  ];
  it.each(cases)("%s", (_name, value, type, text) => {
    expect(toKey(value)).toEqual({ type, text });
  });
});

it("hashes 1, 1.0 and '1' alike, and the missing key like the empty text", () => {
  expect(new Set([toKey(1), toKey(1n), toKey("1")].map(keyText))).toEqual(new Set(["1"]));
  expect(keyText(MISSING_KEY)).toBe(keyText(toKey("")));
});

it("calls NULL and empty text missing, and nothing else", () => {
  expect([null, undefined, ""].map((value) => isMissing(toKey(value)))).toEqual([true, true, true]);
  expect([0, " ", false, new Uint8Array()].map((value) => isMissing(toKey(value)))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

it("writes keys as people do", () => {
  expect([null, 5, "it's", new Uint8Array([1])].map((value) => formatKey(toKey(value)))).toEqual([
    "NULL",
    "5",
    '"it\'s"',
    "x'01'",
  ]);
});
