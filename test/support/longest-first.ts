/**
 * Orders the files of a run: those that take longest first, so that none of them is left to run
 * alone in the end, and then one project after the other. A worker goes on to the next file only
 * when that is of the same project; any other has a runtime of its own started for it.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The simulator computes and those of `e2e` wait, so they run side by side. */
const LONG = [
  "sim/sim",
  "crash/restore-stories",
  "e2e/page",
  "e2e/pull-request",
  "crash/crash",
  "e2e/main-job",
  "e2e/workflows",
];
const PROJECTS = ["e2e", "shards", "control", "unit"];
/** The first of its project. */
const SEARCH = "protocol-model/model";

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return sortLongestFirst(
      // oxlint-disable-next-line unicorn/no-array-sort -- the order of the sequencer above
      await super.sort(files),
      ({ moduleId }) => moduleId,
      ({ project }) => project.name,
    );
  }
}

/** Keeps the order of files that rank the same. */
export function sortLongestFirst<File>(
  files: readonly File[],
  pathOf: (file: File) => string,
  projectOf: (file: File) => string,
): File[] {
  const rank = (file: File): number => {
    const name = /\/test\/(.*)\.test\.ts$/.exec(pathOf(file))?.[1] ?? "";
    if (LONG.includes(name)) return LONG.indexOf(name);
    return LONG.length + 2 * PROJECTS.indexOf(projectOf(file)) + (name === SEARCH ? 0 : 1);
  };
  return files.toSorted((left, right) => rank(left) - rank(right));
}
