/**
 * Concurrent writers on a namespace of things, and what must be there in the end.
 *
 * Each writer has ids of its own and waits for every answer, so that the last acknowledged write of
 * an id is known. A call that failed without an answer is made again until it is acknowledged.
 * Every thing keeps its country, so that its row keeps its identity.
 */
import { type Router, connect } from "../../../src/shards/router.ts";
import { type ThingInput, completeThing, keyAt } from "../../../src/shards/things/things.ts";
import type { Things } from "../../support/shards-worker.ts";
import type { TestNamespace } from "./namespace.ts";

/** Things of each writer. */
const IDS_MAX = 12;
const TRIES_MAX = 400;
const TRY_PAUSE_MS = 20;
const WRITE_PAUSE_MS = 3;
/** A test that failed before it stopped its writers must not keep them for ever. */
const STEPS_MAX = 10_000;

export interface Writers {
  /** How many writes were acknowledged so far. */
  readonly acknowledged: number;
  /**
   * Ends them, waits for their last answers, and lists every difference between what they wrote and
   * what is there.
   */
  stop(): Promise<string[]>;
}

interface State {
  /** Value by id of the things that must be there. */
  readonly things: Map<string, number>;
  /** Relationships that must be there, as `from verb to`. */
  readonly relationships: Set<string>;
  readonly problems: string[];
  acknowledged: number;
  isStopped: boolean;
}

/**
 * Loads `rows` quiet things, so that there is something to move, then lets `count` writers go on
 * until stopped.
 */
export async function startWriters(
  namespace: TestNamespace<Things>,
  count: number,
  rows = 60,
): Promise<Writers> {
  const state: State = {
    things: new Map(),
    relationships: new Set(),
    problems: [],
    acknowledged: 0,
    isStopped: false,
  };
  const quiet = Array.from({ length: rows }, (_, index) => thing(`quiet-${index}`, index));
  await namespace.stub().putMany(quiet);
  quiet.forEach(({ id }, index) => state.things.set(id, index));
  const working = Array.from({ length: count }, (_, writer) => write(namespace, state, writer));
  return {
    get acknowledged() {
      return state.acknowledged;
    },
    stop: async () => {
      state.isStopped = true;
      await Promise.all(working);
      return [...state.problems, ...(await differences(namespace, state))];
    },
  };
}

function thing(id: string, value: number): ThingInput {
  return {
    id,
    type: "t",
    data: { country: `c${(id.length + id.charCodeAt(id.length - 1)) % 5}`, value },
    createdAt: 1,
    updatedAt: value,
  };
}

async function write(
  namespace: TestNamespace<Things>,
  state: State,
  writer: number,
): Promise<void> {
  const router = connect<Things>(namespace.binding, namespace.name);
  for (let step = 1; !state.isStopped && step < STEPS_MAX; step++) {
    const id = `w${writer}-${(step * 7 + (step >> 3)) % IDS_MAX}`;
    try {
      if (step % 5 === 4) await acknowledge(state, () => remove(namespace, router, id, step));
      else if (step % 5 === 2 && state.things.has(id))
        await acknowledge(state, () => relate(namespace, router, id, step));
      else await acknowledge(state, () => put(namespace, router, id, step));
      expectWritten(state, id, step);
    } catch (error) {
      state.problems.push(
        `writer ${writer} step ${step}: ${error instanceof Error ? error.message : String(error)}`,
      );
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, WRITE_PAUSE_MS));
  }
}

/**
 * Applies an acknowledged step to the expected state. Makes the same decisions as `write`, before
 * the state changes.
 */
function expectWritten(state: State, id: string, step: number): void {
  if (step % 5 === 4) {
    state.things.delete(id);
    for (const relationship of state.relationships)
      if (relationship.startsWith(`${id} `)) state.relationships.delete(relationship);
  } else if (step % 5 === 2 && state.things.has(id)) {
    state.relationships.add(`${id} knows quiet-${step % 9}`);
  } else {
    state.things.set(id, step);
  }
}

/** Calls until there is an answer. */
async function acknowledge(state: State, call: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await call();
      state.acknowledged++;
      return;
    } catch (error) {
      if (tries >= TRIES_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, TRY_PAUSE_MS));
    }
  }
}

/**
 * Every other write goes through the caller's own router, whose layout grows stale; the rest
 * through the root's typed calls.
 */
async function put(
  namespace: TestNamespace<Things>,
  router: Router<Things>,
  id: string,
  step: number,
): Promise<unknown> {
  if (step % 2 === 0) return namespace.stub().put(thing(id, step));
  const whole = completeThing(thing(id, step), step);
  return router.at(keyFor(id), { table: "things", ids: [id] }).putHere([whole]);
}

async function remove(
  namespace: TestNamespace<Things>,
  router: Router<Things>,
  id: string,
  step: number,
): Promise<unknown> {
  return step % 2 === 0 ? namespace.stub().delete(id) : router.call(keyFor(id), "deleteHere", id);
}

async function relate(
  namespace: TestNamespace<Things>,
  router: Router<Things>,
  id: string,
  step: number,
): Promise<unknown> {
  const relationship = { from: id, verb: "knows", to: `quiet-${step % 9}`, data: {}, createdAt: 1 };
  return step % 2 === 0
    ? namespace.stub().relate(relationship)
    : router.call(keyFor(id), "relateHere", relationship);
}

function keyFor(id: string): (path: string | null) => ReturnType<typeof keyAt> {
  return (path) =>
    keyAt(
      {
        name: null,
        visibility: "private",
        createdAt: 1,
        updatedAt: 1,
        type: "t",
        data: {},
        ...thing(id, 1),
      },
      path,
    );
}

async function differences(namespace: TestNamespace<Things>, state: State): Promise<string[]> {
  const { layout } = await namespace.live();
  const found: string[] = [];
  const things: string[] = [];
  const relationships: string[] = [];
  for (const member of layout.members) {
    for (const row of await namespace.sql(
      member,
      "SELECT id, json_extract(data, '$.value') AS value FROM things",
    ))
      things.push(`${row["id"] as string}=${row["value"] as number}`);
    for (const row of await namespace.sql(
      member,
      `SELECT "from" || ' ' || verb || ' ' || "to" AS text FROM relationships`,
    ))
      relationships.push(row["text"] as string);
  }
  found.push(
    ...compare(
      "thing",
      [...state.things].map(([id, value]) => `${id}=${value}`),
      things,
    ),
  );
  found.push(...compare("relationship", [...state.relationships], relationships));
  // By its key, each is found where the router looks for it.
  const router = connect<Things>(namespace.binding, namespace.name);
  for (const [id, value] of state.things) {
    const there = (await router.call(keyFor(id), "getHere", id)) as {
      data: { value: number };
    } | null;
    if (there?.data.value !== value)
      found.push(`the router finds ${id} as ${there?.data.value}, not as ${value}`);
  }
  return found;
}

function compare(what: string, wanted: readonly string[], there: readonly string[]): string[] {
  const twice = there.filter((row, index) => there.indexOf(row) !== index);
  return [
    ...wanted.filter((row) => !there.includes(row)).map((row) => `${what} ${row} is lost`),
    ...there
      .filter((row) => !wanted.includes(row))
      .map((row) => `${what} ${row} should not be there`),
    ...twice.map((row) => `${what} ${row} is there twice`),
  ];
}
