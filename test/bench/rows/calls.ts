/**
 * What the router costs: a routed `get` and a routed insert beside the same calls to the owner's stub, and a query over 64 shards beside one
 * `Promise.all`.
 */
import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { planMove } from "../plan-move.ts";
import { startRuntime } from "../runtime.ts";
import { medianOf } from "../statistics.ts";
import type { Compared } from "../worker/calls.ts";

const GET_SHARDS = 8;
const GETS = 500;
/** Each is a commit, which the caller waits for. */
const INSERTS = 50;
const QUERY_SHARDS = 64;
const QUERIES = 20;
const BLOCKS = 10;
const COUNT_QUERY = "SELECT count(*) AS n FROM things WHERE type = 'city'";
const ROWS_QUERY = "SELECT id, name, data FROM things ORDER BY id LIMIT 10";

export async function benchCalls({ runs, rows, engine, say }: BenchContext): Promise<Figure[]> {
  const runtime = await startRuntime(engine);
  try {
    const shard = async (namespace: string, count: number): Promise<void> => {
      await runtime.call("fillRoot", { namespace, rows });
      await runtime.call("operate", await planMove(runtime, { namespace, to: { kind: "shard", count } }));
    };
    await shard("gets", GET_SHARDS);
    await shard("queries", QUERY_SHARDS);
    const gets: Compared[] = [];
    const inserts: Compared[] = [];
    const counts: Compared[] = [];
    const lists: Compared[] = [];
    for (let run = 0; run < runs; run++) {
      gets.push(await runtime.call<Compared>("compareGets", { namespace: "gets", rows, blocks: BLOCKS, calls: GETS }));
      inserts.push(await runtime.call<Compared>("compareInserts", { namespace: "gets", run, blocks: BLOCKS, calls: INSERTS }));
      const query = { namespace: "queries", blocks: BLOCKS, calls: QUERIES };
      counts.push(await runtime.call<Compared>("compareQueries", { ...query, query: COUNT_QUERY }));
      lists.push(await runtime.call<Compared>("compareQueries", { ...query, query: ROWS_QUERY }));
      say(`calls, run ${run + 1} of ${runs}`);
    }
    return [
      figureOf(`routed get, ${GET_SHARDS} shards`, gets, 1.15, "call to the owner's stub"),
      figureOf(`routed insert, ${GET_SHARDS} shards`, inserts, null, "call to the owner's stub"),
      figureOf(`query over ${QUERY_SHARDS} shards: a count`, counts, 1.3, "Promise.all"),
      figureOf(`query over ${QUERY_SHARDS} shards: 10 rows of each`, lists, 1.3, "Promise.all"),
    ];
  } finally {
    await runtime.stop();
  }
}

function figureOf(name: string, runs: readonly Compared[], limit: number | null, reference: string): Figure {
  return {
    name,
    unit: "µs",
    values: runs.map((run) => medianOf(run.routed)),
    reference: { name: reference, values: runs.map((run) => medianOf(run.direct)) },
    goal: limit === null ? null : { of: "ratio", is: "atMost", limit },
  };
}
