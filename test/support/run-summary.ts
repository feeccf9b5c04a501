/** Closes a test run with a line for each project: its files, its tests, and how they ended. */
import type { Reporter, TestModule } from "vitest/node";

const COLUMN = 10;
const STATES = ["passed", "failed", "skipped"] as const;

export class RunSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    process.stdout.write(`\n${summarize(modules).join("\n")}\n`);
  }
}

function summarize(modules: readonly TestModule[]): string[] {
  const projects = Map.groupBy(modules, ({ project }) => project.name);
  const lines = [...projects].map(([name, files]) => {
    const tests = files.flatMap(({ children }) => [...children.allTests()]);
    const counts = STATES.map((state) => ({
      state,
      count: tests.filter((test) => test.result().state === state).length,
    })).filter(({ count }) => count > 0);
    const ended = counts.map(({ state, count }) => `, ${count} ${state}`).join("");
    return `${name.padEnd(COLUMN)}${files.length} files${ended}`;
  });
  return [...lines, "The largest tables of cases ran in part: npm run test:long runs them whole."];
}
