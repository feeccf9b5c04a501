/**
 * Calls to all members that change rows: what ran where, and what their callers were told.
 *
 * | the call               | must have changed                                                        |
 * |------------------------|--------------------------------------------------------------------------|
 * | has succeeded          | every row that was there throughout, once                                |
 * | has failed             | no row twice; where it names members, those members and no others        |
 * | was refused altogether | nothing                                                                  |
 *
 * Each row that a call has met becomes an increment of the history, with the value that the row had
 * afterwards; each one that a successful call has not met an increment that found nothing. The
 * linearizability check does the rest.
 */
import { type History, keyOfView } from "./history.ts";
import type { RanOn, Raised } from "./store.ts";

/** The part of a call that one member has run, once that is durable. */
interface Run {
  readonly member: string;
  readonly at: number;
  /** The epoch that the member acted by. */
  readonly epoch: number;
  readonly rows: readonly Raised[];
}

export type FanOutEnd =
  | { readonly kind: "succeeded"; readonly answers: readonly (readonly Raised[])[] }
  /** `isUnknown`: a message that runs it got no answer. */
  | { readonly kind: "failed"; readonly message: string; readonly isUnknown: boolean };

interface FanOutCall {
  readonly name: string;
  readonly client: string;
  readonly by: number;
  /** Scheduler steps. */
  readonly invokedAt: number;
  returnedAt: number;
  end: FanOutEnd | null;
}

/** The members that an error names: those that ran the call, and those that may have. */
const NAMES = /' has run on (.+?)(?:, perhaps also on (.+?))?, and on no other member: /;

export class FanOuts {
  readonly #calls: FanOutCall[] = [];
  readonly #runs = new Map<string, Run[]>();
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** Gives the call's name: its method is told it, and says what it has run. */
  begin(client: string, by: number): string {
    const name = `${client}/${this.#calls.length}`;
    this.#calls.push({
      name,
      client,
      by,
      invokedAt: this.#clock(),
      returnedAt: Infinity,
      end: null,
    });
    return name;
  }

  /** A member has run the call, and that is durable. */
  ran(name: string, { member, epoch }: RanOn, rows: readonly Raised[]): void {
    const before = this.#runs.get(name) ?? [];
    this.#runs.set(name, [...before, { member, epoch, at: this.#clock(), rows }]);
  }

  end(name: string, end: FanOutEnd): void {
    const call = this.#calls.find((candidate) => candidate.name === name);
    if (call !== undefined) Object.assign(call, { end, returnedAt: this.#clock() });
  }

  /** Checks every call, and writes into the history what it has changed. Gives what is wrong. */
  judge(history: History, keys: readonly string[]): string[] {
    return this.#calls.flatMap((call) => {
      const runs = this.#runs.get(call.name) ?? [];
      const rows = changedRows(call, runs);
      for (const { row, until } of rows)
        record(history, call, keyOfView(row), { until, n: row.n, ranOn: ranOnOf(runs, row) });
      const met = new Set(rows.map(({ row }) => keyOfView(row)));
      if (call.end?.kind === "succeeded")
        for (const key of keys)
          if (!met.has(key))
            record(history, call, key, { until: call.returnedAt, n: null, ranOn: runs });
      return [...checkRuns(call, runs), ...checkTwice(call, rows, history)].map(
        (flaw) => `call ${call.name} to all ${flaw}`,
      );
    });
  }
}

interface Changed {
  readonly row: Raised;
  readonly until: number;
}

/**
 * Returns the rows as the caller was told them; where it was told nothing, as the members know
 * them.
 */
function changedRows({ end, returnedAt }: FanOutCall, runs: readonly Run[]): Changed[] {
  if (end?.kind === "succeeded")
    return end.answers.flat().map((row) => ({ row, until: returnedAt }));
  return runs.flatMap(({ rows, at }) => rows.map((row) => ({ row, until: at })));
}

/** The effect of a call on a row: its value then, null where it has met none. */
interface Met {
  readonly until: number;
  readonly n: number | null;
  readonly ranOn: readonly RanOn[];
}

function record(
  history: History,
  { client, by, invokedAt }: FanOutCall,
  key: string,
  { until, n, ranOn }: Met,
): void {
  history.saw(client, key, { kind: "increment", by }, invokedAt, until, n, ranOn);
}

/** The runs that have changed the row so. */
function ranOnOf(runs: readonly Run[], { id, grp, n }: Raised): Run[] {
  return runs.filter(({ rows }) =>
    rows.some((row) => row.id === id && row.grp === grp && row.n === n),
  );
}

function checkRuns({ end }: FanOutCall, runs: readonly Run[]): string[] {
  const flaws: string[] = [];
  const members = runs.map(({ member }) => member);
  const twice = members.find((member, at) => members.indexOf(member) !== at);
  if (twice !== undefined) flaws.push(`ran twice on ${twice}`);
  if (end === null) return [...flaws, "has not ended"];
  if (end.kind === "succeeded") {
    if (runs.length !== end.answers.length)
      flaws.push(`has ${end.answers.length} answers, and ran on ${members.join(", ")}`);
    return flaws;
  }
  const named = NAMES.exec(end.message);
  if (named === null) {
    if (!end.isUnknown && runs.length > 0)
      flaws.push(`ran on ${members.join(", ")}, and failed without a word of it: ${end.message}`);
    return flaws;
  }
  const ran = named[1]?.split(", ") ?? [];
  const perhaps = named[2]?.split(", ") ?? [];
  for (const member of ran)
    if (!members.includes(member)) flaws.push(`did not run on ${member}: ${end.message}`);
  for (const member of members)
    if (!ran.includes(member) && !perhaps.includes(member))
      flaws.push(`ran on ${member} as well: ${end.message}`);
  return flaws;
}

/**
 * Only an item that its client has removed and put under another group meanwhile is another row,
 * and may be met again.
 */
function checkTwice(
  { invokedAt }: FanOutCall,
  changed: readonly Changed[],
  history: History,
): string[] {
  const met = new Map<string, Raised>();
  const flaws: string[] = [];
  for (const { row, until } of changed) {
    const key = keyOfView(row);
    const before = met.get(key);
    met.set(key, row);
    if (before === undefined) continue;
    if (before.grp === row.grp || !history.isStoredAnew(key, invokedAt, until))
      flaws.push(`changed ${key} twice`);
  }
  return flaws;
}
