import { describe, expect, it } from "vitest";

import { comparePolicies, type PolicyChange } from "../../src/model/policy.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type Policy } from "../../src/model/spec.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { PlanBook } from "../../src/runs/plan-book.ts";
import { appliedPolicies, PolicyStore } from "../../src/runs/policy-store.ts";
import { CoordinatorStore } from "../../src/runs/store.ts";
import { openNodeSql } from "../support/node-sql.ts";
import { desired, hashOf, liveState, rowsOf, spec, world } from "../support/state.ts";

function policy(changes: Partial<Policy>): Policy {
  return { ...DEFAULT_POLICY, ...changes };
}

/** The change of what is applied now. */
function changeOf(store: PolicyStore, to: Partial<Policy>): PolicyChange[] {
  return comparePolicies(
    [spec("orders", { policy: to })],
    appliedPolicies(store.list("production")),
  );
}

describe("applied policies", () => {
  it("are those of an environment and a namespace, and take their turn", () => {
    const store = new PolicyStore(openNodeSql());
    const first = changeOf(store, { maxSkew: 3 });
    expect(store.apply("production", first)).toEqual(first);
    expect(store.read("production", "orders")?.policy).toMatchObject({ maxSkew: 3 });
    expect(store.read("staging", "orders")).toBeNull();
    expect(store.read("production", "carts")).toBeNull();
    expect(store.apply("production", changeOf(store, {}))).toHaveLength(1);
    expect(store.list("production")).toEqual([["orders", null, 2]]);
  });

  it("are not replaced by a change of another one", () => {
    const store = new PolicyStore(openNodeSql());
    const late = changeOf(store, { suspend: true });
    store.apply("production", changeOf(store, { maxSkew: 3 }));
    store.apply("production", changeOf(store, {}));
    store.apply("production", changeOf(store, { maxSkew: 3 }));
    expect(store.findStale("production", late)).toEqual(late);
    expect(store.apply("production", late)).toEqual([]);
    expect(store.read("production", "orders")?.policy).toMatchObject({
      suspend: false,
      maxSkew: 3,
    });
  });

  it("are to be followed until they were taken", () => {
    const store = new PolicyStore(openNodeSql());
    store.apply("production", changeOf(store, { maxSkew: 3 }));
    store.noteDefault("production", "orders");
    store.noteDefault("production", "carts");
    expect(store.changed("production")).toEqual(["orders"]);
    store.takeChanged("production", ["orders"]);
    expect(store.changed("production")).toEqual([]);
    expect(store.read("production", "orders")?.policy).toMatchObject({ maxSkew: 3 });
  });

  it("begin with the default again once they are forgotten, and no old review of them counts", () => {
    const store = new PolicyStore(openNodeSql());
    const old = changeOf(store, { selfHeal: "apply" });
    store.apply("production", old);
    store.forget("production", "orders");
    expect(store.list("production")).toEqual([["orders", null, 2]]);
    expect(store.apply("production", old)).toEqual([]);
    expect(changeOf(store, { selfHeal: "apply" })).toMatchObject([{ revision: 2 }]);
  });

  it("are never applied from a review that was passed over, however often", () => {
    const store = new PolicyStore(openNodeSql());
    const old = changeOf(store, { selfHeal: "apply" });
    for (let times = 0; times < 2; times++) store.passOver("production", old);
    store.noteDefault("production", "orders");
    expect(store.apply("production", old)).toEqual([]);
    expect(store.list("production")).toEqual([["orders", null, 1]]);
  });

  it("of a Worker that followed manifests before are what it followed", () => {
    const sql = openNodeSql();
    sql.exec(
      "CREATE TABLE reconciledNames (environment TEXT, name TEXT, specDigest TEXT, body TEXT NOT NULL)",
    );
    const state = JSON.stringify({ spec: spec("orders", { policy: { selfHeal: "apply" } }) });
    sql.exec("INSERT INTO reconciledNames VALUES ('production', 'orders', 'd', ?)", state);
    sql.exec("INSERT INTO reconciledNames VALUES ('production', 'stray', NULL, ?)", "{}");
    const store = new PolicyStore(sql);
    expect(store.list("production")).toEqual([["orders", policy({ selfHeal: "apply" }), 0]]);
    store.recheck();
    expect(store.changed("production")).toEqual(["orders"]);
    // Once: what is followed later was reviewed, or is not applied.
    sql.exec("INSERT INTO reconciledNames VALUES ('production', 'later', 'd', ?)", state);
    expect(new PolicyStore(sql).read("production", "later")).toBeNull();
  });
});

describe("the specs that guards judge a stored plan by", () => {
  async function guarded(
    before: Partial<Policy>,
    declared: Partial<Policy>,
    then: (store: PolicyStore, specs: readonly NamespaceSpec[]) => void = () => undefined,
    floors = {},
  ): Promise<Policy | undefined> {
    const sql = openNodeSql();
    const policies = new PolicyStore(sql);
    policies.apply("production", changeOf(policies, before));
    const storage = {
      sql,
      transactionSync: <Value>(write: () => Value): Value => write(),
    } as unknown as DurableObjectStorage;
    const book = new PlanBook({
      followed: () => null,
      followedAt: () => null,
      storage,
      store: new CoordinatorStore(sql),
      policies,
      floors: () => floors,
      keptPlans: () => [],
      declared: () => [],
      onPlan: () => undefined,
      onStored: () => undefined,
    });
    const state = desired(spec("orders", { count: 12, policy: declared }));
    const worlds = [world("orders", { rows: rowsOf(3000), layout: hashOf("orders", 8) })];
    const live = liveState(state, worlds);
    const applied = appliedPolicies(policies.list("production"));
    const plan = await buildPlan({ desired: state, live, applied });
    book.putOwn(plan, state, "ada");
    then(policies, state.namespaces);
    return book.readGuarded(plan.fingerprint)?.[0]?.policy;
  }

  it("keep what the plan loosens as it was, also once it was applied", async () => {
    expect(await guarded({ budgetRows: 100 }, { budgetRows: 9000 })).toMatchObject({
      budgetRows: 100,
    });
    const after = await guarded({ budgetRows: 100 }, { budgetRows: 9000 }, (policies, specs) => {
      policies.apply(
        "production",
        comparePolicies(specs, appliedPolicies(policies.list("production"))),
      );
      expect(policies.read("production", "orders")?.policy).toMatchObject({ budgetRows: 9000 });
    });
    expect(after).toMatchObject({ budgetRows: 100 });
  });

  it("are as strict as what was applied since, and as the owner says now", async () => {
    const tightened = await guarded({}, {}, (policies) =>
      policies.apply("production", changeOf(policies, { suspend: true })),
    );
    expect(tightened).toMatchObject({ suspend: true });
    expect(await guarded({}, {}, undefined, { budgetRows: 7 })).toMatchObject({ budgetRows: 7 });
  });
});
