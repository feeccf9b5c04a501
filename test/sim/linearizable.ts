/**
 * Is the history of one key linearizable? The search of Wing and Gong (1993), with Lowe's memory of
 * visited configurations.
 *
 * A call whose outcome is not known may take effect at any time after it began, or never. A call
 * whose answer says that it changed nothing is taken as soon as it fits: no other order could do
 * better.
 */
import { type Entry, type ItemState, type Op, describeEntry } from "./history.ts";
import type { InitialRow } from "./scenario.ts";
import type { View } from "./store.ts";

/**
 * Configurations that one key may take: beyond it the history is too entangled to judge, which is
 * reported.
 */
const VISITED_MAX = 200_000;

/** Null when the history fits, else why not. */
export function checkKey(
  key: string,
  initial: ItemState,
  entries: readonly Entry[],
): string | null {
  const ops = entries.toSorted(
    (left, right) => left.invokedAt - right.invokedAt || left.returnedAt - right.returnedAt,
  );
  // Each put whose outcome is not known doubles the configurations. Those that no answer seems to
  // show need never have taken effect: a history that fits without them fits.
  const shown = ops.filter((entry) => entry.returnedAt < Infinity || mayShow(ops, entry));
  if (shown.length < ops.length && fitsHistory(key, initial, shown)) return null;
  if (fitsHistory(key, initial, ops)) return null;
  return [
    `the history of ${key} is not linearizable, starting from ${JSON.stringify(initial)}:`,
    ...ops.map((op) => `    ${describeEntry(op)}`),
  ].join("\n");
}

/** More than all increments between a put and an answer add up to, as a rule. */
const INCREMENTS_MAX = 30;

/** True when some answer has the tag that the put gives, or a number that fits its own. */
function mayShow(ops: readonly Entry[], { op }: Entry): boolean {
  if (op.kind !== "put") return true;
  return ops.some(({ result }) =>
    typeof result === "number"
      ? result > op.n && result <= op.n + INCREMENTS_MAX
      : (result as Partial<View> | null | undefined)?.tag === op.tag,
  );
}

/** @throws Error when the history is too entangled to judge */
function fitsHistory(key: string, initial: ItemState, ops: readonly Entry[]): boolean {
  const visited = new Set<string>();
  const search = (state: ItemState, doneBefore: bigint): boolean => {
    let done = doneBefore;
    let candidates: number[] = [];
    for (let again = true; again;) {
      again = false;
      candidates = candidatesOf(ops, done);
      for (const index of candidates) {
        const entry = ops[index];
        if (!entry || !changedNothing(entry) || !fits(entry, applyOp(state, entry.op).result))
          continue;
        done |= 1n << BigInt(index);
        again = true;
      }
    }
    if (
      ops.every(
        (entry, index) => entry.returnedAt === Infinity || (done & (1n << BigInt(index))) !== 0n,
      )
    )
      return true;
    const configuration = `${done.toString(36)}|${JSON.stringify(state)}`;
    if (visited.has(configuration)) return false;
    if (visited.size >= VISITED_MAX)
      throw new Error(`The history of ${key} is too entangled to judge`);
    visited.add(configuration);
    return candidates.some((index) => {
      const entry = ops[index];
      if (!entry || changedNothing(entry)) return false;
      const after = done | (1n << BigInt(index));
      if (entry.op.kind === "goesBack")
        return [state, ...entry.op.states].some((each) => search(each, after));
      const next = applyOp(state, entry.op);
      const isKnown = entry.returnedAt !== Infinity;
      if (isKnown ? !fits(entry, next.result) : sameState(state, next.state)) return false;
      return search(next.state, after);
    });
  };
  return search(initial, 0n);
}

export function initialState(row: InitialRow | undefined): ItemState {
  if (!row) return null;
  const notes = Array.from({ length: row.notes }, (_, seq) => `${seq}:first`).join(",");
  return { grp: row.grp, n: row.n, tag: row.tag, notes };
}

/** Calls that may come next: begun before every call that is left has returned. */
function candidatesOf(ops: readonly Entry[], done: bigint): number[] {
  const left = ops.flatMap((_, index) => ((done & (1n << BigInt(index))) === 0n ? [index] : []));
  const firstReturn = Math.min(...left.map((index) => ops[index]?.returnedAt ?? Infinity));
  return left.filter((index) => (ops[index]?.invokedAt ?? 0) < firstReturn);
}

/** One call on one item, alone. */
export function applyOp(
  state: ItemState,
  op: Op,
): { readonly state: ItemState; readonly result: unknown } {
  switch (op.kind) {
    case "put":
      return {
        state: { grp: op.grp, n: op.n, tag: op.tag, notes: state?.notes ?? "" },
        result: undefined,
      };
    case "get":
    case "goesBack": // see above
      return { state, result: state };
    case "remove":
      return { state: null, result: state !== null };
    case "increment":
      return state === null
        ? { state, result: null }
        : { state: { ...state, n: state.n + op.by }, result: state.n + op.by };
    case "note":
      return state === null
        ? { state, result: false }
        : { state: { ...state, notes: withNote(state.notes, op.seq, op.body) }, result: true };
    case "regroup":
      return { state: state && { ...state, grp: op.grp }, result: undefined };
  }
}

function withNote(notes: string, seq: number, body: string): string {
  const others = notes.split(",").filter((note) => note !== "" && !note.startsWith(`${seq}:`));
  return [...others, `${seq}:${body}`]
    .toSorted((left, right) => Number.parseInt(left, 10) - Number.parseInt(right, 10))
    .join(",");
}

/**
 * True when the answer itself says so: on any state that gives this answer, the call changes
 * nothing.
 */
function changedNothing({ op, result, returnedAt }: Entry): boolean {
  if (returnedAt === Infinity) return false;
  return op.kind === "get" || result === false || (op.kind === "increment" && result === null);
}

function fits(entry: Entry, result: unknown): boolean {
  if (entry.op.kind !== "get") return (entry.result ?? null) === (result ?? null);
  const seen = entry.result as View | null;
  if (seen === null) return result === null;
  return (
    seen.intact &&
    sameState({ grp: seen.grp, n: seen.n, tag: seen.tag, notes: seen.notes }, result as ItemState)
  );
}

function sameState(left: ItemState, right: ItemState): boolean {
  if (left === null || right === null) return left === right;
  return (
    left.grp === right.grp &&
    left.n === right.n &&
    left.tag === right.tag &&
    left.notes === right.notes
  );
}
