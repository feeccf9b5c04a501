/** Describes the actions and findings of the stories of restored objects, for people. Pure. */
import type { RestoreReport } from "./run-restores.ts";

export function describeRestores({ seed, stories, problems }: RestoreReport): string {
  const lines = [
    `Seed ${seed}`,
    ...stories.flatMap(({ name, seconds, lines: told }) => [
      `${name} (${seconds} s)`,
      ...told.map((line) => `  ${line}`),
    ]),
    problems.length === 0
      ? "In order after every repair, every row accounted for."
      : `WRONG (${problems.length}):\n${problems.map((problem) => `  ${problem}`).join("\n")}`,
  ];
  return `${lines.join("\n")}\n`;
}
