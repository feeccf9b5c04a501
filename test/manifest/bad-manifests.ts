/** Bad manifests, one for each kind of mistake. Each name heads its errors in the golden file. */
import type { ManifestFile, ParseOptions } from "../../src/manifest/index.ts";

export interface BadManifest {
  readonly name: string;
  readonly files: readonly ManifestFile[];
  readonly options?: Partial<ParseOptions>;
}

/** A whole manifest around some lines of spec. */
export function manifest(specText: string, name = "orders"): string {
  const lines = specText.trim().split("\n");
  return `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata:\n  name: ${name}\nspec:\n${lines.map((line) => `  ${line}`).join("\n")}\n`;
}

const HASH = "object: ORDERS\nstrategy: hash\nshardKey: id\ncount: 4";
const RANGE = "object: ORDERS\nstrategy: range\nshardKey: id\ncount: 3";
const NONE = "object: ORDERS\nstrategy: none";

function bad(
  name: string,
  text: string | Uint8Array,
  options?: Partial<ParseOptions>,
): BadManifest {
  return {
    name,
    files: [{ path: "manifests/orders.yaml", text }],
    ...(options === undefined ? {} : { options }),
  };
}

function spec(name: string, lines: string): BadManifest {
  return bad(name, manifest(lines));
}

function named(name: string, value: string): BadManifest {
  return bad(name, manifest(HASH, value));
}

function policy(name: string, lines: string): BadManifest {
  return spec(name, `${HASH}\npolicy:\n${lines.replaceAll(/^/gmu, "  ")}`);
}

const ALIAS_BOMB = `a: &a [x, x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
`;

function cycle(name: string, dependencies: Readonly<Record<string, string>>): BadManifest {
  const files = Object.entries(dependencies).map(([from, to]) => ({
    path: `manifests/${from}.yaml`,
    text: manifest(`${HASH}\ndependsOn: [${to}]`, from),
  }));
  return { name, files };
}

export const BAD_MANIFESTS: readonly BadManifest[] = [
  // Text
  bad("binary-nul", new TextEncoder().encode(`${manifest(HASH)}  # \0`)),
  bad(
    "binary-latin-1",
    Uint8Array.from(manifest(HASH, "caf\u00E9"), (character) => character.charCodeAt(0)),
  ),
  bad("binary-utf-16", Uint8Array.from([0xff, 0xfe, 0x61, 0, 0x3a, 0])),
  bad("too-large", `${manifest(HASH)}#${"x".repeat(1_048_576)}`),
  bad("too-large-bytes", new TextEncoder().encode(`${manifest(HASH)}#${"\u00E9".repeat(600_000)}`)),
  // YAML
  bad(
    "syntax-indent",
    "apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata:\n  name: orders\n labels: {}\n",
  ),
  bad("syntax-tab", "apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata:\n\tname: orders\n"),
  bad("syntax-quote", 'apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata:\n  name: "orders\n'),
  bad("syntax-unclosed-list", `${manifest(HASH)}  dependsOn: [a, b\n`),
  bad("duplicate-key", manifest(`${HASH}\ncount: 8`)),
  bad("tag-js-function", manifest(`${HASH}\npartitioner: !!js/function "function () {}"`)),
  bad("tag-custom", manifest(`${HASH}\nlabels: !include secrets.yaml`)),
  bad("merge-key", `x: &defaults { object: ORDERS }\n${manifest("<<: *defaults\nstrategy: none")}`),
  bad("key-not-text", manifest(`${HASH}\n? [a, b]\n: 1`)),
  bad("key-proto", manifest(`${HASH}\n__proto__: { count: 8 }`)),
  bad("alias-unknown", manifest("object: *binding\nstrategy: none")),
  bad("alias-cyclic", manifest("object: ORDERS\nstrategy: none\ndependsOn: &self [*self]")),
  bad("alias-bomb", ALIAS_BOMB),
  bad("nested-too-deep", `a: ${"[".repeat(40)}${"]".repeat(40)}\n`),
  bad("nested-far-too-deep", "[".repeat(50_000)),
  bad("yaml-1.1", `%YAML 1.1\n---\n${manifest(HASH)}`),
  bad("yaml-9.9", `%YAML 9.9\n---\n${manifest(HASH)}`),
  bad("not-a-map", "- a\n- b\n"),
  bad("plain-text", "hello\n"),
  bad("syntax-in-second-document", `${manifest(HASH)}---\nkind: "Namespace\n`),
  bad("syntax-map-unclosed", manifest("object: ORDERS\npolicy: { maxSkew: 2\nstrategy: none")),
  // Header
  bad("header-missing", "version: '3'\nservices:\n  web: {}\n"),
  bad(
    "api-version-wrong",
    manifest(HASH).replace("shardctl.dev/v1", "v1").replace("Namespace", "ConfigMap"),
  ),
  bad("api-version-missing", manifest(HASH).replace("apiVersion: shardctl.dev/v1\n", "")),
  bad("kind-wrong", manifest(HASH).replace("Namespace", "Namespaces")),
  bad(
    "metadata-missing",
    "apiVersion: shardctl.dev/v1\nkind: Namespace\nspec:\n  object: A\n  strategy: none\n",
  ),
  bad(
    "spec-empty",
    "apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata:\n  name: orders\nspec:\n",
  ),
  // Keys and values
  bad("unknown-key-near", manifest(HASH.replace("shardKey", "shardkey"))),
  bad("unknown-key-far", manifest(`${HASH}\nreplicas: 3`)),
  policy("unknown-key-policy", "maxskew: 2"),
  policy("unknown-key-window", 'windows:\n  - { start: "0 2 * * *", duration: 2h, timeZone: UTC }'),
  bad("unknown-key-top", `${manifest(HASH)}status: {}\n`),
  spec("enum-near", HASH.replace("hash", "hsah")),
  spec("enum-far", HASH.replace("hash", "consistent")),
  policy("enum-policy", "selfHeal: yes\nonMissingKey: Reject"),
  spec("count-zero", HASH.replace("4", "0")),
  spec("count-too-many", HASH.replace("4", "1001")),
  spec("count-fraction", HASH.replace("4", "2.5")),
  spec("count-text", HASH.replace("4", '"4"')),
  spec("count-blank", HASH.replace(" 4", "")),
  spec("count-huge", HASH.replace("4", "99999999999999999999")),
  spec("object-missing", "strategy: none"),
  spec("object-not-identifier", HASH.replace("ORDERS", "my-binding")),
  policy("max-skew-one", "maxSkew: 1"),
  policy("budget-zero", "budget: { rows: 0 }"),
  policy("budget-number", "budget: 5000000"),
  policy("rows-per-second-negative", "rowsPerSecondMax: -5\nretainHours: 1.5"),
  policy("max-fill-percent", "maxFill: 70"),
  policy("suspend-text", 'suspend: "true"'),
  bad(
    "label-number",
    manifest(HASH).replace("  name: orders\n", "  name: orders\n  labels: { tier: 1, 'a b': x }\n"),
  ),
  // Names
  named("name-empty", '""'),
  named("name-number", "2024"),
  named("name-too-long", "n".repeat(513)),
  named("name-control", '"a\\tb"'),
  named("name-space", '" orders"'),
  named("name-of-shard", "orders-shard-3"),
  named("name-of-rekeyed-shard", "orders-g2-shard-3"),
  named("name-of-generation", "orders-g2"),
  // Shard keys
  spec("shard-key-empty-segment", HASH.replace("id", "data..id")),
  spec("shard-key-json-path", HASH.replace("id", "$.data.id")),
  spec("shard-key-deep", HASH.replace("shardKey: id", "shardKey: a.b.c.d.e.f.g.h.i.j.k")),
  // Strategy
  spec("hash-without-key-and-count", "object: ORDERS\nstrategy: hash"),
  spec("hash-with-split-points", `${HASH}\nsplitPoints: [1, 2, 3]`),
  spec("hash-with-partitioner", `${HASH}\npartitioner: byRegion`),
  spec("custom-without-partitioner", HASH.replace("hash", "custom")),
  spec(
    "none-with-everything",
    `${NONE}\nshardKey: id\ncount: 8\ndirectory: true\nsplitPoints: []\npartitioner: p`,
  ),
  spec("round-robin-without-directory", `${HASH.replace("hash", "roundRobin")}\ndirectory: false`),
  // Split points
  spec("split-points-too-few", `${RANGE}\nsplitPoints: [1000]`),
  spec("split-points-count-one", `${RANGE.replace("3", "1")}\nsplitPoints: [1000]`),
  spec("split-points-descending", `${RANGE}\nsplitPoints: [2000, 1000]`),
  spec("split-points-repeated", `${RANGE}\nsplitPoints: [9007199254740993, 9007199254740993]`),
  spec("split-points-one-and-one-point-zero", `${RANGE}\nsplitPoints: [1, 1.0]`),
  spec("split-points-text-before-number", `${RANGE}\nsplitPoints: ["9", 10]`),
  spec("split-points-null", `${RANGE}\nsplitPoints: [null, 1000]`),
  spec("split-points-other-types", `${RANGE}\nsplitPoints:\n  - true\n  - { blob: xyz }`),
  spec("split-points-not-int64", `${RANGE}\nsplitPoints: [1, 9223372036854775808]`),
  spec("split-points-scalar", `${RANGE}\nsplitPoints: 1000`),
  // Windows
  policy(
    "window-cron-fields",
    'windows:\n  - { start: "0 2 * *", duration: 2h }\n  - { start: "0 0 2 * * 1", duration: 2h }',
  ),
  policy("window-cron-value", 'windows:\n  - { start: "61 2 * * *", duration: 2h }'),
  policy("window-cron-never", 'windows:\n  - { start: "0 0 31 2 *", duration: 2h }'),
  policy(
    "window-duration",
    'windows:\n  - { start: "0 2 * * *", duration: 2 hours }\n  - { start: "0 2 * * *", duration: 200h }\n  - { start: "0 2 * * *", duration: 0m }',
  ),
  policy("window-duration-number", 'windows:\n  - { start: "0 2 * * *", duration: 30 }'),
  policy(
    "window-timezone",
    'windows:\n  - { start: "0 2 * * *", duration: 2h, timezone: Europe/Berlim }',
  ),
  policy("window-incomplete", "windows:\n  - { timezone: UTC }\n  - daily"),
  // Sets
  {
    name: "duplicate-namespace",
    files: [
      { path: "manifests/b.yaml", text: manifest(NONE) },
      { path: "manifests/a.yaml", text: `${manifest(NONE)}---\n${manifest(HASH)}` },
    ],
  },
  spec("depends-on-unknown", `${HASH}\ndependsOn: [customers, orderz]`),
  cycle("depends-on-itself", { orders: "orders" }),
  cycle("depends-on-cycle", {
    carts: "orders",
    orders: "customers",
    customers: "carts",
    other: "carts",
  }),
  cycle("depends-on-two-cycles", {
    carts: "orders, customers",
    orders: "carts",
    customers: "carts",
  }),
  spec("depends-on-repeated", `${HASH}\ndependsOn: [orders-archive, orders-archive]`),
  {
    name: "depends-on-cycle-in-environment",
    files: [
      { path: "manifests/a.yaml", text: manifest(`${HASH}\ndependsOn: [b]`, "a") },
      {
        path: "manifests/b.yaml",
        text: manifest(`${HASH}\nenvironments:\n  staging: { dependsOn: [a] }`, "b"),
      },
    ],
  },
  // Environments
  spec(
    "environment-invalid-values",
    `${HASH}\nenvironments:\n  staging: { count: 0, stratgy: none }\n  "a b": {}`,
  ),
  spec(
    "environment-does-not-fit",
    `${RANGE}\nsplitPoints: [10, 20]\nenvironments:\n  staging: { count: 2 }\n  test: { splitPoints: [5] }\n  dev: { strategy: custom }`,
  ),
  spec(
    "environment-removes-required",
    `${HASH}\nenvironments:\n  staging: { shardKey: null }\n  test: { object: null }`,
  ),
  spec(
    "environment-repeats-base-error",
    `${HASH}\nsplitPoints: [1]\nenvironments:\n  staging: { count: 2 }`,
  ),
  bad("environment-unknown", manifest(`${HASH}\nenvironments:\n  stagin: { count: 2 }`), {
    knownEnvironments: ["production", "staging"],
  }),
  // Several at once
  bad(
    "many-errors",
    `apiVersion: shardctl.dev/v1
kind: Namespace
metadata:
  name: orders-shard-1
  label: { team: checkout }
spec:
  object: 12
  strategy: hash
  shardKey: id
  splitPoints: [1, 2]
  count: 0
  policy: { maxSkew: 0.5, suspended: true }
---
apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: events }
spec: { object: EVENTS, strategy: range, shardKey: id, count: 3, splitPoints: [2, 1] }
`,
  ),
  bad("crlf", manifest(HASH.replace("4", "0")).replaceAll("\n", "\r\n")),
  bad("byte-order-mark", `\uFEFF${manifest(HASH).replace("apiVersion", "apiversion")}`),
  bad("terminal-escape", manifest(HASH.replace("hash", '"\\e[2J\\u202Ehash"'))),
];
