// The list of what is searched: the specified protocols in each situation, which must have no
// violation, and the weakened variants, each of which must have one. `npm run model` and the tests
// run the same list.
import {
  FAN_OUT_SITUATIONS,
  FAN_OUT_VARIANTS,
  type FanOutSituation,
  type FanOutVariant,
  fanOutModel,
} from "./fan-out.ts";
import {
  FENCE_SITUATIONS,
  FENCE_VARIANTS,
  type FenceSituation,
  type FenceVariant,
  fenceModel,
} from "./fence.ts";
import type { Rule } from "./rules.ts";
import { search, type SearchResult } from "./search.ts";
import { shiftModel } from "./shift.ts";
import { SCENARIOS, type Scenario, type ScenarioName } from "./shift-scenarios.ts";
import { settingOf, SHIFT_VARIANTS, type ShiftVariant, variantOf } from "./shift-variants.ts";
import { SWAP_BOUNDS, SWAP_VARIANTS, type SwapVariant, swapModel } from "./swap.ts";

/** About 150 bytes a state: 3 GB. */
const STATES_MAX = 20_000_000;
export const PROTOCOLS = ["swap", "shift", "fence", "fan-out"] as const;
type Protocol = (typeof PROTOCOLS)[number];

export interface Specification {
  readonly protocol: Protocol;
  readonly name: string;
  readonly says: string;
  /**
   * `full` takes up to two minutes; `quick` up to a second, and then also looks for states that can
   * never end.
   */
  readonly run: (size: "full" | "quick") => SearchResult;
}

export interface WeakenedVariant {
  readonly protocol: Protocol;
  readonly name: string;
  readonly rule: Rule;
  readonly says: string;
  readonly run: () => SearchResult;
}

export function listSpecifications(): Specification[] {
  const swap: Specification = {
    protocol: "swap",
    name: "swap",
    says: "x moves from a source that leaves to a target that is new; may be cancelled before the cutover",
    run: (size) => search(swapModel(SWAP_BOUNDS[size]), STATES_MAX, size === "quick"),
  };
  const shift = (Object.keys(SCENARIOS) as ScenarioName[]).map((name): Specification => {
    const scenario: Scenario = SCENARIOS[name];
    return {
      protocol: "shift",
      name,
      says: scenario.says,
      run: (size) => search(shiftModel(scenario, scenario[size]), STATES_MAX, size === "quick"),
    };
  });
  const fence = (Object.keys(FENCE_SITUATIONS) as FenceSituation[]).map((name): Specification => {
    return {
      protocol: "fence",
      name,
      says: FENCE_SITUATIONS[name].says,
      run: () => search(fenceModel(name), STATES_MAX, true),
    };
  });
  const fanOut = (Object.keys(FAN_OUT_SITUATIONS) as FanOutSituation[]).map(
    (name): Specification => ({
      protocol: "fan-out",
      name,
      says: FAN_OUT_SITUATIONS[name].says,
      run: () => search(fanOutModel(name), STATES_MAX, true),
    }),
  );
  return [swap, ...shift, ...fence, ...fanOut];
}

export function listVariants(): WeakenedVariant[] {
  const swap = (Object.keys(SWAP_VARIANTS) as SwapVariant[]).map((name): WeakenedVariant => {
    const { rule, says } = SWAP_VARIANTS[name];
    return {
      protocol: "swap",
      name,
      rule,
      says,
      run: () => search(swapModel(SWAP_BOUNDS.quick, name), STATES_MAX),
    };
  });
  const shift = (Object.keys(SHIFT_VARIANTS) as ShiftVariant[]).map((name): WeakenedVariant => {
    const variant = variantOf(name);
    const { scenario, bounds } = settingOf(name);
    const run = (): SearchResult =>
      search(
        shiftModel(scenario, bounds, name, variant.breaks),
        STATES_MAX,
        variant.breaks === "end",
      );
    return { protocol: "shift", name, rule: variant.rule, says: variant.says, run };
  });
  const fence = (Object.keys(FENCE_VARIANTS) as FenceVariant[]).map((name): WeakenedVariant => {
    const { rule, says, situation } = FENCE_VARIANTS[name];
    return {
      protocol: "fence",
      name,
      rule,
      says,
      run: () => search(fenceModel(situation, name), STATES_MAX, true),
    };
  });
  const fanOut = (Object.keys(FAN_OUT_VARIANTS) as FanOutVariant[]).map((name): WeakenedVariant => {
    const { rule, says, situation } = FAN_OUT_VARIANTS[name];
    return {
      protocol: "fan-out",
      name,
      rule,
      says,
      run: () => search(fanOutModel(situation, name), STATES_MAX),
    };
  });
  return [...swap, ...shift, ...fence, ...fanOut];
}
