/**
 * Runs the simulator against every mutant, in processes of their own, and says by which seed and
 * check each one was noticed.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { REGRESSIONS } from "./regressions.ts";
import type { Mutant } from "./mutants.ts";
import type { Summary } from "./report.ts";

export interface MutantReport {
  readonly name: string;
  readonly rule: string;
  /** The first seed that noticed, and what it said; null when the mutant survived. */
  readonly caught: { readonly seed: number; readonly violation: string } | null;
  readonly seeds: number;
}

export interface MutantRun {
  readonly mutants: readonly Mutant[];
  readonly from: number;
  /** Seeds that a mutant may survive at most. */
  readonly seeds: number;
  /** How many run at the same time. */
  readonly processes: number;
  readonly isJson: boolean;
}

const MAIN = join(import.meta.dirname, "main.ts");
const VIOLATION_LENGTH_MAX = 140;

/** Gives the exit code: 1 when a mutant survived. */
export async function runMutants({
  mutants,
  from,
  seeds,
  processes,
  isJson,
}: MutantRun): Promise<number> {
  const reports: MutantReport[] = [];
  const queue = [...mutants];
  const work = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
      const report = await tryMutant(mutant, from, seeds);
      reports.push(report);
      if (!isJson) console.log(describeMutant(report));
    }
  };
  await Promise.all(Array.from({ length: processes }, () => work()));
  const survivors = reports.filter(({ caught }) => caught === null);
  if (isJson) console.log(JSON.stringify(reports));
  else
    console.log(
      survivors.length === 0
        ? `all ${reports.length} mutants were noticed`
        : `${survivors.length} of ${reports.length} mutants SURVIVED: ${survivors.map(({ name }) => name).join(", ")}`,
    );
  return survivors.length > 0 || reports.length === 0 ? 1 : 0;
}

/**
 * Runs seeds against one mutant until one notices, the one that is known to notice first. @throws
 * Error when the run says nothing: an edit that does not fit, or a crash.
 */
export async function tryMutant(
  { name, rule, needs }: Mutant,
  from: number,
  seeds: number,
): Promise<MutantReport> {
  const known = REGRESSIONS.find(({ mutant }) => mutant === name);
  const some = [
    "--seeds",
    String(seeds),
    "--from",
    String(from),
    ...(needs ? ["--with", needs] : []),
  ];
  let tried = 0;
  for (const which of known ? [["--only", String(known.seed)], some] : [some]) {
    const summary = await runSeeds(["--mutant", name, "--stop-at-first", ...which]);
    const first = summary.failed[0];
    tried += summary.seeds;
    if (first)
      return {
        name,
        rule,
        seeds: tried,
        caught: { seed: first.seed, violation: first.violations[0] ?? "" },
      };
  }
  return { name, rule, seeds: tried, caught: null };
}

/**
 * Runs the simulator's command line in a process of its own. @throws Error with its output when it
 * gives no summary.
 */
export function runSeeds(args: readonly string[]): Promise<Summary> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => {
      const last = output.trim().split("\n").at(-1) ?? "";
      if (last.startsWith("{")) resolve(JSON.parse(last) as Summary);
      else
        reject(
          new Error(
            `The simulation ended with code ${code ?? "none"} and no summary:\n${errors}\n${output}`,
          ),
        );
    });
  });
}

function describeMutant({ name, rule, caught, seeds }: MutantReport): string {
  if (!caught) return `SURVIVED  ${name}: ${seeds} seeds saw nothing\n          ${rule}`;
  const [first = ""] = caught.violation.split("\n");
  const said =
    first.length > VIOLATION_LENGTH_MAX ? `${first.slice(0, VIOLATION_LENGTH_MAX)}…` : first;
  return `noticed   ${name}: seed ${caught.seed}, the ${seeds}. of the run\n          ${rule}\n          ${said}`;
}
