/** Records the clients' requests and answers, per key: the input of the linearizability checker. */
import { TWINS } from "./scenario.ts";
import type { RanOn, View } from "./store.ts";

/** One call on one item, as the item sees it. */
export type Op =
  | { readonly kind: "put"; readonly grp: string; readonly n: number; readonly tag: number }
  | { readonly kind: "get" }
  | { readonly kind: "remove" }
  | { readonly kind: "increment"; readonly by: number }
  | { readonly kind: "note"; readonly seq: number; readonly body: string }
  | { readonly kind: "regroup"; readonly grp: string }
  /** The object that had the item went back: it stays what it is, or becomes one of these. */
  | { readonly kind: "goesBack"; readonly states: readonly ItemState[] };

/** An item as it is stored, without its id; null for none. */
export type ItemState = Omit<View, "id" | "intact"> | null;

export interface Entry {
  readonly key: string;
  readonly client: string;
  readonly op: Op;
  /** Scheduler steps. */
  readonly invokedAt: number;
  /**
   * Infinity while, or when for ever, the outcome is not known: the call may take effect at any
   * later time, or never.
   */
  returnedAt: number;
  result: unknown;
  /** The members that answered. */
  ranOn: readonly RanOn[];
}

export class History {
  readonly entries: Entry[] = [];
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  begin(client: string, key: string, op: Op): Entry {
    const entry: Entry = {
      key,
      client,
      op,
      invokedAt: this.#clock(),
      returnedAt: Infinity,
      result: undefined,
      ranOn: [],
    };
    this.entries.push(entry);
    return entry;
  }

  end(entry: Entry, result: unknown, ranOn: readonly RanOn[] = []): void {
    entry.returnedAt = this.#clock();
    entry.result = result;
    entry.ranOn = ranOn;
  }

  /** The call had no effect: nothing has run. */
  drop(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
  }

  /** Adds a call that becomes known only after it has ended. */
  saw(
    client: string,
    key: string,
    op: Op,
    invokedAt: number,
    returnedAt: number,
    result: unknown,
    ranOn: readonly RanOn[] = [],
  ): void {
    this.entries.push({
      key,
      client,
      op,
      invokedAt,
      returnedAt: Math.max(returnedAt, invokedAt + 1),
      result,
      ranOn,
    });
  }

  /** An object has gone back in this step: its item may be in one of these states from then on. */
  goesBack(object: string, key: string, step: number, states: readonly ItemState[]): void {
    const op: Op = { kind: "goesBack", states };
    // Nothing else is known of that very step.
    this.entries.push({
      key,
      client: object,
      op,
      invokedAt: step,
      returnedAt: step + 0.5,
      result: undefined,
      ranOn: [],
    });
  }

  /**
   * True when an item may have been removed and put again between two steps: what all members were
   * asked for then may show it twice.
   */
  isStoredAnew(key: string, from: number, until: number): boolean {
    const isThen = ({ invokedAt, returnedAt }: Entry): boolean =>
      invokedAt <= until && returnedAt >= from;
    const kinds = new Set(
      this.entries.filter((entry) => entry.key === key && isThen(entry)).map(({ op }) => op.kind),
    );
    return kinds.has("remove") && kinds.has("put");
  }

  /** Adds the result of one read of every member, for each key. */
  sawAll(
    client: string,
    keys: readonly string[],
    invokedAt: number,
    views: ReadonlyMap<string, View>,
    ranOn: readonly RanOn[] = [],
  ): void {
    const returnedAt = Math.max(this.#clock(), invokedAt + 1);
    for (const key of keys)
      this.entries.push({
        key,
        client,
        op: { kind: "get" },
        invokedAt,
        returnedAt,
        result: views.get(key) ?? null,
        ranOn,
      });
  }

  get size(): number {
    return this.entries.length;
  }
}

/** Returns an item's identity: its id, and for twins their group as well. */
export function keyOfView({ id, grp }: Pick<View, "id" | "grp">): string {
  return TWINS.includes(id) ? `${id}@${grp}` : id;
}

export function describeEntry({ client, op, key, invokedAt, returnedAt, result }: Entry): string {
  const outcome = returnedAt === Infinity ? "?" : JSON.stringify(result);
  const until = returnedAt === Infinity ? "…" : String(returnedAt);
  return `[${invokedAt}–${until}] ${client}: ${op.kind}(${key}${argsOf(op)}) = ${outcome}`;
}

function argsOf(op: Op): string {
  const { kind: _kind, ...args } = op;
  return Object.keys(args).length === 0 ? "" : `, ${JSON.stringify(args)}`;
}
