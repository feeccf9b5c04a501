/** Describes the actions and findings of a crash run, for people. Pure. */
import type { CrashReport } from "./run-crashes.ts";
import type { Outcome } from "./tallies.ts";

export function describeCrashes(report: CrashReport): string {
  const {
    seed,
    seconds,
    writes,
    fanOuts,
    alarms,
    kills,
    treeKills,
    deploys,
    steps,
    operations,
    checks,
    accounts,
    fillers,
  } = report;
  const { problems } = report;
  const lines = [
    `Seed ${seed}, ${seconds} s`,
    `Writes      ${outcomes(writes)}; ${writes.reads} reads; slowest answer ${writes.slowestMs} ms`,
    `To all      ${outcomes(fanOuts.once)}; with retryUnanswered ${outcomes(fanOuts.retried)}`,
    `By alarms   ${alarms.counted + alarms.deleted} acknowledged to declared tables (${alarms.deleted} deletions), ${alarms.marked} to another; ${alarms.refused} refused, and ${alarms.orphanRefused} that point at nothing`,
    `Kills       ${kills}, ${treeKills} of them of the whole process tree, ${deploys} with another version of the class after it`,
    `Killed in   ${counts(steps)}`,
    ...Object.entries(operations).map(
      ([name, ends]) => `Operation   ${name}: ${counts(ends, true)}`,
    ),
    `Checked     ${checks} times: ${accounts} written accounts, ${fillers} others, every object`,
    problems.length === 0
      ? "Nothing lost, nothing doubled, nothing back from deletion, nothing left behind."
      : `WRONG (${problems.length}):\n${problems.map((problem) => `  ${problem}`).join("\n")}`,
  ];
  return `${lines.join("\n")}\n`;
}

function outcomes({
  acknowledged,
  unknown,
  refused,
  unsent,
}: Readonly<Record<Outcome, number>>): string {
  return `${acknowledged} acknowledged, ${unknown} unknown, ${refused} refused, ${unsent} not sent`;
}

function counts(named: Readonly<Record<string, number>>, isCountFirst = false): string {
  const parts = Object.entries(named).map(([name, count]) =>
    isCountFirst ? `${count} ${name}` : `${name} ${count}`,
  );
  return parts.join(", ");
}
