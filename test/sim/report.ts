/** Runs seeds and says what came of it, for people and as JSON. */
import { type RunReport, runSeed } from "./run-seed.ts";
import { type Cuts, NO_CUTS } from "./scenario.ts";
import { shorten } from "./shorten.ts";

export interface Summary {
  readonly from: number;
  readonly seeds: number;
  readonly failed: readonly { readonly seed: number; readonly violations: readonly string[] }[];
  readonly steps: number;
  readonly calls: number;
  readonly unknown: number;
  readonly epochs: number;
  readonly operations: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
}

export async function runMany(options: {
  readonly seeds: readonly number[];
  readonly isJson: boolean;
  readonly stopsAtFirst: boolean;
}): Promise<number> {
  const { seeds, isJson, stopsAtFirst } = options;
  const reports: RunReport[] = [];
  for (const seed of seeds) {
    const report = await guarded(seed);
    reports.push(report);
    if (report.violations.length === 0) continue;
    if (!isJson)
      console.log(
        `seed ${seed}: ${report.violations.length} violations, first: ${report.violations[0] ?? ""}`,
      );
    if (stopsAtFirst) break;
  }
  const summary = summarize(reports);
  console.log(isJson ? JSON.stringify(summary) : summaryText(summary));
  return summary.failed.length > 0 ? 1 : 0;
}

/** One seed with its trace; a failing one is shortened first. */
export async function runOne(
  seed: number,
  options: { cuts: string | undefined; isRaw: boolean; isJson: boolean },
): Promise<number> {
  const given = options.cuts === undefined ? NO_CUTS : (JSON.parse(options.cuts) as Cuts);
  let report = await runSeed(seed, given, true);
  let cuts = given;
  if (report.violations.length > 0 && !options.isRaw) {
    cuts = await shorten(seed, given);
    report = await runSeed(seed, cuts, true);
  }
  if (options.isJson) {
    console.log(JSON.stringify({ ...report, cuts }));
  } else {
    console.log(report.trace.join("\n"));
    console.log(
      `\nseed ${seed}: ${report.violations.length === 0 ? "all is well" : `${report.violations.length} violations`}`,
    );
    for (const violation of report.violations) console.log(`  - ${violation}`);
    if (report.violations.length > 0)
      console.log(
        `\nThis run again: node test/sim/main.ts --seed ${seed} --raw --cuts '${JSON.stringify(cuts)}'`,
      );
  }
  return report.violations.length > 0 ? 1 : 0;
}

/** A run that breaks the simulator itself is a failed run as well. */
async function guarded(seed: number): Promise<RunReport> {
  try {
    return await runSeed(seed);
  } catch (error) {
    const violations = [
      `the simulation broke off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    ];
    return {
      seed,
      violations,
      steps: 0,
      calls: 0,
      unknown: 0,
      epochs: 0,
      operations: {},
      faults: {},
      trace: [],
    };
  }
}

function summarize(reports: readonly RunReport[]): Summary {
  const total = (count: (report: RunReport) => number): number =>
    reports.reduce((sum, report) => sum + count(report), 0);
  return {
    from: reports[0]?.seed ?? 0,
    seeds: reports.length,
    failed: reports
      .filter(({ violations }) => violations.length > 0)
      .map(({ seed, violations }) => ({ seed, violations })),
    steps: total((report) => report.steps),
    calls: total((report) => report.calls),
    unknown: total((report) => report.unknown),
    epochs: total((report) => report.epochs),
    operations: merge(reports.map((report) => report.operations)),
    faults: merge(reports.map((report) => report.faults)),
  };
}

function merge(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const merged: Record<string, number> = {};
  for (const count of counts)
    for (const [name, n] of Object.entries(count)) merged[name] = (merged[name] ?? 0) + n;
  return Object.fromEntries(
    Object.entries(merged).toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );
}

function summaryText(summary: Summary): string {
  const { from, seeds, failed, steps, calls, unknown, epochs, operations, faults } = summary;
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, n]) => `    ${String(n).padStart(7)}  ${name}`)
      .join("\n");
  return [
    `${seeds} seeds from ${from}: ${failed.length === 0 ? "all well" : `${failed.length} FAILED (${failed.map(({ seed }) => seed).join(", ")})`}`,
    `  ${steps} steps, ${calls} reads and writes checked (${unknown} of unknown outcome), ${epochs} cutovers`,
    "  operations",
    list(operations),
    "  faults",
    list(faults),
  ].join("\n");
}
