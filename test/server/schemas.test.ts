/** The API's rules for a desired state are the manifests' rules. */
import { describe, expect, it } from "vitest";

import { parseManifests } from "../../src/manifest/index.ts";
import { DEFAULT_POLICY, type NamespaceSpec } from "../../src/model/spec.ts";
import { planRequestSchema } from "../../src/server/schemas.ts";

const SPEC: NamespaceSpec = {
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
  source: { file: "orders.yaml", line: 1, column: 1 },
};
const NONE = { ...SPEC, strategy: "none", shardKey: null, count: 1 };

interface Refusal {
  readonly path: string;
  readonly message: string;
}

function check(namespaces: readonly unknown[], environment = "production"): readonly Refusal[] {
  const parsed = planRequestSchema.safeParse({
    desired: { environment, commit: null, namespaces },
  });
  return (parsed.error?.issues ?? []).map(({ path, message }) => ({
    path: path.join("."),
    message,
  }));
}

const windows = (...list: readonly object[]): object => ({
  ...SPEC,
  policy: { ...DEFAULT_POLICY, windows: list },
});
const NIGHT = { start: "0 2 * * *", durationMs: 3_600_000, timezone: "UTC" };

describe("a namespace of a plan request", () => {
  it.each([
    ["a name of a shard", { ...SPEC, name: "orders-shard-3" }, "name"],
    ["a name that begins with a space", { ...SPEC, name: " orders" }, "name"],
    ["a name with a line break", { ...SPEC, name: "or\nders" }, "name"],
    ["a name that turns the direction of text", { ...SPEC, name: "or\u202Eders" }, "name"],
    ["a name of 600 bytes", { ...SPEC, name: "ä".repeat(300) }, "name"],
    ["a dependency with such a name", { ...SPEC, dependsOn: ["a-g2"] }, "dependsOn.0"],
    ["a dependency given twice", { ...SPEC, dependsOn: ["a", "a"] }, "dependsOn.1"],
    ["101 dependencies", { ...SPEC, dependsOn: Array.from({ length: 101 }, String) }, "dependsOn"],
    ["a label with an escape character", { ...SPEC, labels: { team: "\u001B[2J" } }, "labels.team"],
    ["a key of a label with a space", { ...SPEC, labels: { "a b": "" } }, "labels.a b"],
    ["a shard key with a quote", { ...SPEC, shardKey: 'id"' }, "shardKey"],
    ["a binding that is none", { ...SPEC, object: "my-class" }, "object"],
    [
      "a partitioner that is no name",
      { ...SPEC, strategy: "custom", partitioner: "a b" },
      "partitioner",
    ],
    ["a count of 0", { ...SPEC, count: 0 }, "count"],
    ["a count of 1.5", { ...SPEC, count: 1.5 }, "count"],
    ["a skew of 1", { ...SPEC, policy: { ...DEFAULT_POLICY, maxSkew: 1 } }, "policy.maxSkew"],
    [
      "a century of retention",
      { ...SPEC, policy: { ...DEFAULT_POLICY, retainHours: 876_000 } },
      "policy.retainHours",
    ],
    [
      "a budget of 0",
      { ...SPEC, policy: { ...DEFAULT_POLICY, budgetRows: 0 } },
      "policy.budgetRows",
    ],
    ["33 windows", windows(...Array.from({ length: 33 }, () => NIGHT)), "policy.windows"],
    [
      "a start that never comes",
      windows({ ...NIGHT, start: "0 0 30 2 *" }),
      "policy.windows.0.start",
    ],
    [
      "a start of six fields",
      windows({ ...NIGHT, start: "0 0 2 * * *" }),
      "policy.windows.0.start",
    ],
    ["a start by a word", windows({ ...NIGHT, start: "@daily" }), "policy.windows.0.start"],
    [
      "a zone that is none",
      windows(NIGHT, { ...NIGHT, timezone: "Mars" }),
      "policy.windows.1.timezone",
    ],
    [
      "a window of 8 days",
      windows({ ...NIGHT, durationMs: 691_200_000 }),
      "policy.windows.0.durationMs",
    ],
    [
      "a window of half a second",
      windows({ ...NIGHT, durationMs: 500 }),
      "policy.windows.0.durationMs",
    ],
    [
      "split points out of order",
      {
        ...SPEC,
        strategy: "range",
        count: 3,
        splitPoints: [
          { type: "integer", text: "2" },
          { type: "integer", text: "1" },
        ],
      },
      "splitPoints.1",
    ],
    [
      "a split point that is no number",
      { ...SPEC, strategy: "range", count: 2, splitPoints: [{ type: "integer", text: "x" }] },
      "splitPoints.0",
    ],
    [
      "a split point of NULL",
      { ...SPEC, strategy: "range", count: 2, splitPoints: [{ type: "null", text: "" }] },
      "splitPoints.0",
    ],
    ["no shard key", { ...SPEC, shardKey: null }, "strategy"],
    ["a shard key without shards", { ...NONE, shardKey: "id" }, "shardKey"],
    ["roundRobin without its directory", { ...SPEC, strategy: "roundRobin" }, "directory"],
  ])("with %s is refused, and the place named", (_name, spec, path) => {
    expect(check([spec]).map((refusal) => refusal.path)).toContain(`desired.namespaces.0.${path}`);
  });

  it.each([
    ["shardKey", (length: number) => `strategy: hash, shardKey: ${"k".repeat(length)}`, 1024],
    [
      "partitioner",
      (length: number) => `strategy: custom, partitioner: ${"p".repeat(length)}`,
      512,
    ],
    [
      "splitPoints",
      (length: number) => `strategy: range, splitPoints: ["${"s".repeat(length)}"]`,
      1024,
    ],
  ])("has a %s as long as a manifest may have, and no longer", (what, write, longest) => {
    const read = (length: number) => {
      const key = what === "shardKey" ? "" : "shardKey: id, ";
      const spec = `{ object: ORDERS, count: 2, ${key}${write(length)} }`;
      const text = `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: long }\nspec: ${spec}\n`;
      return parseManifests([{ path: "a.yaml", text }], { environment: "production" });
    };
    const { desired, errors } = read(longest);
    expect(errors).toEqual([]);
    expect(check(desired?.namespaces ?? [])).toEqual([]);
    expect(read(longest + 1).errors).toHaveLength(1);
  });

  it("that a manifest gives is taken as it is", () => {
    const text = `apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: orders, labels: { team: checkout } }
spec:
  object: ORDERS
  strategy: range
  shardKey: data.id
  count: 5
  splitPoints: [1, 2.5, 1e30, x]
  policy:
    maxSkew: 1000
    windows: [{ start: "0 2 * * MON#1", duration: 1h30m, timezone: Europe/Berlin }]
    budget: { rows: 5 }
    rowsPerSecondMax: 7
---
apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: "ünïcode 🎉" }
spec: { object: A, strategy: none }
---
apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: carts }
spec: { object: A, strategy: roundRobin, shardKey: id, count: 2, dependsOn: [orders] }`;
    const { desired } = parseManifests([{ path: "a.yaml", text }], { environment: null });
    expect(desired?.namespaces).toHaveLength(3);
    const parsed = planRequestSchema.safeParse({ desired });
    expect(parsed.error?.issues ?? []).toEqual([]);
    expect(parsed.data?.desired).toEqual(desired);
  });
});

describe("a set of a plan request", () => {
  it("may not have two names that differ only by their form of Unicode", () => {
    const both = [
      { ...SPEC, name: "caf\u00E9" },
      { ...SPEC, name: "cafe\u0301" },
    ];
    expect(check(both)).toMatchObject([{ path: "desired.namespaces.1.name" }]);
    expect(check([{ ...SPEC, name: "cafe\u0301" }])).toEqual([]);
    const files = both.map(({ name }, index) => ({
      path: `${index}.yaml`,
      text: `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\nspec: { object: A, strategy: none }`,
    }));
    expect(parseManifests(files, { environment: null }).errors).toMatchObject([
      { kind: "duplicateNamespace", file: "1.yaml" },
    ]);
  });

  it.each([
    ["a space of no width", "orders", "orders\u200B"],
    ["a soft hyphen", "orders", "or\u00ADders"],
    ["a mark that joins", "orders", "ord\u2060ers"],
    ["a tag", "orders", "orders\u{E0041}"],
    ["a filler of Hangul", "orders", "orders\u3164"],
    ["another space", "my orders", "my\u00A0orders"],
    ["two of them", "orders\u200B", "\u2060orders"],
  ])("may not have two names that differ only by %s", (_name, first, second) => {
    const both = [
      { ...SPEC, name: first },
      { ...SPEC, name: second },
    ];
    expect(check(both)).toMatchObject([{ path: "desired.namespaces.1.name" }]);
    const files = both.map(({ name }, index) => ({
      path: `${index}.yaml`,
      text: `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${JSON.stringify(name)} }\nspec: { object: A, strategy: none }`,
    }));
    expect(parseManifests(files, { environment: null }).errors).toMatchObject([
      { kind: "duplicateNamespace", file: "1.yaml" },
    ]);
    for (const name of [first, second]) expect(check([{ ...SPEC, name }]), name).toEqual([]);
  });

  it.each([
    ["only what nobody can see", "\u00AD\u200B"],
    ["a mark that turns Arabic text", "orders\u061C1"],
  ])("may not have a name with %s", (_name, name) => {
    expect(check([{ ...SPEC, name }])).toMatchObject([{ path: "desired.namespaces.0.name" }]);
    const text = `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${JSON.stringify(name)} }\nspec: { object: A, strategy: none }`;
    expect(parseManifests([{ path: "a.yaml", text }], { environment: null }).errors).toHaveLength(
      1,
    );
  });

  it.each<[string, Readonly<Record<string, readonly string[]>>, readonly string[]]>([
    ["on itself", { a: ["a"] }, ["a"]],
    ["in a circle", { a: ["b"], b: ["c"], c: ["a"] }, ["a", "b", "c"]],
    ["on a circle", { a: ["b"], b: ["b"], c: [] }, ["a", "b"]],
    ["on a name that it does not declare", { a: ["b"], c: [] }, ["a"]],
  ])("may not have namespaces that depend %s", (_name, dependencies, refused) => {
    const entries = Object.entries(dependencies);
    const specs = entries.map(([name, dependsOn]) => ({ ...SPEC, name, dependsOn }));
    expect(check(specs)).toEqual(
      refused.map((name) => ({
        path: `desired.namespaces.${entries.findIndex(([one]) => one === name)}.dependsOn`,
        message: expect.stringContaining("spec.dependsOn") as string,
      })),
    );
    const files = entries.map(([name, dependsOn]) => ({
      path: `${name}.yaml`,
      text: `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\nspec: { object: A, strategy: none, dependsOn: [${dependsOn.join(", ")}] }`,
    }));
    const { errors } = parseManifests(files, { environment: null });
    expect(errors.map(({ kind }) => kind)).toContain("dependsOn");
  });

  it("may have namespaces that depend on each other in order, given in any order", () => {
    const of = (name: string, dependsOn: readonly string[]) => ({ ...SPEC, name, dependsOn });
    expect(check([of("c", ["a", "b"]), of("a", []), of("b", ["a"])])).toEqual([]);
  });

  it.each([
    ["of 4,097 characters", "x".repeat(4097), "limit"],
    ["with a line break", "a\nb.yaml", "unsupported"],
    ["with an escape character", "\u001B[2Ja.yaml", "unsupported"],
    ["with half a pair", "\uD800.yaml", "unsupported"],
  ])("may not come from a file whose path is one %s", (_name, file, kind) => {
    const source = { file, line: 1, column: 1 };
    expect(check([{ ...SPEC, source }])).toMatchObject([
      { path: "desired.namespaces.0.source.file" },
    ]);
    const text =
      "apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: a }\nspec: { object: A, strategy: none }";
    const { errors } = parseManifests([{ path: file, text }], { environment: null });
    expect(errors).toMatchObject([{ kind, message: expect.stringContaining("Rename") as string }]);
  });

  it("may come from a file whose path is one of 4,096 characters", () => {
    const file = "x".repeat(4096);
    expect(check([{ ...SPEC, source: { file, line: 1, column: 1 } }])).toEqual([]);
    expect(parseManifests([{ path: file, text: "" }], { environment: null }).errors).toEqual([]);
  });

  it.each([
    ["empty objects", (): unknown => ({})],
    ["numbers", (index: number): unknown => index],
    ["objects with many unknown keys", (): unknown => ({ a: 1, b: 2, c: 3 })],
    ["names given again", (): unknown => SPEC],
  ])("of 49,999 %s is refused with the first errors", (_name, make) => {
    const refusals = check(Array.from({ length: 49_999 }, (_, index) => make(index)));
    expect(refusals.length).toBeGreaterThanOrEqual(100);
    expect(refusals.length).toBeLessThan(200);
  });

  it("has the name of an environment that a manifest could have", () => {
    expect(check([], "pro duction")).toMatchObject([{ path: "desired.environment" }]);
    expect(check([], "prod\u001B")).toMatchObject([{ path: "desired.environment" }]);
    expect(check([], "default")).toEqual([]);
  });
});
