/**
 * The cost of the router: a routed `get` and a routed insert beside the same calls to the owner's
 * stub, in time and, for inserts, in rows billed; and a query over 64 shards beside one
 * `Promise.all`.
 */
import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import type { BenchBinding } from "../worker/env.ts";
import { planMove } from "../plan-move.ts";
import { startRuntime } from "../runtime.ts";
import { medianOf } from "../statistics.ts";
import type { Meter } from "../worker/meter.ts";
import type { Compared } from "../worker/calls.ts";

const GET_SHARDS = 8;
const GETS = 500;
/** Each is a commit, which the caller waits for. */
const INSERTS = 50;
/** Where only rows are counted. */
const METERED_ROWS = 1_000;
const QUERY_SHARDS = 64;
const QUERIES = 20;
const BLOCKS = 10;
const COUNT_QUERY = "SELECT count(*) AS n FROM things WHERE type = 'city'";
const ROWS_QUERY = "SELECT id, name, data FROM things ORDER BY id LIMIT 10";

export async function benchCalls({ runs, rows, engine, say }: BenchContext): Promise<Figure[]> {
  const runtime = await startRuntime(engine);
  try {
    const shard = async (
      namespace: string,
      count: number,
      binding: BenchBinding = "THINGS",
    ): Promise<void> => {
      await runtime.call("fillRoot", {
        binding,
        namespace,
        rows: binding === "METERED" ? METERED_ROWS : rows,
      });
      await runtime.call(
        "operate",
        await planMove(runtime, { binding, namespace, to: { kind: "shard", count } }),
      );
    };
    await shard("gets", GET_SHARDS);
    await shard("queries", QUERY_SHARDS);
    await shard("metered", GET_SHARDS, "METERED");
    const gets: Compared[] = [];
    const inserts: Compared[] = [];
    const metered: Metered[] = [];
    const counts: Compared[] = [];
    const lists: Compared[] = [];
    for (let run = 0; run < runs; run++) {
      gets.push(
        await runtime.call<Compared>("compareGets", {
          namespace: "gets",
          rows,
          blocks: BLOCKS,
          calls: GETS,
        }),
      );
      inserts.push(
        await runtime.call<Compared>("compareInserts", {
          namespace: "gets",
          run,
          blocks: BLOCKS,
          calls: INSERTS,
        }),
      );
      metered.push(
        await runtime.call<Metered>("meterInserts", { namespace: "metered", run, calls: INSERTS }),
      );
      const query = { namespace: "queries", blocks: BLOCKS, calls: QUERIES };
      counts.push(await runtime.call<Compared>("compareQueries", { ...query, query: COUNT_QUERY }));
      lists.push(await runtime.call<Compared>("compareQueries", { ...query, query: ROWS_QUERY }));
      say(`calls, run ${run + 1} of ${runs}`);
    }
    return [
      figureOf(`routed get, ${GET_SHARDS} shards`, gets, 1.15, "call to the owner's stub"),
      figureOf(`routed insert, ${GET_SHARDS} shards`, inserts, null, "call to the owner's stub"),
      billedFigure("written", metered, ({ rowsWritten }) => rowsWritten),
      billedFigure("read", metered, ({ rowsRead }) => rowsRead),
      figureOf(`query over ${QUERY_SHARDS} shards: a count`, counts, 1.3, "Promise.all"),
      figureOf(`query over ${QUERY_SHARDS} shards: 10 rows of each`, lists, 1.3, "Promise.all"),
    ];
  } finally {
    await runtime.stop();
  }
}

interface Metered {
  readonly routed: Meter;
  readonly direct: Meter;
}

function billedFigure(
  what: string,
  runs: readonly Metered[],
  of: (meter: Meter) => number,
): Figure {
  return {
    name: `rows ${what} by a routed insert`,
    unit: "rows",
    values: runs.map(({ routed }) => of(routed)),
    reference: { name: "call to the owner's stub", values: runs.map(({ direct }) => of(direct)) },
    goal: null,
  };
}

function figureOf(
  name: string,
  runs: readonly Compared[],
  limit: number | null,
  reference: string,
): Figure {
  return {
    name,
    unit: "µs",
    values: runs.map((run) => medianOf(run.routed)),
    reference: { name: reference, values: runs.map((run) => medianOf(run.direct)) },
    goal: limit === null ? null : { of: "ratio", is: "atMost", limit },
  };
}
