/** Lists of namespaces for a token that holds for as many as there may be. */
import { expect, it } from "vitest";

import type { VisibleThere } from "../../src/model/token-scope.ts";
import { NamesQuery } from "../../src/page/names-query.ts";
import { newNamespaceState } from "../../src/reconcile/namespace-state.ts";
import { ReconcileDocuments, StateStore } from "../../src/reconcile/state-store.ts";
import { CoordinatorStore } from "../../src/runs/store.ts";
import { openNodeSql } from "../support/node-sql.ts";

const ENVIRONMENT = "production";
const NAMES = 50_000;
const nameOf = (index: number): string => `many-${index}`.padEnd(60, "ü");

it("limits every list and count to them, by name and by binding", () => {
  const sql = openNodeSql();
  const store = new CoordinatorStore(sql);
  const states = new StateStore(sql, new ReconcileDocuments(sql), ENVIRONMENT);
  const query = new NamesQuery(sql);
  const ref = (name: string, object = "ORDERS") => ({ name, object });
  const looked = [ref(nameOf(0)), ref(nameOf(1), "OTHER"), ref("own", "ANY"), ref("stranger")];
  states.write(looked.map((one) => newNamespaceState(one, 0)));
  store.rememberNamespaces(ENVIRONMENT, [ref(nameOf(NAMES - 1)), ref("unseen")]);
  const refs = Array.from({ length: NAMES }, (_, index) => ref(nameOf(index)));
  const namesFor = (names: VisibleThere | null): string[] =>
    query
      .list({ environment: ENVIRONMENT, search: "", state: null, names }, 0, 50)
      .map(({ name }) => name);
  const countFor = (names: VisibleThere | null): number[] => [
    query.count({ environment: ENVIRONMENT, search: "", state: null, names }),
    Object.values(query.counts(ENVIRONMENT, names)).reduce((sum, count) => sum + count, 0),
  ];
  const many = { names: ["own"], refs };
  expect(namesFor(many)).toEqual([nameOf(0), "own", nameOf(NAMES - 1)]);
  expect(countFor(many)).toEqual([3, 3]);
  const byName = { names: refs.map(({ name }) => name), refs: [] };
  expect(namesFor(byName)).toEqual([nameOf(0), nameOf(1), nameOf(NAMES - 1)]);
  expect(countFor({ names: [], refs: [] })).toEqual([0, 0]);
  expect(countFor(null)).toEqual([6, 6]);
  expect(query.drifting(ENVIRONMENT, 10, many)).toEqual([]);
  expect(query.countDrifting(ENVIRONMENT, many)).toBe(0);
});
