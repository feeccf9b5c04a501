/** Closes a test run with a line for each project: its files, its tests, and how they ended. */
import type { Reporter, TestModule } from "vitest/node";

const COLUMN = 10;

export class RunSummary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    process.stdout.write(`\n${summarize(modules).join("\n")}\n`);
  }
}

function summarize(modules: readonly TestModule[]): string[] {
  const projects = Map.groupBy(modules, ({ project }) => project.name);
  const lines = [...projects].map(([name, files]) => {
    const tests = files.flatMap(({ children }) => [...children.allTests()]);
    const count = (state: "passed" | "failed" | "skipped"): string =>
      `${tests.filter((test) => test.result().state === state).length} ${state}`;
    return `${name.padEnd(COLUMN)}${files.length} files, ${count("passed")}, ${count("failed")}, ${count("skipped")}`;
  });
  return [...lines, "The largest tables of cases ran in part: npm run test:long runs them whole."];
}
