/**
 * Properties: nothing is thrown for any input, errors are sorted and stand inside their file, and a
 * rendered spec is read back as it was.
 */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { type Key, compareKeys, toKey } from "../../src/model/layout/key.ts";
import type { NamespaceSpec, Policy, Window } from "../../src/model/spec.ts";
import { isPrintable } from "../../src/manifest/fields.ts";
import {
  formatErrors,
  parseConfig,
  parseManifests,
  renderManifest,
} from "../../src/manifest/index.ts";
import { manifest } from "./bad-manifests.ts";
import { tries } from "../support/sample.ts";

const VALID = `${manifest(
  `object: ORDERS
strategy: range
shardKey: data.customer.id
count: 3
splitPoints: [1000, "a"]
dependsOn: [orders2]
policy:
  windows: [{ start: "0 2 * * 1-5", duration: 2h, timezone: Europe/Berlin }]
  budget: &b { rows: 5000000 }
environments:
  staging: { count: 2, splitPoints: [7], policy: { budget: *b } }`,
)}---\n${manifest("object: A\nstrategy: none", "orders2")}`;

function checkAnything(text: string | Uint8Array): void {
  const { desired, errors } = parseManifests([{ path: "a.yaml", text }], {
    environment: "staging",
  });
  expect(desired === null).toBe(errors.length > 0);
  const lineCount = (typeof text === "string" ? text : new TextDecoder().decode(text)).split(
    "\n",
  ).length;
  let previous = { line: 0, column: 0 };
  for (const error of errors) {
    expect(error.line).toBeGreaterThanOrEqual(1);
    expect(error.column).toBeGreaterThanOrEqual(1);
    expect(error.line).toBeLessThanOrEqual(lineCount);
    expect(
      error.line > previous.line ||
        (error.line === previous.line && error.column >= previous.column),
    ).toBe(true);
    previous = error;
  }
  const shown = formatErrors(errors, "text");
  expect(shown === "" ? 0 : shown.split(/\r|\n/u).length).toBe(errors.length);
  parseConfig({ path: "shardctl.yaml", text });
}

const FRAGMENTS = [
  "\n",
  "  ",
  "- ",
  ": ",
  "[",
  "]",
  "{",
  "}",
  "&a ",
  "*a",
  "!!str ",
  "!x ",
  "|\n",
  ">\n",
  '"',
  "'",
  "#",
  "---\n",
  "...\n",
  "? ",
  "<<: ",
  "\t",
  "%YAML 1.1\n",
  "null",
  "~",
  "\r\n",
  "\uFEFF",
  "\u0085",
  "9".repeat(40),
  "__proto__: ",
  "constructor: ",
  ".inf",
  ".nan",
  "\\",
  "\uD800",
];

// Generous, for machines that do other things: the properties themselves take a second or two.
const TIMEOUT_MS = 120_000;

describe("any input", { timeout: TIMEOUT_MS }, () => {
  it("of bytes is refused or read, never thrown at", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), checkAnything), {
      numRuns: tries(300),
    });
  });

  it("of text is refused or read, never thrown at", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc
        .array(fc.constantFrom(...FRAGMENTS, "a", "b", "spec"), { maxLength: 40 })
        .map((parts) => parts.join("")),
    );
    fc.assert(fc.property(text, checkAnything), { numRuns: tries(400) });
  });

  it("that was valid before something was put in, cut out or moved is refused or read", () => {
    checkAnything(VALID);
    expect(
      parseManifests([{ path: "a.yaml", text: VALID }], { environment: "staging" }).errors,
    ).toEqual([]);
    const mutation = fc.record({
      from: fc.nat(VALID.length),
      length: fc.nat(30),
      insert: fc.constantFrom("", ...FRAGMENTS),
      copy: fc.boolean(),
    });
    const mutated = fc.array(mutation, { minLength: 1, maxLength: 4 }).map((steps) => {
      let text = VALID;
      for (const { from, length, insert, copy } of steps)
        text =
          text.slice(0, from) +
          insert +
          text.slice(copy ? Math.max(0, from - length) : from + length);
      return text;
    });
    fc.assert(fc.property(mutated, checkAnything), { numRuns: tries(600) });
  });

  it("of values in place of any value is refused or read", () => {
    const value = fc.oneof(
      fc.json({ maxDepth: 3 }),
      fc.constantFrom("null", "''", "[]", "{}", "-1", "1e999", "0x10", "2h", "true"),
    );
    const lines = VALID.split("\n");
    fc.assert(
      fc.property(fc.nat(lines.length - 1), value, (index, json) => {
        expect(lines[index]).toBeDefined();
        checkAnything(
          lines
            .map((line, at) => (at === index ? line.replace(/: .*$/u, `: ${json}`) : line))
            .join("\n"),
        );
      }),
      { numRuns: tries(400) },
    );
  });
});

const name = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 30 })
  .filter(
    (text) =>
      text.isWellFormed() &&
      isPrintable(text) &&
      text === text.trim() &&
      !/-(?:shard-|g)\d+$/u.test(text),
  );
const identifier = fc.stringMatching(/^[A-Za-z_$][A-Za-z0-9_$]{0,20}$/u);
const shardKey = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}(?:\.[A-Za-z0-9_-]{1,6}){0,4}$/u);
const splitPoint: fc.Arbitrary<Key> = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(toKey),
  fc.double({ noNaN: true }).map(toKey),
  fc
    .constantFrom(2 ** 63, -(2 ** 63), 2 ** 64, 1e20, 1e21, -0, Infinity, -Infinity, 5e-324)
    .map(toKey),
  fc.string({ unit: "binary", maxLength: 12 }).map(toKey),
  fc
    .constantFrom(
      "1",
      "1.0",
      "null",
      "true",
      "~",
      "",
      " ",
      "- a",
      "{",
      "#",
      "x'00'",
      "\n",
      "\r",
      "\u2028",
      "\uFEFF",
      "0x1",
      "*a",
      "<<",
    )
    .map(toKey),
  fc.uint8Array({ maxLength: 6 }).map(toKey),
);
const splitPoints = fc.array(splitPoint, { maxLength: 14 }).map((keys) => {
  const sorted = keys.toSorted(compareKeys);
  return sorted.filter(
    (key, index) => index === 0 || compareKeys(key, sorted[index - 1] as Key) !== 0,
  );
});
const window: fc.Arbitrary<Window> = fc.record({
  start: fc.constantFrom("0 2 * * 1-5", "*/5 * * * *", "0 0 1 JAN *"),
  durationMs: fc.integer({ min: 1, max: 604_800 }).map((seconds) => seconds * 1000),
  timezone: fc.constantFrom("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"),
});
const positive = fc.option(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }));
const policy: fc.Arbitrary<Policy> = fc.record({
  maxSkew: fc.double({ min: 1.01, max: 1000, noNaN: true }),
  selfHeal: fc.constantFrom("off", "alert", "apply"),
  suspend: fc.boolean(),
  onMissingKey: fc.constantFrom("reject", "allow"),
  windows: fc.array(window, { maxLength: 3 }),
  budgetRows: positive,
  rowsPerSecondMax: positive,
  retainHours: fc.integer({ min: 0, max: 8760 }),
  storageBytesMax: fc.integer({ min: 1_000_000, max: 10_000_000_000 }),
  maxFill: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
});
const labels = fc.dictionary(
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,12}$/u),
  fc.string({ unit: "binary", maxLength: 20 }).filter((text) => isPrintable(text)),
  { maxKeys: 4, noNullPrototype: true },
);

const namespaceSpec: fc.Arbitrary<NamespaceSpec> = fc
  .record({
    name,
    labels,
    object: identifier,
    strategy: fc.constantFrom("hash", "range", "roundRobin", "custom", "none"),
    shardKey,
    count: fc.integer({ min: 1, max: 1000 }),
    directory: fc.boolean(),
    splitPoints: fc.option(splitPoints),
    partitioner: identifier,
    policy,
  })
  .map((drawn) => {
    const isNone = drawn.strategy === "none";
    const points = drawn.strategy === "range" ? drawn.splitPoints : null;
    return {
      ...drawn,
      labels: Object.fromEntries(
        Object.entries(drawn.labels).toSorted(([left], [right]) => (left < right ? -1 : 1)),
      ),
      shardKey: isNone ? null : drawn.shardKey,
      count: isNone ? 1 : points === null ? drawn.count : points.length + 1,
      directory: drawn.strategy === "roundRobin" || (!isNone && drawn.directory),
      splitPoints: points,
      partitioner: drawn.strategy === "custom" ? drawn.partitioner : null,
      dependsOn: [],
      source: { file: "a.yaml", line: 5, column: 9 },
    };
  });

describe("renderManifest", { timeout: TIMEOUT_MS }, () => {
  it("is read back as the same spec, and renders that the same", () => {
    fc.assert(
      fc.property(namespaceSpec, (spec) => {
        const text = renderManifest(spec);
        const { desired, errors } = parseManifests([{ path: "a.yaml", text }], {
          environment: null,
        });
        expect(errors).toEqual([]);
        expect(desired?.namespaces).toEqual([spec]);
        expect(renderManifest(desired?.namespaces[0] ?? spec)).toBe(text);
      }),
      { numRuns: tries(400) },
    );
  });
});
