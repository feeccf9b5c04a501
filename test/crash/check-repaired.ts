/**
 * Checks a namespace's rows once it is repaired: each is live as it must be, or set aside where it
 * stood. Pure.
 */
import type { StrayRows } from "../../src/model/repair.ts";
import type { SetAside } from "./dump.ts";

const ABSENT = "none";

/** Checks the rows that a query over all shards has found: each account with its state. */
export function checkLive(
  rows: readonly (readonly [string, string])[],
  possible: ReadonlyMap<string, readonly string[]>,
): string[] {
  const found = new Map(rows);
  const doubled = rows
    .filter(([id], index) => rows.findIndex(([other]) => other === id) !== index)
    .map(([id]) => id);
  const wrong = [...possible].flatMap(([id, states]) => {
    const state = found.get(id) ?? ABSENT;
    return states.includes(state)
      ? []
      : [`a query finds ${id} as "${state}", expected "${states.join(" | ")}"`];
  });
  return [
    ...[...new Set(doubled)].map((id) => `a query finds ${id} twice`),
    ...[...found.keys()]
      .filter((id) => !possible.has(id))
      .map((id) => `a query finds ${id}, which must not be live`),
    ...wrong,
  ];
}

/**
 * Rows set aside, by object: exactly these, and the repairs have counted them, where all of their
 * answers are known.
 */
export function checkAside(
  found: ReadonlyMap<string, readonly SetAside[]>,
  expected: ReadonlyMap<string, readonly SetAside[]>,
  counted: readonly StrayRows[] | null,
): string[] {
  return [...new Set([...found.keys(), ...expected.keys()])].flatMap((member) => {
    const [are, must] = [found, expected].map(
      (rows) => new Set((rows.get(member) ?? []).map(([id, state]) => `${id} "${state}"`)),
    );
    const has = found.get(member) ?? [];
    const count = (counted ?? [])
      .filter((stray) => stray.member === member && stray.table === "accounts")
      .reduce((sum, { rows }) => sum + rows, 0);
    return [
      ...[...(must ?? [])]
        .filter((row) => are?.has(row) !== true)
        .map((row) => `${member} must have set aside ${row}`),
      ...[...(are ?? [])]
        .filter((row) => must?.has(row) !== true)
        .map((row) => `${member} has set aside ${row}, which nobody expected`),
      ...(counted === null || count === has.length
        ? []
        : [`${member} has set aside ${has.length} accounts, its repairs have counted ${count}`]),
    ];
  });
}
