/**
 * Counts one member's rows by a key that need not be the live one: what a plan's projections are
 * made of.
 *
 * Rows are routed by the very lookups that will route them when they are moved. They are read in
 * slices, between which the object serves; memory is bounded by the number of buckets. Of a large
 * table a few rows are read behind each fence post of its last count, and stand for those up to the
 * next. Without posts every row is read.
 */
import { type Key, isMissing } from "../../model/layout/key.ts";
import { createOwnerLookup } from "../../model/layout/owner-lookup.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import type { DistributionRequest, MemberDistribution } from "../../model/live.ts";
import { slotOf } from "../../model/layout/slots.ts";
import type { DistributeReply } from "../protocol/replies.ts";
import { refused, stillCounting } from "../protocol/refused-error.ts";
import { keyColumn, keyOf } from "../move/move-plan.ts";
import { rowBytes } from "../storage/row-codec.ts";
import { rowsAfter } from "../storage/row-slices.ts";
import { type SqlRow, textOf } from "../storage/storage.ts";
import { type Table, keyExpression } from "../storage/tables.ts";
import { KeyBuckets } from "./key-buckets.ts";
import type { Member } from "./member.ts";
import type { RowCounter } from "./row-counter.ts";
import type { Span } from "./fence-posts.ts";
import { GROUPS, type Tally, addTally, clusteringOf, emptyTally } from "./sampling-error.ts";

/** Rows of one slice: each passes through JavaScript. */
const SLICE_ROWS = 1_500;
/** Of a sample, whose rows lie far apart. */
const SAMPLED_SLICE_ROWS = 1_000;
/** Longest wait: the caller's own is 120 s. Reading continues, and the next who asks finds it. */
const WAIT_MS_MAX = 100_000;
/** How long what was found later than that is kept in memory. */
const KEPT_MS = 10 * 60_000;
/** Age of the kept count whose posts are used: as of those by which the root has decided. */
const COUNT_AGE_MAX_MS = 24 * 3_600_000;

interface Progress {
  rows: number;
  /** True once others may come between. */
  isLong: boolean;
}

interface Running extends Progress {
  readonly found: Promise<DistributeReply>;
  /** When it was found; null while rows are being read. */
  endedAt: number | null;
}

export class Distributor {
  readonly #member: Member;
  readonly #counter: RowCounter;
  readonly #partitioners: Partitioners;
  readonly #running = new Map<string, Running>();

  constructor(member: Member, counter: RowCounter, partitioners: Partitioners) {
    this.#member = member;
    this.#counter = counter;
    this.#partitioners = partitioners;
  }

  /**
   * Shared by all who ask for the same meanwhile. @param sampleEvery 1 reads every row. @throws
   * RefusedError, retryable, when it takes too long, or the member has another part meanwhile.
   */
  async distribute(request: DistributionRequest, sampleEvery: number): Promise<DistributeReply> {
    const { runtime, self } = this.#member;
    const asked = JSON.stringify([this.#counter.part(), request, sampleEvery]);
    for (const [key, { endedAt }] of this.#running)
      if (endedAt !== null && runtime.now() - endedAt > KEPT_MS) this.#running.delete(key);
    const running = this.#running.get(asked) ?? this.#begin(asked, request, sampleEvery);
    if (!running.isLong) return running.found;
    const waited = new AbortController();
    const late = runtime.sleep(WAIT_MS_MAX, waited.signal).then((): DistributeReply => {
      throw stillCounting(
        `${self} is still counting its rows by the key (${running.rows} so far): ask again in a while`,
        running.rows,
      );
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([running.found, late]);
    } finally {
      waited.abort("counted");
    }
  }

  #begin(asked: string, request: DistributionRequest, sampleEvery: number): Running {
    const startedAt = this.#member.runtime.now();
    const progress: Progress = { rows: 0, isLong: sampleEvery > 1 };
    const found = this.#read(request, sampleEvery, progress);
    const running: Running = Object.assign(progress, { found, endedAt: null as number | null });
    this.#running.set(asked, running);
    const forget = (): void => void this.#running.delete(asked);
    // The callers may have gone by then. What has failed is tried again by the next.
    const keep = (): void => {
      const endedAt = this.#member.runtime.now();
      if (endedAt - startedAt < WAIT_MS_MAX) forget();
      else running.endedAt = endedAt;
    };
    found.then(keep, forget);
    return running;
  }

  async #read(
    request: DistributionRequest,
    sampleEvery: number,
    progress: Progress,
  ): Promise<DistributeReply> {
    const { runtime, self, sql } = this.#member;
    const part = this.#counter.part();
    const tables = this.#member.tables();
    const buckets = createBuckets(request, this.#partitioners);
    const total = { rows: 0, bytes: 0, missing: 0 };
    const spans =
      sampleEvery > 1
        ? this.#counter.spans((await this.#counter.count(COUNT_AGE_MAX_MS)).countedAt)
        : new Map<string, readonly Span[]>();
    for (const table of tables) {
      const slices = slicesOf(table, spans.get(table.name), sampleEvery, (from, limit) =>
        rowsAfter(sql, table, columnsOf(table, request.shardKey), from, limit),
      );
      for (;;) {
        if (this.#counter.part() !== part)
          throw refused(
            "moving",
            `${self} has another part than when it began to count its rows: ask again`,
          );
        const slice = sql.inOneTurn(() => slices.next());
        if (slice.done === true) break;
        progress.rows += slice.value.read;
        for (const [key, tally] of slice.value.found) {
          total.rows += tally.rows;
          total.bytes += tally.bytes;
          if (table.followed === null && isMissing(key)) total.missing += tally.rows;
        }
        buckets.add(slice.value.found);
        // Messages that have come meanwhile are taken first.
        if (!slice.value.isWhole) continue;
        progress.isLong = true;
        await runtime.sleep(0);
      }
    }
    const { distribution, tallies } = buckets.end();
    const rounded = {
      rows: Math.round(total.rows),
      bytes: Math.round(total.bytes),
      missing: Math.round(total.missing),
    };
    const isSampled = tallies.some(({ groups }) => groups.length > 0);
    return {
      distribution: { member: self, ...distribution },
      ...rounded,
      ...(isSampled && { clustering: clusteringOf(tallies, sampleEvery) }),
    };
  }
}

type Found = readonly (readonly [Key, Tally])[];

interface Slice {
  readonly found: Found;
  /** Rows that were read for it. */
  readonly read: number;
  /** False for the rest at the end of a table. */
  readonly isWhole: boolean;
}

type ReadRows = (
  after: string | null,
  limit: number,
) => { readonly rows: readonly SqlRow[]; readonly last: string | null };

function columnsOf(table: Table, shardKey: string): string {
  return `${keyColumn(keyExpression(table, shardKey, "t"), "key")}, ${rowBytes(table.columns, "t")} AS bytes`;
}

/** Reads a table, or a sample of it by its spans, slice by slice. */
function* slicesOf(
  table: Table,
  spans: readonly Span[] | undefined,
  every: number,
  read: ReadRows,
): Generator<Slice, void, undefined> {
  const isSmall = (spans ?? []).reduce((sum, { rows }) => sum + rows, 0) <= SLICE_ROWS;
  if (spans === undefined || isSmall) {
    for (let after: string | null = null, isWhole = true; isWhole;) {
      const { rows, last } = read(after, SLICE_ROWS);
      isWhole = rows.length === SLICE_ROWS;
      after = last;
      yield { found: tallied([{ rows, weight: 1, group: null }]), read: rows.length, isWhole };
    }
    return;
  }
  let places: Place[] = [];
  let count = 0;
  for (const [index, span] of spans.entries()) {
    const wanted = Math.max(1, Math.round(span.rows / every));
    const { rows } = read(span.after, wanted);
    // Fewer are all that is left behind the post.
    const weight = rows.length < wanted ? 1 : span.rows / wanted;
    places.push({ rows, weight, group: index % GROUPS });
    count += rows.length;
    if (count < SAMPLED_SLICE_ROWS) continue;
    yield { found: tallied(places), read: count, isWhole: true };
    places = [];
    count = 0;
  }
  yield { found: tallied(places), read: count, isWhole: false };
}

/** Rows that were read side by side, each of which stands for `weight` of them. */
interface Place {
  readonly rows: readonly SqlRow[];
  readonly weight: number;
  /** Null where every row is read. */
  readonly group: number | null;
}

function tallied(places: readonly Place[]): Found {
  const byKey = new Map<string, Tally>();
  for (const { rows, weight, group } of places)
    for (const row of rows) {
      const text = textOf(row["key"]);
      const tally = byKey.get(text) ?? emptyTally();
      if (tally.rows === 0) byKey.set(text, tally);
      if (group !== null && tally.groups.length === 0)
        tally.groups = Array.from({ length: GROUPS }, () => 0);
      tally.rows += weight;
      tally.bytes += weight * Number(row["bytes"]);
      if (group !== null) tally.groups[group] = (tally.groups[group] ?? 0) + weight;
    }
  return Array.from(byKey, ([text, tally]) => [keyOf(text), tally]);
}

interface Buckets {
  add(found: Found): void;
  end(): {
    readonly distribution: Omit<MemberDistribution, "member">;
    readonly tallies: readonly Tally[];
  };
}

function createBuckets(request: DistributionRequest, partitioners: Partitioners): Buckets {
  if (request.by === "keys") {
    const buckets = new KeyBuckets(request.boundaries);
    return {
      add: (found) => {
        buckets.add(found);
      },
      end: () => {
        const tallies = buckets.end();
        const keys = tallies.map(({ first, last, ...tally }) => ({ first, last, ...whole(tally) }));
        return { distribution: { keys }, tallies };
      },
    };
  }
  const bucketOf = request.by === "slots" ? slotOf : shardOf(request, partitioners);
  const buckets = new Map<number, Tally>();
  return {
    add: (found) => {
      for (const [key, tally] of found) {
        const bucket = bucketOf(key);
        const sum = buckets.get(bucket) ?? emptyTally();
        if (sum.rows === 0) buckets.set(bucket, sum);
        addTally(sum, tally);
      }
    },
    end: () => {
      const sorted = [...buckets].toSorted(([left], [right]) => left - right);
      const tallies = sorted.map(([, tally]) => tally);
      const distribution =
        request.by === "slots"
          ? { slots: sorted.map(([slot, tally]) => ({ slot, ...whole(tally) })) }
          : { shards: sorted.map(([shard, tally]) => ({ shard, ...whole(tally) })) };
      return { distribution, tallies };
    },
  };
}

/** Samples count in fractions of a row. */
function whole({ rows, bytes }: Tally): { readonly rows: number; readonly bytes: number } {
  return { rows: Math.round(rows), bytes: Math.round(bytes) };
}

/** The shard index under a layout that does not exist yet: its members are named by their index. */
function shardOf(
  { shardKey, partitioner, count }: DistributionRequest & { by: "shards" },
  partitioners: Partitioners,
): (key: Key) => number {
  const members = Array.from({ length: count }, (_, index) => String(index));
  const owner = createOwnerLookup(
    { kind: "custom", shardKey, generation: 0, members, partitioner },
    partitioners,
  );
  return (key) => Number(owner(key));
}
