import { describe, expect, it } from "vitest";
import { sample } from "../support/sample.ts";
import { listSpecifications, listVariants } from "./checks.ts";
import { RULES } from "./rules.ts";
import { type Model, search, STUCK } from "./search.ts";
import { dropInertMessages } from "./shift-inert.ts";
import { type Bounds, SCENARIOS, type ScenarioName } from "./shift-scenarios.ts";
import {
  IDLE_CANCELLED,
  IDLE_DONE,
  PROMOTE_SENT,
  RELEASE_SENT,
  type State,
} from "./shift-state.ts";
import { settingOf, SHIFT_VARIANTS, type ShiftVariant } from "./shift-variants.ts";
import type { World } from "./shift-world.ts";
import { shiftModel } from "./shift.ts";

describe("the specified protocols", { timeout: 60_000 }, () => {
  it.each(listSpecifications())(
    "$protocol $name has no violation, and can end from every state",
    ({ run }) => {
      const { violation, complete, ended } = run("quick");
      expect(violation).toBeUndefined();
      expect(complete).toBe(true);
      expect(ended).toBeGreaterThan(0);
    },
  );
});

describe("weakened variants", { timeout: 60_000 }, () => {
  it.each(sample(listVariants(), 30))("$protocol $name, without [$rule], is caught", ({ run }) => {
    const { violation } = run();
    expect(violation?.trace.length).toBeGreaterThan(3);
  });

  it("show nothing when their rule is in force, in the same bounds", () => {
    const settings = (Object.keys(SHIFT_VARIANTS) as ShiftVariant[]).map(settingOf);
    const different = new Map(settings.map((setting) => [JSON.stringify(setting), setting]));
    for (const { scenario, bounds } of different.values()) {
      const { violation, complete } = search(
        shiftModel(scenario, bounds),
        Number.POSITIVE_INFINITY,
        true,
      );
      expect({ violation, complete }).toEqual({ violation: undefined, complete: true });
    }
  });

  it("leave out every rule at least once", () => {
    const left = new Set<string>(listVariants().map(({ rule }) => rule));
    expect(Object.keys(RULES).filter((rule) => !left.has(rule))).toEqual([]);
  });
});

describe("the shift model reaches what it is to prove something of", { timeout: 60_000 }, () => {
  const reaches = (name: ScenarioName, found: (world: World, state: State) => boolean): boolean => {
    const model = shiftModel(SCENARIOS[name], SCENARIOS[name].quick);
    const violation = (state: State): string | undefined =>
      found(model.world, state) ? "found" : undefined;
    return search({ ...model, violation }, Number.POSITIVE_INFINITY).violation !== undefined;
  };

  it("an attempt given up after a promotion, and the operation done by the next one", () => {
    const found = reaches("two", ({ fields }, state) => {
      const isGivenUp =
        fields.sent.has(state, PROMOTE_SENT, 1, 1) && fields.sent.has(state, RELEASE_SENT, 1, 1);
      return isGivenUp && fields.phase.get(state) === IDLE_DONE;
    });
    expect(found).toBe(true);
  });

  it("a target that is full before it has promoted, and the operation cancelled", () => {
    const found = reaches("full", ({ fields }, state) => {
      const isAsked = fields.sent.has(state, PROMOTE_SENT, 1, 1);
      return (
        isAsked && fields.full.get(state, 1) === 1 && fields.phase.get(state) === IDLE_CANCELLED
      );
    });
    expect(found).toBe(true);
  });

  it("a target that is full after it has promoted, and the operation done", () => {
    const found = reaches("full", ({ fields }, state) => {
      return fields.full.get(state, 1) === 1 && fields.phase.get(state) === IDLE_DONE;
    });
    expect(found).toBe(true);
  });

  it("a second operation under way while a member still has the promotion of the first", () => {
    const found = reaches("again", ({ fields }, state) => {
      return (
        fields.operation.get(state) === 2 &&
        fields.promoted.get(state, 1) !== 0 &&
        fields.seen.get(state, 1) === 1
      );
    });
    expect(found).toBe(true);
  });
});

describe("leaving out inert messages", { timeout: 60_000 }, () => {
  const states = (name: ScenarioName, bounds: Partial<Bounds>, all: boolean): Set<string> => {
    const model = shiftModel(
      SCENARIOS[name],
      { ...SCENARIOS[name].quick, ...bounds },
      undefined,
      undefined,
      all,
    );
    const found = new Set<string>();
    const keep = (state: State): undefined => {
      const reduced = state.slice();
      dropInertMessages(model.world, reduced);
      found.add(reduced.join());
      return model.violation(state) === undefined
        ? undefined
        : expect.fail("the specified protocol has a violation");
    };
    search({ ...model, violation: keep }, Number.POSITIVE_INFINITY);
    return found;
  };

  const cases: { name: ScenarioName; bounds: Partial<Bounds> }[] = [
    { name: "waves", bounds: { pages: 1 } },
    { name: "again", bounds: { writes: 0, pages: 1 } },
    { name: "resume", bounds: { attempts: 1 } },
    { name: "back", bounds: { writes: 0, pages: 1 } },
  ];
  it.each(sample(cases, 2))(
    "reaches in $name just what is reached with them",
    ({ name, bounds }) => {
      const reduced = states(name, bounds, false);
      const missing = [...states(name, bounds, true)].filter((state) => !reduced.has(state));
      expect(missing).toEqual([]);
    },
  );
});

describe("search", { timeout: 60_000 }, () => {
  /**
   * Counts from 0 by 1 or 3 up to `max`; `bad` is a violation, and odd numbers above `trapAbove`
   * lead nowhere.
   */
  const counter = (max: number, bad: number, trapAbove: number): Model<number> => ({
    initial: 0,
    widthBytes: 4,
    encode: (state, into) => new DataView(into.buffer).setUint32(0, state),
    decode: (from) => new DataView(from.buffer, from.byteOffset).getUint32(0),
    next: (state, emit) => {
      if (state > trapAbove && state % 2 === 1) return;
      for (const by of [1, 3]) if (state + by <= max) emit(`add ${by}`, 0, state + by);
    },
    violation: (state) => (state === bad ? `reached ${bad}` : undefined),
    ended: (state) => state === max,
    describe: String,
  });

  it("visits every state once, also beyond its first block", () => {
    expect(search(counter(200_000, -1, Infinity), Infinity)).toMatchObject({
      states: 200_001,
      complete: true,
      ended: 1,
      violation: undefined,
    });
  });

  it("finds a shortest trace", () => {
    expect(search(counter(100, 7, Infinity), Infinity).violation).toEqual({
      what: "reached 7",
      trace: ["add 1", "add 3", "add 3"],
    });
  });

  it("stops at the limit and says that it is not complete", () => {
    expect(search(counter(100, 90, Infinity), 50)).toMatchObject({
      complete: false,
      violation: undefined,
    });
  });

  it("finds a state that can never end", () => {
    expect(search(counter(100, -1, 50), Infinity, true).violation).toMatchObject({ what: STUCK });
    expect(search(counter(100, -1, Infinity), Infinity, true).violation).toBeUndefined();
  });
});
