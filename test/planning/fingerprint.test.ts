import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { canonicalJson, sha256Hex } from "../../src/model/canonical.ts";
import { type FingerprintInput, fingerprintPlan } from "../../src/planning/fingerprint.ts";
import type { Guard } from "../../src/model/plan.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import { planOf } from "../support/check-plan.ts";
import { desired, hashOf, rowsOf, spec, world } from "../support/state.ts";

const specs = [spec("carts", { strategy: "none" }), spec("orders"), spec("users", { count: 3 })];
const base: FingerprintInput = {
  desired: desired(...specs),
  epochs: new Map([
    ["carts", 1],
    ["orders", 3],
    ["users", 2],
  ]),
  changes: [
    {
      kind: "rebalance",
      namespace: "orders",
      object: "ORDERS",
      from: hashOf("orders", 4),
      to: hashOf("orders", 8),
    },
  ],
  blocks: [],
};

function blockedBy(guard: Guard, namespace: string | null): FingerprintInput {
  return { ...base, blocks: [{ guard, namespace }] };
}

function withSpec(changes: Partial<NamespaceSpec>): FingerprintInput {
  return {
    ...base,
    desired: desired(...specs.map((one) => (one.name === "orders" ? { ...one, ...changes } : one))),
  };
}

describe("the fingerprint stays the same", () => {
  const kept: [string, FingerprintInput][] = [
    [
      "when a manifest moves to another file and line",
      withSpec({ source: { file: "other.yaml", line: 99, column: 1 } }),
    ],
    ["when labels change", withSpec({ labels: { team: "search" } })],
    ["when the commit changes", { ...base, desired: { ...base.desired, commit: null } }],
    [
      "when namespaces are listed in another order",
      { ...base, desired: { ...base.desired, namespaces: base.desired.namespaces.toReversed() } },
    ],
    [
      "when a namespace that is in sync has another epoch",
      { ...base, epochs: new Map([...base.epochs, ["carts", 2]]) },
    ],
    [
      "when a namespace that is in sync can no longer be read",
      { ...base, epochs: new Map([...base.epochs, ["users", null]]) },
    ],
    [
      "when a namespace that is in sync is no longer declared",
      { ...base, desired: desired(...specs.slice(1)) },
    ],
    ...(
      [
        "unreadable",
        "outOfStep",
        "operationRunning",
        "unhealthyMember",
        "window",
        "suspend",
      ] as const
    ).map((guard): [string, FingerprintInput] => [
      `when ${guard} says "not now"`,
      blockedBy(guard, "orders"),
    ]),
    [
      "when a guard is against a namespace that the change does not touch",
      blockedBy("unsupported", "users"),
    ],
    [
      "after a trip through JSON with fields in another order",
      { ...base, desired: JSON.parse(canonicalJson(base.desired)) },
    ],
  ];
  it.each(kept)("%s", async (_name, input) => {
    expect(await fingerprintPlan(input)).toBe(await fingerprintPlan(base));
  });

  it("whatever the counts, as long as the decisions are the same", async () => {
    const wanted = desired(spec("orders", { count: 12, policy: { maxSkew: 9 } }));
    const first = await planOf(wanted, [
      world("orders", { rows: rowsOf(10), layout: hashOf("orders", 8) }),
    ]);
    await fc.assert(
      fc.asyncProperty(fc.nat(200), async (count) => {
        const plan = await planOf(wanted, [
          world("orders", { rows: rowsOf(count, "x"), layout: hashOf("orders", 8) }),
        ]);
        expect(plan.fingerprint).toBe(first.fingerprint);
      }),
      { numRuns: 20 },
    );
  });
});

describe("the fingerprint changes", () => {
  const [change] = base.changes;
  const changed: [string, FingerprintInput][] = [
    ["with the environment", { ...base, desired: { ...base.desired, environment: "staging" } }],
    [
      "with the epoch of a namespace that changes",
      { ...base, epochs: new Map([...base.epochs, ["orders", 4]]) },
    ],
    ["with the strategy", withSpec({ strategy: "range" })],
    ["with the key", withSpec({ shardKey: "tenant" })],
    ["with the count", withSpec({ count: 9 })],
    ["with the split points", withSpec({ splitPoints: [{ type: "integer", text: "1" }] })],
    ["with the object", withSpec({ object: "OTHER" })],
    ["with the dependencies", withSpec({ dependsOn: ["carts"] })],
    ["with the policy", withSpec({ policy: { ...spec("orders").policy, budgetRows: 1 } })],
    [
      "with the target layout",
      { ...base, changes: change ? [{ ...change, to: hashOf("orders", 7) }] : [] },
    ],
    [
      "with the live layout",
      { ...base, changes: change ? [{ ...change, from: hashOf("orders", 3) }] : [] },
    ],
    ["with the kind of change", { ...base, changes: change ? [{ ...change, kind: "rekey" }] : [] }],
    ...(["targetTooLarge", "tooLargeToUnshard", "missingKey", "skew", "budget"] as const).map(
      (guard): [string, FingerprintInput] => [
        `when ${guard} says "not so"`,
        blockedBy(guard, "orders"),
      ],
    ),
    ["when the whole is too much at once", blockedBy("bulkChange", null)],
    ["without the change", { ...base, changes: [] }],
  ];
  it.each(changed)("%s", async (_name, input) => {
    expect(await fingerprintPlan(input)).not.toBe(await fingerprintPlan(base));
  });
});

it("is SHA-256 in lower-case hex, and never changes between releases", async () => {
  expect(await sha256Hex("abc")).toBe(
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  expect(canonicalJson({ b: [1, { d: undefined, c: "ü" }], a: null })).toBe(
    '{"a":null,"b":[1,{"c":"ü"}]}',
  );
  await expect(await fingerprintPlan(base)).toMatchFileSnapshot("../golden/plan/fingerprint.txt");
});
