/**
 * Counts how often each call to all members may have met each row. Pure.
 *
 * | the call                        | may run once | may run twice |
 * |---------------------------------|--------------|---------------|
 * | was acknowledged                | exactly once | at least once |
 * | failed, or was cut off          | at most once | any number    |
 * | was refused: nothing has run    | never        | any number    |
 * | never left: nobody listened     | never        | never         |
 */
import { TALLIED_IDS } from "./accounts.ts";

export type Outcome = "acknowledged" | "unknown" | "refused" | "unsent";

export interface FanOut {
  readonly outcome: Outcome;
  readonly mayRunTwice: boolean;
  /** The message that it failed with; null when it was acknowledged. */
  readonly message: string | null;
}

/** An object's tallies: the account, and the numbers of the calls that have met it, in order. */
export interface Tallies {
  readonly member: string;
  readonly tallies: readonly (readonly [string, readonly number[]])[];
}

export function checkTallies(
  serving: readonly Tallies[],
  made: ReadonlyMap<number, FanOut>,
): string[] {
  const places = serving.flatMap(({ member, tallies }) =>
    tallies.map(([id, serials]) => ({ member, id, serials })),
  );
  const unknown = places.filter(({ id }) => !TALLIED_IDS.includes(id));
  return [
    ...unknown.map(({ member, id }) => `the tally of ${id} on ${member} was never made`),
    ...TALLIED_IDS.flatMap((id) => {
      const held = places.filter((place) => place.id === id);
      const [first, second] = held;
      if (!first) return [`lost: the tally of ${id}`];
      if (second)
        return [
          `doubled: the tally of ${id} is on ${held.map(({ member }) => member).join(" and ")}`,
        ];
      return checkTally(id, first.serials, made);
    }),
  ];
}

function checkTally(
  id: string,
  serials: readonly number[],
  made: ReadonlyMap<number, FanOut>,
): string[] {
  const times = new Map<number, number>();
  for (const serial of serials) times.set(serial, (times.get(serial) ?? 0) + 1);
  return [
    ...[...times.keys()]
      .filter((serial) => !made.has(serial))
      .map((serial) => `call ${serial} to all has met ${id}, but was never made`),
    ...[...made].flatMap(([serial, call]) => {
      const found = times.get(serial) ?? 0;
      const [least, most] = boundsOf(call);
      if (found >= least && found <= most) return [];
      return [
        `call ${serial} to all (${call.outcome}${call.mayRunTwice ? ", may run twice" : ""}) has met ${id} ${found} times: ${call.message ?? "acknowledged"}`,
      ];
    }),
  ];
}

/** Least and most times. */
function boundsOf({ outcome, mayRunTwice }: FanOut): readonly [number, number] {
  switch (outcome) {
    case "acknowledged":
      return mayRunTwice ? [1, Infinity] : [1, 1];
    case "unknown":
      return mayRunTwice ? [0, Infinity] : [0, 1];
    case "refused":
      return mayRunTwice ? [0, Infinity] : [0, 0];
    case "unsent":
      return [0, 0];
    default:
      return outcome satisfies never;
  }
}
