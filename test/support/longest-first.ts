/**
 * Begins with the files that take longest, so that none of them is left to run alone in the end:
 * without the times of an earlier run, Vitest knows only the sizes of files.
 */
import { BaseSequencer, type TestSpecification } from "vitest/node";

const LONG =
  /\/test\/(?:sim\/sim|protocol-model\/model|crash\/(?:crash|object-files|restore-stories)|e2e\/[\w-]+)\.test\.ts$/;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- not an array's
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification): boolean => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}
