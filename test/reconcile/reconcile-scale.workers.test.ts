/**
 * Reconciliation of many namespaces of 8 shards on the real engine: 200 in a long run. Counts what
 * each pass asks, where it is asked.
 */
import { expect, it } from "vitest";

import { journal } from "../support/control-worker.ts";
import {
  applyReal,
  askRoot,
  declareReal,
  endOfOperation,
  realObject,
  rebalanceByHand,
  reconcileReal,
  setTurns,
} from "../support/real-namespaces.ts";
import { size } from "../support/sample.ts";
import { hashOf } from "../support/state.ts";

const ENVIRONMENT = "scale";
const SHARDS = 8;
const NAMES = Array.from(
  { length: size(200, 12) },
  (_, index) => `scale-${String(index).padStart(3, "0")}`,
);
const CHANGED = [NAMES[1], NAMES[7], NAMES[10]];
const DRIFTED = "scale-011";

/** A pass, and what it asked. */
async function pass() {
  journal.length = 0;
  const report = await reconcileReal(ENVIRONMENT);
  return { report, asked: journal.toSorted() };
}

/** A look at what has changed counts its rows too, member by member. */
const namespaceOf = (call: string) => call.replace(/^\w+ /, "").replace(/-shard-\d+$/, "");
const describing = (names: readonly string[]) => names.map((name) => `describe ${name}`);

it(`costs what is due and what has changed, with ${NAMES.length} namespaces of ${SHARDS} shards`, async () => {
  await Promise.all(
    NAMES.map((name) => realObject(name).putMany([{ id: "a" }, { id: "b" }, { id: "c" }])),
  );
  const specs = NAMES.map((name) => declareReal(name, SHARDS));
  const run = await applyReal(ENVIRONMENT, specs);
  expect(run.actions.map(({ operation }) => operation?.to.members.length)).toEqual(
    NAMES.map(() => SHARDS),
  );

  // The first pass meets each of them once.
  const first = await pass();
  expect(first.asked).toEqual(describing(NAMES));
  expect(first.report.conditions.map(({ namespace, type }) => `${namespace} ${type}`)).toEqual(
    NAMES.map((name) => `${name} Ready`),
  );
  expect(first.report).toMatchObject({ isComplete: true, drifts: [] });

  // Nothing has changed, and nobody's turn has come.
  const later = Date.now() + 3_600_000;
  await setTurns(ENVIRONMENT, { checkAt: later, auditAt: later });
  const idle = await pass();
  expect(idle.asked).toEqual([]);
  expect(idle.report).toMatchObject({ isComplete: true, drifts: [] });
  expect(idle.report.conditions).toHaveLength(NAMES.length);

  // Three have changed, and nobody else is asked.
  const next = specs.map((spec) =>
    CHANGED.includes(spec.name) ? declareReal(spec.name, SHARDS + 1) : spec,
  );
  expect((await applyReal(ENVIRONMENT, next)).actions.map(({ namespace }) => namespace)).toEqual(
    CHANGED,
  );
  const few = await pass();
  expect([...new Set(few.asked.map(namespaceOf))]).toEqual(CHANGED);

  // One is changed by hand: found when its turn comes, and reported when the next pass agrees.
  const ask = askRoot(realObject(DRIFTED), DRIFTED);
  const { id } = await rebalanceByHand(ask, hashOf(DRIFTED, SHARDS - 1));
  expect(await endOfOperation(ask, id)).toMatchObject({ state: "completed" });
  await setTurns(ENVIRONMENT, { checkAt: 0, auditAt: later });
  const found = await pass();
  expect(found.asked.filter((call) => namespaceOf(call) !== DRIFTED)).toEqual(
    describing(NAMES.filter((name) => name !== DRIFTED)),
  );
  expect(found.report.drifts).toMatchObject([
    { kind: "spec", namespace: DRIFTED, state: "watching" },
  ]);
  expect((await pass()).report.drifts).toMatchObject([
    { kind: "spec", namespace: DRIFTED, state: "open" },
  ]);
}, 600_000);
