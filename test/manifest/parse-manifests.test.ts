import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { DEFAULT_POLICY, type NamespaceSpec } from "../../src/model/spec.ts";
import { type ManifestFile, NAMESPACES_MAX, parseManifests } from "../../src/manifest/index.ts";
import { isLongRun } from "../support/sample.ts";
import { manifest } from "./bad-manifests.ts";

function example(name: string): ManifestFile {
  return {
    path: `examples/${name}`,
    text: readFileSync(`${import.meta.dirname}/examples/${name}`),
  };
}

function parse(
  files: readonly ManifestFile[],
  environment: string | null = null,
): readonly NamespaceSpec[] {
  const { desired, errors } = parseManifests(files, { environment });
  expect(errors).toEqual([]);
  return desired?.namespaces ?? [];
}

function parseOne(text: string, environment: string | null = null): NamespaceSpec {
  const [only, ...others] = parse([{ path: "a.yaml", text }], environment);
  expect(others).toEqual([]);
  if (only === undefined) throw new Error("no namespace");
  return only;
}

const EXAMPLES = [example("orders.yaml"), example("several.yaml")];
const HASH = "object: ORDERS\nstrategy: hash\nshardKey: id\ncount: 4";

describe("parseManifests", () => {
  it("fills in every default, and stands at the name", () => {
    expect(parseOne(manifest(HASH))).toEqual({
      name: "orders",
      labels: {},
      object: "ORDERS",
      strategy: "hash",
      shardKey: "id",
      count: 4,
      directory: false,
      splitPoints: null,
      partitioner: null,
      dependsOn: [],
      policy: DEFAULT_POLICY,
      source: { file: "a.yaml", line: 4, column: 9 },
    });
  });

  it("reads every option", () => {
    const orders = parse(EXAMPLES).find(({ name }) => name === "orders");
    expect(orders).toEqual({
      name: "orders",
      labels: { team: "checkout" },
      object: "ORDERS",
      strategy: "hash",
      shardKey: "data.customer.id",
      count: 8,
      directory: true,
      splitPoints: null,
      partitioner: null,
      dependsOn: ["customers"],
      policy: {
        maxSkew: 1.25,
        selfHeal: "apply",
        suspend: true,
        onMissingKey: "allow",
        windows: [
          { start: "0 2 * * 1-5", durationMs: 5_400_000, timezone: "Europe/Berlin" },
          { start: "0 0 1 JAN *", durationMs: 604_800_000, timezone: "UTC" },
        ],
        budgetRows: 5_000_000,
        rowsPerSecondMax: 20_000,
        retainHours: 0,
      },
      source: { file: "examples/orders.yaml", line: 5, column: 9 },
    });
  });

  it("reads many documents and files, sorted by name, whatever the order of the files", () => {
    const names = ["archive", "customers", "orders", "Ünïcode 🗺"];
    expect(parse(EXAMPLES).map(({ name }) => name)).toEqual(names);
    expect(parse(EXAMPLES.toReversed()).map(({ name }) => name)).toEqual(names);
  });

  it("knows the environments that manifests override, and keeps environment and commit in the state", () => {
    const { desired, environments } = parseManifests(EXAMPLES, {
      environment: "staging",
      commit: "3f9c2e1",
    });
    expect(environments).toEqual(["range", "staging", "test"]);
    expect(desired).toMatchObject({ environment: "staging", commit: "3f9c2e1" });
    expect(parseManifests(EXAMPLES, { environment: null }).desired).toMatchObject({
      environment: "default",
      commit: null,
    });
  });

  it("uses an alias's value, and the last anchor before it", () => {
    const customers = parse(EXAMPLES).find(({ name }) => name === "customers");
    expect(customers).toMatchObject({ labels: { team: "customers", tier: "1" }, directory: true });
    const text = manifest(`${HASH.replace("ORDERS", "&a FIRST")}\npartitioner: &a SECOND`).replace(
      "hash",
      "custom",
    );
    const aliased = text.replace(
      "name: orders",
      "name: orders\n  labels: { before: &a x, after: *a }",
    );
    expect(parseOne(aliased)).toMatchObject({
      labels: { before: "x", after: "x" },
      object: "FIRST",
      partitioner: "SECOND",
    });
  });

  it.each([
    ["CRLF", (text: string) => text.replaceAll("\n", "\r\n")],
    ["a byte order mark", (text: string) => `\uFEFF${text}`],
    ["bytes", (text: string) => new TextEncoder().encode(`\uFEFF${text}`)],
    [
      "JSON",
      () =>
        '{"apiVersion":"shardctl.dev/v1","kind":"Namespace","metadata":{\n"name":\n   "orders"},"spec":{"object":"ORDERS","strategy":"hash","shardKey":"id","count":4}}',
    ],
  ])("reads %s as the same", (_, change) => {
    const [changed] = parse([{ path: "a.yaml", text: change(manifest(HASH)) }]);
    const plain = parseOne(manifest(HASH));
    expect({ ...changed, source: null }).toEqual({ ...plain, source: null });
    expect(changed?.source.file).toBe("a.yaml");
    expect(changed?.source.line).toBe(change(manifest(HASH)).length > 150 ? 3 : 4);
  });

  it("makes an empty set of an empty file", () => {
    for (const text of ["", "\n# nothing\n", "---\n---\n", "\uFEFF"])
      expect(parse([{ path: "a.yaml", text }])).toEqual([]);
    expect(parse([])).toEqual([]);
  });
});

describe("split points", () => {
  const range = (points: string, count: number): string =>
    manifest(`object: A\nstrategy: range\nshardKey: id\ncount: ${count}\nsplitPoints: ${points}`);

  it("keeps whole numbers beyond 2^53 exactly, and numbers and text apart", () => {
    const points =
      '[-9223372036854775808, 9007199254740993, 9223372036854775807, "10", "9", { blob: "0aff" }]';
    expect(parseOne(range(points, 7)).splitPoints).toEqual([
      { type: "integer", text: "-9223372036854775808" },
      { type: "integer", text: "9007199254740993" },
      { type: "integer", text: "9223372036854775807" },
      { type: "text", text: "10" },
      { type: "text", text: "9" },
      { type: "blob", text: "0AFF" },
    ]);
  });

  it("reads fractions as reals and whole floats as integers, as SQL keys are", () => {
    expect(parseOne(range("[1.0, 1.5, 1e300]", 4)).splitPoints).toEqual([
      { type: "integer", text: "1" },
      { type: "real", text: "1.5" },
      { type: "real", text: "1e+300" },
    ]);
  });

  it("sorts text by code points, as SQLite does", () => {
    expect(parseOne(range('["\\uFFFD", "\\U0001F600"]', 3)).splitPoints).toHaveLength(2);
  });
});

describe("environments", () => {
  const orders = (environment: string | null): NamespaceSpec | undefined =>
    parse(EXAMPLES, environment).find(({ name }) => name === "orders");

  it("merges maps, replaces lists, and removes with null", () => {
    const base = orders(null);
    expect(orders("staging")).toEqual({
      ...base,
      count: 2,
      directory: false,
      dependsOn: [],
      policy: { ...base?.policy, selfHeal: "off", windows: [], budgetRows: null },
    });
  });

  it("drops options that have no meaning under another strategy", () => {
    expect(orders("test")).toEqual({
      ...orders(null),
      strategy: "none",
      shardKey: null,
      count: 1,
      directory: false,
    });
    expect(orders("range")).toMatchObject({
      strategy: "range",
      shardKey: "data.customer.id",
      count: 5,
      directory: true,
    });
  });

  it("takes the base for an environment that no manifest names", () => {
    expect(orders("production")).toEqual(orders(null));
    expect(orders("constructor")).toEqual(orders(null));
  });

  it("lets null bring quantiles back", () => {
    const text = manifest(
      "object: A\nstrategy: range\nshardKey: id\ncount: 3\nsplitPoints: [1, 2]\nenvironments:\n  staging: { count: 9, splitPoints: null }",
    );
    expect(parseOne(text, "staging")).toMatchObject({ count: 9, splitPoints: null });
  });
});

describe("limits of a set", () => {
  it.runIf(isLongRun())(
    "stops with one error at the first namespace too many",
    () => {
      const one = (index: number): string =>
        `{apiVersion: shardctl.dev/v1, kind: Namespace, metadata: {name: n${index}}, spec: {object: A, strategy: none}}`;
      const perFile = 8_000;
      const files = Array.from({ length: 7 }, (_, file) => ({
        path: `${file}.yaml`,
        text: Array.from(
          { length: file < 6 ? perFile : NAMESPACES_MAX - 6 * perFile + 1 },
          (_unused, index) => one(file * perFile + index),
        ).join("\n---\n"),
      }));
      const { desired, errors } = parseManifests(files, { environment: null });
      expect(desired).toBeNull();
      expect(errors).toEqual([
        {
          file: "6.yaml",
          line: 2 * (NAMESPACES_MAX - 6 * perFile) + 1,
          column: 65,
          kind: "limit",
          message:
            "The manifests declare more than 50,000 namespaces; reading stopped here. Split the set.",
        },
      ]);
    },
    120_000,
  );

  it("lists at most 1,000 errors of a file and says how many are left", () => {
    const { errors } = parseManifests(
      [{ path: "a.yaml", text: Array.from({ length: 1200 }, () => "a: 1").join("\n---\n") }],
      {
        environment: null,
      },
    );
    expect(errors).toHaveLength(1001);
    expect(errors.at(-1)).toMatchObject({
      kind: "limit",
      message: "200 more errors in this file are not listed.",
    });
  });

  it("does not call a dependency unknown when a file cannot be read", () => {
    const files = [
      { path: "a.yaml", text: manifest(`${HASH}\ndependsOn: [customers]`) },
      { path: "b.yaml", text: "\0" },
    ];
    expect(parseManifests(files, { environment: null }).errors.map(({ kind }) => kind)).toEqual([
      "binary",
    ]);
  });
});
