import { describe, expect, it } from "vitest";
import { listSpecifications, listVariants } from "./checks.ts";
import { RULES } from "./rules.ts";
import { type Model, search, STUCK } from "./search.ts";
import { dropInertMessages } from "./shift-inert.ts";
import { type Bounds, SCENARIOS, type ScenarioName } from "./shift-scenarios.ts";
import type { State } from "./shift-state.ts";
import { settingOf, SHIFT_VARIANTS, type ShiftVariant } from "./shift-variants.ts";
import { shiftModel } from "./shift.ts";

describe("the specified protocols", { timeout: 60_000 }, () => {
  it.each(listSpecifications())("$protocol $name has no violation, and can end from every state", ({ run }) => {
    const { violation, complete, ended } = run("quick");
    expect(violation).toBeUndefined();
    expect(complete).toBe(true);
    expect(ended).toBeGreaterThan(0);
  });
});

describe("weakened variants", { timeout: 60_000 }, () => {
  it.each(listVariants())("$protocol $name, without [$rule], is caught", ({ run }) => {
    const { violation } = run();
    expect(violation?.trace.length).toBeGreaterThan(3);
  });

  it("show nothing when their rule is in force, in the same bounds", () => {
    const settings = (Object.keys(SHIFT_VARIANTS) as ShiftVariant[]).map(settingOf);
    const different = new Map(settings.map((setting) => [JSON.stringify(setting), setting]));
    for (const { scenario, bounds } of different.values()) {
      const { violation, complete } = search(shiftModel(scenario, bounds), Number.POSITIVE_INFINITY, true);
      expect({ violation, complete }).toEqual({ violation: undefined, complete: true });
    }
  });

  it("leave out every rule at least once", () => {
    const left = new Set<string>(listVariants().map(({ rule }) => rule));
    expect(Object.keys(RULES).filter((rule) => !left.has(rule))).toEqual([]);
  });
});

describe("leaving out inert messages", { timeout: 60_000 }, () => {
  const states = (name: ScenarioName, bounds: Partial<Bounds>, all: boolean): Set<string> => {
    const model = shiftModel(SCENARIOS[name], { ...SCENARIOS[name].quick, ...bounds }, undefined, undefined, all);
    const found = new Set<string>();
    const keep = (state: State): undefined => {
      const reduced = state.slice();
      dropInertMessages(model.world, reduced);
      found.add(reduced.join());
      return model.violation(state) === undefined ? undefined : expect.fail("the specified protocol has a violation");
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
  it.each(cases)("reaches in $name just what is reached with them", ({ name, bounds }) => {
    const reduced = states(name, bounds, false);
    const missing = [...states(name, bounds, true)].filter((state) => !reduced.has(state));
    expect(missing).toEqual([]);
  });
});

describe("search", { timeout: 60_000 }, () => {
  /** Counts from 0 by 1 or 3 up to `max`; `bad` is a violation, and odd numbers above `trapAbove` lead nowhere. */
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
    expect(search(counter(100, 90, Infinity), 50)).toMatchObject({ complete: false, violation: undefined });
  });

  it("finds a state that can never end", () => {
    expect(search(counter(100, -1, 50), Infinity, true).violation).toMatchObject({ what: STUCK });
    expect(search(counter(100, -1, Infinity), Infinity, true).violation).toBeUndefined();
  });
});
