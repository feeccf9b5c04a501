/** Stored plans: what a second one may change of them, and what their runs leave behind. */
import { describe, expect, it } from "vitest";

import type { Run } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import { comparePolicies } from "../../src/model/policy.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type Policy } from "../../src/model/spec.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { type Followed, PlanBook } from "../../src/runs/plan-book.ts";
import { appliedPolicies, PolicyStore } from "../../src/runs/policy-store.ts";
import { createRun } from "../../src/runs/run-record.ts";
import { CoordinatorStore, encodeJson } from "../../src/runs/store.ts";
import { openNodeSql } from "../support/node-sql.ts";
import { desired, hashOf, liveState, rowsOf, spec, world } from "../support/state.ts";

const NOON = Date.UTC(2026, 2, 2, 12);
const ENVIRONMENT = "production";

/** A namespace as it is merged, and when anything was merged last. */
interface Merged extends Followed {
  readonly followedAt: number | null;
}

class Shelf {
  /** Every namespace as it is merged. */
  followed: Merged | null = null;
  /** Questions when anything was merged. */
  asked = 0;
  readonly policies: PolicyStore;
  readonly book: PlanBook;

  constructor() {
    const sql = openNodeSql();
    this.policies = new PolicyStore(sql);
    this.book = new PlanBook({
      storage: {
        sql,
        transactionSync: <Value>(write: () => Value): Value => write(),
      } as unknown as DurableObjectStorage,
      store: new CoordinatorStore(sql),
      policies: this.policies,
      floors: () => ({}),
      keptPlans: () => [],
      declared: () => [],
      followed: () => this.followed,
      followedAt: () => {
        this.asked++;
        return this.followed?.followedAt ?? null;
      },
      onPlan: () => undefined,
      onStored: () => undefined,
    });
  }

  /** The plan of `orders`, which grows from 8 to 12, with this policy. */
  async plan(policy: Partial<Policy>, changes: Partial<NamespaceSpec> = {}): Promise<Plan> {
    const state = desired({ ...spec("orders", { count: 12, policy }), ...changes });
    const worlds = [world("orders", { rows: rowsOf(3000), layout: hashOf("orders", 8) })];
    const applied = appliedPolicies(this.policies.list(ENVIRONMENT));
    const plan = await buildPlan({ desired: state, live: liveState(state, worlds), applied });
    this.book.putOwn(plan, state, "ada");
    return plan;
  }

  /** @param pull null for one that somebody has started by hand. */
  runOf(plan: Plan, pull: number | null = null): Run {
    return createRun(plan, {
      id: "run-1",
      requestedBy: "ci",
      overrides: [],
      origin: pull === null ? null : { pull, commit: null, runUrl: null },
      leaseToken: 1,
      shown: null,
      now: NOON,
    }).run;
  }

  applied(): Policy | undefined {
    return this.policies.read(ENVIRONMENT, "orders")?.policy;
  }
}

describe("the policies of a run that has succeeded", () => {
  const WIDE = { budgetRows: 9_000 };
  /** Merged at that time, with a manifest of `orders` that has changed then or earlier. */
  const merged = (
    policy: Partial<Policy> | null,
    followedAt: number | null,
    declaredAt = followedAt,
  ): Merged => {
    const declared = policy === null ? null : spec("orders", { count: 12, policy });
    return { declared, guarding: declared?.policy ?? null, followedAt, declaredAt };
  };

  async function after(followed: Merged | null, pull: number | null = null): Promise<Policy> {
    const shelf = new Shelf();
    const plan = await shelf.plan(WIDE);
    shelf.followed = followed;
    shelf.book.applyPolicies(shelf.runOf(plan, pull));
    return shelf.applied() ?? DEFAULT_POLICY;
  }

  it("are applied where the manifests still declare them, and without a repository", async () => {
    for (const followed of [null, merged(WIDE, NOON + 60_000)])
      expect(await after(followed)).toMatchObject(WIDE);
  });

  it.each([
    ["taken back", {}],
    ["changed once more", { budgetRows: 50 }],
    ["taken away with the manifest", null],
  ])("are not applied once a later merge has %s", async (_, policy) => {
    expect(await after(merged(policy, NOON + 1))).toEqual(DEFAULT_POLICY);
  });

  it("are not applied once a later merge has dropped the name, of which no row is left", async () => {
    expect(await after(merged(null, NOON + 1, null))).toEqual(DEFAULT_POLICY);
    expect(await after(merged(null, NOON - 1, null))).toMatchObject(WIDE);
  });

  it("are named where they are not applied", async () => {
    const shelf = new Shelf();
    const plan = await shelf.plan(WIDE);
    shelf.followed = merged({}, NOON + 1);
    expect(shelf.book.applyPolicies(shelf.runOf(plan))).toEqual({
      applied: [],
      takenBack: plan.policies,
    });
  });

  it("are applied while nothing that was merged since has been read", async () => {
    // The job of a merge comes before the tick that reads it.
    for (const followedAt of [null, NOON - 60_000, NOON])
      expect(await after(merged({}, followedAt))).toMatchObject(WIDE);
  });

  it("of a run by hand are applied beside a merge that is about something else", async () => {
    for (const declaredAt of [null, NOON - 60_000])
      expect(await after(merged({}, NOON + 1, declaredAt))).toMatchObject(WIDE);
    // That of a pull request was merged: later manifests without it have taken it back.
    expect(await after(merged({}, NOON + 1, NOON - 60_000), 7)).toEqual(DEFAULT_POLICY);
    expect(await after(merged(WIDE, NOON + 1, NOON + 1), 7)).toMatchObject(WIDE);
  });

  it("of other namespaces are applied all the same", async () => {
    const shelf = new Shelf();
    const plan = await shelf.plan(WIDE);
    const carts = comparePolicies([spec("carts", { policy: { maxSkew: 3 } })], new Map());
    const both = { ...plan, policies: [...(plan.policies ?? []), ...carts], fingerprint: "b" };
    shelf.book.putOwn(both, desired(), "ada");
    shelf.followed = merged({ maxSkew: 3 }, NOON + 1);
    shelf.book.applyPolicies(shelf.runOf(both));
    expect(shelf.applied()).toBeUndefined();
    expect(shelf.policies.read(ENVIRONMENT, "carts")?.policy).toMatchObject({ maxSkew: 3 });
    expect(shelf.asked).toBe(1);
  });
});

describe("the state that scoped applies leave declared, without a repository", () => {
  const TAKEN = "f".repeat(64);

  /** Applies the first whole, then the second as a token that holds for `only`. */
  function applied(
    first: readonly NamespaceSpec[],
    second: readonly NamespaceSpec[],
    only: readonly string[],
  ): (readonly [string, string, number])[] {
    const { book } = new Shelf();
    const put = (specs: readonly NamespaceSpec[], fingerprint: string): void => {
      const text = encodeJson(desired(...specs));
      const body = encodeJson(planOf(fingerprint));
      book.put({ fingerprint, environment: ENVIRONMENT, body, desired: text }, [], "ada", "whole");
    };
    put(first, "1");
    put(second, TAKEN);
    book.noteApplied(planOf("1"), { actor: "ada" });
    book.noteApplied(planOf(TAKEN), { actor: "ada", holdsFor: only });
    const newest = book.newestApplied(ENVIRONMENT, null);
    if (newest === null || newest === "unchanged") throw new Error("Nothing was applied");
    return newest.desired.namespaces.map(({ name, object, count }) => [name, object, count]);
  }
  const planOf = (fingerprint: string): Plan => ({ ...EMPTY, fingerprint });
  const EMPTY: Plan = {
    version: 1,
    environment: ENVIRONMENT,
    commit: null,
    changes: [],
    inSync: [],
    blocks: [],
    notices: [],
    fingerprint: "",
  };
  const a = spec("a", { count: 2 });
  const b = spec("b", { count: 2 });

  it("has its own as declared now, and the others as before", () => {
    expect(applied([a, b], [spec("a", { count: 3 })], ["a"])).toEqual([
      ["a", "ORDERS", 3],
      ["b", "ORDERS", 2],
    ]);
  });

  it("has no longer what its caller holds for and declares no more", () => {
    expect(applied([a, b], [], ["a"])).toEqual([["b", "ORDERS", 2]]);
    expect(applied([a, b], [b], ["a"])).toEqual([["b", "ORDERS", 2]]);
  });

  it("has each name once, also behind another binding", () => {
    expect(applied([a, b], [{ ...a, object: "CARTS" }], ["a"])).toEqual([
      ["a", "CARTS", 2],
      ["b", "ORDERS", 2],
    ]);
  });

  it("leaves what its caller does not hold for as it was, whatever it declares of it", () => {
    expect(applied([a, b], [a, { ...b, count: 9 }, spec("c")], ["a"])).toEqual([
      ["a", "ORDERS", 2],
      ["b", "ORDERS", 2],
    ]);
  });
});
