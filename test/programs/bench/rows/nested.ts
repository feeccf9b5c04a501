/**
 * The effect of a shift on callers while methods call the owners of other keys, and while one
 * member runs methods of seconds.
 */
import type { BenchContext } from "../benchmark.ts";
import type { Figure } from "../report.ts";
import { planMove } from "../plan-move.ts";
import { type BenchRuntime, startRuntime } from "../runtime.ts";
import { maxOf, quantileOf } from "../statistics.ts";
import type { Nested, NestedArgs } from "../worker/nested.ts";

const ROWS_MAX = 10_000;
const SHARDS = 4;
const LONG_MS = 5_000;
const EVERY_MS = 50;

interface Case {
  readonly name: string;
  readonly kind: NestedArgs["kind"];
  readonly callers: number;
  /** The longest that one call may take. */
  readonly waitMsMax: number;
  /** The longest that the operation may take; null sets no goal. */
  readonly durationMsMax: number | null;
}

const CASES: readonly Case[] = [
  {
    name: "24 callers of a method that calls another key's owner",
    kind: "nested",
    callers: 24,
    waitMsMax: 1_000,
    durationMsMax: 60_000,
  },
  {
    name: "methods of 5 s at one member, 6 callers of the others",
    kind: "long",
    callers: 6,
    waitMsMax: 300,
    durationMsMax: null,
  },
];

export async function benchNested({ runs, rows, engine, say }: BenchContext): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [index, one] of CASES.entries()) {
    const runtime = await startRuntime(engine);
    try {
      const found: Nested[] = [];
      for (let run = 0; run < runs; run++) {
        const last = await runOnce(
          runtime,
          `nested-${index}-${run}`,
          Math.min(rows, ROWS_MAX),
          one,
        );
        found.push(last);
        say(`nested, ${one.name}, run ${run + 1} of ${runs}: ${describeRun(last)}`);
      }
      figures.push(...figuresOf(one, found));
    } finally {
      await runtime.stop();
    }
  }
  return figures;
}

async function runOnce(
  runtime: BenchRuntime,
  namespace: string,
  rows: number,
  one: Case,
): Promise<Nested> {
  const { kind, callers } = one;
  await runtime.call("fillRoot", { namespace, rows });
  await runtime.call(
    "operate",
    await planMove(runtime, { namespace, to: { kind: "shard", count: SHARDS } }),
  );
  const operation = await planMove(runtime, {
    namespace,
    to: { kind: "rebalance", count: SHARDS + 1 },
  });
  const args: NestedArgs = { operation, rows, callers, kind, longMs: LONG_MS, everyMs: EVERY_MS };
  const found = await runtime.call<Nested>("measureNested", args);
  if (kind === "long" && found.longCalls === 0)
    throw new Error("No long call ran while the operation did");
  return found;
}

function figuresOf({ name, waitMsMax, durationMsMax }: Case, found: readonly Nested[]): Figure[] {
  const figure = (
    part: string,
    rest: Pick<Figure, "unit" | "values" | "reference" | "goal">,
  ): Figure => ({
    name: `${name}, ${SHARDS} → ${SHARDS + 1}: ${part}`,
    ...rest,
  });
  const seconds = durationMsMax === null ? null : durationMsMax / 1000;
  return [
    figure("longest call", {
      unit: "ms",
      values: found.map(({ meanwhile }) => maxOf(meanwhile)),
      reference: { name: "before the operation", values: found.map(({ atRest }) => maxOf(atRest)) },
      goal: { of: "value", is: "atMost", limit: waitMsMax },
    }),
    figure("p99 of calls", {
      unit: "ms",
      values: found.map(({ meanwhile }) => quantileOf(meanwhile, 0.99)),
      reference: {
        name: "before the operation",
        values: found.map(({ atRest }) => quantileOf(atRest, 0.99)),
      },
      goal: null,
    }),
    figure("longest call, from when it was due", {
      unit: "ms",
      values: found.map(({ fromDue }) => maxOf(fromDue)),
      reference: null,
      goal: null,
    }),
    figure("the operation", {
      unit: "s",
      values: found.map(({ durationMs }) => durationMs / 1000),
      reference: null,
      goal: seconds === null ? null : { of: "value", is: "atMost", limit: seconds },
    }),
  ];
}

function describeRun({ meanwhile, atRest, durationMs, longCalls }: Nested): string {
  const rest = maxOf(atRest);
  const longest = maxOf(meanwhile);
  return [
    `${durationMs} ms`,
    `longest of ${meanwhile.length} calls ${longest} ms`,
    `${rest} ms before`,
    ...(longCalls > 0 ? [`${longCalls} long calls`] : []),
  ].join("; ");
}
