/** Policies in a plan: shown, under the fingerprint, and no help to the changes beside them. */
import { describe, expect, it } from "vitest";

import { parseManifests } from "../../src/manifest/index.ts";
import type { Plan } from "../../src/model/plan.ts";
import {
  type AppliedPolicies,
  comparePolicies,
  type PolicyFloors,
} from "../../src/model/policy.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type Policy } from "../../src/model/spec.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { applied, desired, hashOf, liveState, rowsOf, spec, world } from "../support/state.ts";

const WORLDS = [
  world("orders", { rows: rowsOf(3000), layout: hashOf("orders", 8) }),
  world("carts", { rows: rowsOf(3000), layout: hashOf("carts", 8) }),
];

async function plan(
  specs: readonly NamespaceSpec[],
  known: AppliedPolicies = new Map(),
  floors: PolicyFloors = {},
): Promise<Plan> {
  const state = desired(...specs);
  return buildPlan({ desired: state, live: liveState(state, WORLDS), applied: known, floors });
}

function policy(changes: Partial<Policy>): Policy {
  return { ...DEFAULT_POLICY, ...changes };
}

const CARTS = spec("carts");
const orders = (changes: Partial<Policy>, count = 8) => spec("orders", { count, policy: changes });

describe("a plan of a policy alone", () => {
  it.each([
    { selfHeal: "apply" },
    { windows: [{ start: "0 2 * * *", durationMs: 3_600_000, timezone: "UTC" }] },
    { budgetRows: 7 },
    { maxSkew: 3 },
    { retainHours: 0 },
    { suspend: true },
    { onMissingKey: "allow" },
    { rowsPerSecondMax: 9 },
  ] satisfies Partial<Policy>[])("shows %j, and has a fingerprint of its own", async (changes) => {
    const before = await plan([orders({}), CARTS]);
    const after = await plan([orders(changes), CARTS]);
    expect(after.changes).toEqual([]);
    expect(after.policies).toMatchObject([
      { namespace: "orders", fields: [{ field: Object.keys(changes)[0] }] },
    ]);
    expect(after.fingerprint).not.toBe(before.fingerprint);
  });

  it("differs by what it was before, too", async () => {
    const [one, two] = await Promise.all(
      [policy({ budgetRows: 5 }), policy({ budgetRows: 9 })].map((from) =>
        plan([orders({ budgetRows: 7 }), CARTS], applied({ orders: from })),
      ),
    );
    expect(one?.fingerprint).not.toBe(two?.fingerprint);
  });

  it("is empty once it was applied, and as if there had been none", async () => {
    const known = applied({ orders: { selfHeal: "apply" } });
    const after = await plan([orders({ selfHeal: "apply" }), CARTS], known);
    expect(after.policies).toBeUndefined();
    expect(after.fingerprint).toBe((await plan([orders({}), CARTS])).fingerprint);
  });

  it("is not staled by another pull request's, nor by a label", async () => {
    const mine = await plan([orders({ maxSkew: 3 }), CARTS]);
    const theirs = applied({ carts: { suspend: true } });
    const merged = [
      { ...orders({ maxSkew: 3 }), labels: { team: "else" } },
      spec("carts", { policy: { suspend: true } }),
    ];
    expect((await plan(merged, theirs)).fingerprint).toBe(mine.fingerprint);
  });

  it("is that of its environment, with the overrides of a manifest", async () => {
    const text = `apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: orders }
spec:
  object: ORDERS
  strategy: hash
  shardKey: id
  count: 8
  policy: { budget: { rows: 100 }, windows: [{ start: "0 2 * * *", duration: 1h }] }
  environments:
    staging: { policy: { windows: null, selfHeal: apply } }
`;
    const files = [{ path: "manifests/orders.yaml", text }];
    const fieldsIn = (environment: string): readonly string[] => {
      const { desired: state } = parseManifests(files, { environment });
      const before = applied({ orders: { budgetRows: 100 } });
      return comparePolicies(state?.namespaces ?? [], before).flatMap(({ fields }) =>
        fields.map(({ field }) => field),
      );
    };
    expect(fieldsIn("staging")).toEqual(["selfHeal"]);
    expect(fieldsIn("production")).toEqual(["windows"]);
  });

  it("shows the policy of a renamed namespace as a new one", async () => {
    const known = applied({ old: { budgetRows: 5 } });
    const { policies } = await plan([orders({ budgetRows: 9_999 })], known);
    expect(policies).toMatchObject([{ namespace: "orders", isNew: true }]);
  });
});

describe("a guard that a plan loosens", () => {
  it.each([
    ["budget", { budgetRows: 100 }, { budgetRows: 1_000_000 }],
    ["budget", { budgetRows: 100 }, { budgetRows: null }],
    ["suspend", { suspend: true }, { suspend: false }],
  ] as const)("%s counts for it as before, from %j to %j", async (guard, from, to) => {
    const known = applied({ orders: from });
    const blocked = await plan([orders(to, 12), CARTS], known);
    expect(blocked.blocks).toMatchObject([{ guard, namespace: "orders", overridable: true }]);
    expect(blocked.blocks[0]?.message).toContain("does not hold for this plan");
    const later = await plan([orders(to, 12), CARTS], applied({ orders: to }));
    expect(later.blocks).toEqual([]);
    expect(later.fingerprint).not.toBe(blocked.fingerprint);
  });

  it("counts as declared where it is tightened", async () => {
    const known = applied({ orders: { budgetRows: null } });
    const { blocks } = await plan([orders({ budgetRows: 100 }, 12), CARTS], known);
    expect(blocks).toMatchObject([{ guard: "budget" }]);
    expect(blocks[0]?.message).not.toContain("does not hold");
  });

  it("keeps the rows of retired members, and the pace, as before", async () => {
    const known = applied({ orders: { retainHours: 24, rowsPerSecondMax: 50 } });
    const loosened = orders({ retainHours: 0, rowsPerSecondMax: null }, 12);
    const { changes } = await plan([loosened, CARTS], known);
    expect(changes[0]?.policy).toMatchObject({ retainHours: 24, rowsPerSecondMax: 50 });
  });

  it("asks the windows of before and after", async () => {
    const windows = [{ start: "0 2 * * *", durationMs: 3_600_000, timezone: "UTC" }];
    const asked: unknown[] = [];
    const state = desired(orders({}, 12), CARTS);
    await buildPlan({
      desired: state,
      live: liveState(state, WORLDS),
      applied: applied({ orders: { windows } }),
      isWindowOpen: (one) => asked.push(one.policy.windows) > 0,
    });
    expect(asked).toEqual([windows]);
  });

  it("is as declared for a namespace that never had a policy", async () => {
    expect((await plan([orders({ budgetRows: null }, 12), CARTS])).blocks).toEqual([]);
  });
});

describe("the owner's floors", () => {
  it("block what no manifest may allow, whatever was applied, and are told of", async () => {
    const loose = policy({ budgetRows: 1_000_000 });
    const floored = await plan([orders(loose, 12), CARTS], applied({ orders: loose }), {
      budgetRows: 100,
    });
    expect(floored.blocks).toMatchObject([{ guard: "budget", namespace: "orders" }]);
    expect(floored.blocks[0]?.message).toContain("policy.budget.rows is 100");
    expect(floored.notices).toMatchObject([
      { kind: "floors", namespace: "orders", message: expect.stringContaining("budget.rows") },
    ]);
  });

  it("are no change of a policy, and not told of where a manifest says nothing", async () => {
    const floored = await plan([orders({}), CARTS], new Map(), { maxSkew: 1.2, retainHours: 48 });
    expect(floored.policies).toBeUndefined();
    expect(floored.notices).toEqual([]);
  });
});
