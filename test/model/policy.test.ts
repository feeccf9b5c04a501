import { describe, expect, it } from "vitest";

import {
  comparePolicies,
  followedPolicy,
  guardPolicy,
  samePolicy,
  stricterPolicy,
  withFloors,
} from "../../src/model/policy.ts";
import { DEFAULT_POLICY, type Policy, type Window } from "../../src/model/spec.ts";
import { areWindowsOpen } from "../../src/runs/windows.ts";
import { applied, spec } from "../support/state.ts";

const NIGHT: Window = { start: "0 2 * * *", durationMs: 3_600_000, timezone: "UTC" };
const NOON: Window = { start: "0 12 * * *", durationMs: 3_600_000, timezone: "UTC" };
const AT_NIGHT = Date.UTC(2026, 2, 2, 2, 30);
const AT_NOON = Date.UTC(2026, 2, 2, 12, 30);

function policy(changes: Partial<Policy>): Policy {
  return { ...DEFAULT_POLICY, ...changes };
}

/** As a manifest without the field. */
const NO_STORAGE_LIMIT = { storageBytesMax: undefined } as unknown as Partial<Policy>;

const FIELDS: readonly (readonly [Partial<Policy>, Partial<Policy>, boolean])[] = [
  [{ maxSkew: 1.5 }, { maxSkew: 3 }, true],
  [{ maxSkew: 3 }, { maxSkew: 1.5 }, false],
  [{ selfHeal: "off" }, { selfHeal: "alert" }, true],
  [{ selfHeal: "alert" }, { selfHeal: "apply" }, true],
  [{ selfHeal: "apply" }, { selfHeal: "off" }, false],
  [{ suspend: true }, { suspend: false }, true],
  [{ suspend: false }, { suspend: true }, false],
  [{ onMissingKey: "reject" }, { onMissingKey: "allow" }, true],
  [{ onMissingKey: "allow" }, { onMissingKey: "reject" }, false],
  [{ windows: [] }, { windows: [NIGHT] }, false],
  [{ windows: [NIGHT] }, { windows: [] }, true],
  [{ windows: [NIGHT] }, { windows: [NIGHT, NOON] }, true],
  [{ windows: [NIGHT] }, { windows: [NOON] }, true],
  [{ windows: [NIGHT, NOON] }, { windows: [NOON] }, false],
  [{ budgetRows: 100 }, { budgetRows: null }, true],
  [{ budgetRows: 100 }, { budgetRows: 101 }, true],
  [{ budgetRows: null }, { budgetRows: 100 }, false],
  [{ rowsPerSecondMax: 100 }, { rowsPerSecondMax: null }, true],
  [{ rowsPerSecondMax: null }, { rowsPerSecondMax: 100 }, false],
  [{ retainHours: 24 }, { retainHours: 0 }, true],
  [{ retainHours: 0 }, { retainHours: 24 }, false],
  [{}, { storageBytesMax: 50_000_000 }, false],
  [{ storageBytesMax: 50_000_000 }, NO_STORAGE_LIMIT, true],
  [{ storageBytesMax: 50_000_000 }, { storageBytesMax: 60_000_000 }, true],
  [{ maxFill: 0.7 }, { maxFill: 0.9 }, true],
  [{ maxFill: 0.9 }, { maxFill: 0.7 }, false],
];

describe("a change of policy", () => {
  it.each(FIELDS)("from %j to %j loosens: %s", (from, to, loosens) => {
    const [change] = comparePolicies([spec("orders", { policy: to })], applied({ orders: from }));
    const [field] = Object.keys(to);
    expect(change?.fields).toEqual([
      {
        field,
        from: policy(from)[field as keyof Policy],
        to: policy(to)[field as keyof Policy],
        loosens,
      },
    ]);
  });

  it.each(FIELDS.filter(([, to]) => to.windows === undefined))(
    "from %j to %j is guarded by what is stricter",
    (from, to, loosens) => {
      const [before, after] = [policy(from), policy(to)];
      expect(guardPolicy(after, before, {})).toEqual(loosens ? before : after);
    },
  );

  it.each(FIELDS.filter(([, to]) => to.windows !== undefined))(
    "from %j to %j is guarded by both",
    (from, to) => {
      const [before, after] = [policy(from), policy(to)];
      const guarded = guardPolicy(after, before, {});
      for (const at of [AT_NIGHT, AT_NOON])
        expect(areWindowsOpen(guarded, at)).toBe(
          areWindowsOpen(before, at) && areWindowsOpen(after, at),
        );
    },
  );

  it("is none for a default that is only written out, nor for labels or another place", () => {
    const written = spec("orders", { policy: { ...DEFAULT_POLICY }, labels: { team: "other" } });
    for (const known of [new Map(), applied({ orders: {} })])
      expect(comparePolicies([written], known)).toEqual([]);
  });

  it("of a namespace that never had one is shown where it is not the default", () => {
    const specs = [spec("plain"), spec("new", { policy: { selfHeal: "apply" } })];
    expect(comparePolicies(specs, new Map())).toMatchObject([
      {
        namespace: "new",
        isNew: true,
        revision: 0,
        fields: [{ field: "selfHeal", from: "alert", to: "apply" }],
      },
    ]);
  });

  it("lists all that differs, each namespace by itself, sorted", () => {
    const specs = [
      spec("b", { policy: { suspend: true, retainHours: 0 } }),
      spec("a", { policy: { maxSkew: 2 } }),
      spec("same", { policy: { maxSkew: 2 } }),
    ];
    const changes = comparePolicies(specs, applied({ same: { maxSkew: 2 }, gone: { maxSkew: 9 } }));
    expect(
      changes.map(({ namespace, fields }) => [namespace, fields.map(({ field }) => field)]),
    ).toEqual([
      ["a", ["maxSkew"]],
      ["b", ["suspend", "retainHours"]],
    ]);
  });
});

describe("what is followed before a change was applied", () => {
  it("heals by the stricter word, and rebalances by the applied limit alone", () => {
    const before = policy({ selfHeal: "apply", maxSkew: 2 });
    expect(followedPolicy(policy({ selfHeal: "off", maxSkew: 1.01 }), before, {})).toMatchObject({
      selfHeal: "off",
      maxSkew: 2,
    });
    expect(followedPolicy(policy({ selfHeal: "apply" }), policy({}), {}).selfHeal).toBe("alert");
  });

  it("heals nothing where none was ever applied, and is otherwise as declared", () => {
    const declared = policy({ selfHeal: "apply", budgetRows: 7, maxSkew: 4, windows: [NIGHT] });
    expect(followedPolicy(declared, null, {})).toEqual({ ...declared, selfHeal: "alert" });
  });
});

describe("the owner's floors", () => {
  it("hold over what is looser, and leave alone what is stricter", () => {
    const floors = { maxSkew: 2, budgetRows: 100, selfHeal: "alert", retainHours: 12 } as const;
    expect(
      withFloors(
        policy({ maxSkew: 5, budgetRows: null, selfHeal: "apply", retainHours: 0 }),
        floors,
      ),
    ).toMatchObject({ maxSkew: 2, budgetRows: 100, selfHeal: "alert", retainHours: 12 });
    const strict = policy({ maxSkew: 1.2, budgetRows: 5, selfHeal: "off", retainHours: 48 });
    expect(withFloors(strict, floors)).toEqual(strict);
  });

  it("of windows let changes start where a manifest's are open, too", () => {
    const held = withFloors(policy({ windows: [NIGHT, NOON] }), { windows: [NOON] });
    expect([AT_NIGHT, AT_NOON].map((at) => areWindowsOpen(held, at))).toEqual([false, true]);
    const unsaid = withFloors(policy({}), { windows: [NOON] });
    expect([AT_NIGHT, AT_NOON].map((at) => areWindowsOpen(unsaid, at))).toEqual([false, true]);
  });

  it("are the same in any order", () => {
    const [one, two] = [policy({ maxSkew: 3, budgetRows: 9 }), policy({ suspend: true })];
    expect(stricterPolicy(one, two)).toEqual(stricterPolicy(two, one));
  });
});

describe("a policy that was stored before it had maxFill", () => {
  it("is the one with its default", () => {
    const named = { ...DEFAULT_POLICY, maxFill: 0.7 };
    expect(samePolicy(DEFAULT_POLICY, named)).toBe(true);
    expect(comparePolicies([spec("orders", { policy: named })], applied({ orders: {} }))).toEqual(
      [],
    );
    expect(withFloors(DEFAULT_POLICY, { maxFill: 0.9 }).maxFill).toBe(0.7);
    expect(withFloors(DEFAULT_POLICY, { maxFill: 0.5 }).maxFill).toBe(0.5);
    expect(stricterPolicy(DEFAULT_POLICY, DEFAULT_POLICY)).toEqual(DEFAULT_POLICY);
  });
});
