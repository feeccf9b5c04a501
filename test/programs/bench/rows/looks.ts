/**
 * Measures what a call to a large object waits while somebody looks at it. Reported is what the
 * longest call waits above the median of calls at rest: an object answers one message at a time.
 */
import type { BenchContext } from "../benchmark.ts";
import { planMove } from "../plan-move.ts";
import type { Figure } from "../report.ts";
import { startRuntime } from "../runtime.ts";
import { maxOf, quantileOf } from "../statistics.ts";
import type { LOOKS, Looked } from "../worker/looks.ts";

type Look = (typeof LOOKS)[number];

/** Times the rows of the command line: by default 1 and 3 million. */
const SIZES = [10, 30];
const EVERY_MS = 20;
const SHARDS = 8;
/** The longest call may wait so long above rest. */
const WAIT_MS_MAX = 60;
/** The largest size takes most of a minute to fill. */
const RUNS_MAX = 3;

const NAMES: Readonly<Record<Look, string>> = {
  rest: "at rest",
  look: "61 looks",
  plan: "a plan",
  audit: "an exact count by key",
  prepare: "the begin of an operation",
};

export async function benchLooks({ runs, rows, engine, say }: BenchContext): Promise<Figure[]> {
  const times = Math.min(runs, RUNS_MAX);
  const figures: Figure[] = [];
  for (const size of SIZES.map((factor) => rows * factor)) {
    const found: Readonly<Record<Look, Looked>>[] = [];
    for (let run = 0; run < times; run++) {
      // Each run's object has never been counted.
      const runtime = await startRuntime(engine);
      try {
        const namespace = "looked-at";
        await runtime.call("fillRoot", { namespace, rows: size });
        const operation = await planMove(runtime, {
          namespace,
          to: { kind: "shard", count: SHARDS },
        });
        found.push(await runtime.call("measureLooks", { operation, everyMs: EVERY_MS }));
      } finally {
        await runtime.stop();
      }
      const last = found.at(-1);
      if (last) say(`looks, ${shown(size)}, run ${run + 1} of ${times}: ${describeRun(last)}`);
    }
    figures.push(...figuresOf(size, found));
  }
  return figures;
}

function figuresOf(size: number, found: readonly Readonly<Record<Look, Looked>>[]): Figure[] {
  const longest = (look: Look): (number | null)[] => found.map((run) => waitAboveRest(run, look));
  const looks = (Object.keys(NAMES) as Look[]).filter((look) => look !== "rest");
  const rest = { name: "at rest", values: longest("rest") };
  return looks.map((look): Figure => {
    const durations = found.map((run) => run[look].durationMs);
    return {
      name: `longest call above rest during ${NAMES[look]}, ${shown(size)}`,
      unit: "ms",
      values: longest(look),
      reference: rest,
      goal: { of: "value", is: "atMost", limit: WAIT_MS_MAX },
      note: `took ${Math.round(quantileOf(durations, 0.5) ?? 0).toLocaleString("en-US")} ms`,
    };
  });
}

/** The longest wait during a look, less the median at rest, in milliseconds. */
function waitAboveRest(run: Readonly<Record<Look, Looked>>, look: Look): number | null {
  const longest = maxOf(run[look].waits);
  const usual = quantileOf(run.rest.waits, 0.5);
  return longest === null || usual === null ? null : longest - usual;
}

function describeRun(run: Readonly<Record<Look, Looked>>): string {
  return (Object.keys(NAMES) as Look[])
    .map((look) => `${NAMES[look]} ${Math.round(maxOf(run[look].waits) ?? 0)} ms`)
    .join(", ");
}

function shown(rows: number): string {
  return `${rows.toLocaleString("en-US")} rows`;
}
