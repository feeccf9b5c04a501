/** Files of one project stand together: a worker is kept from one file to the next only there. */
import { expect, it } from "vitest";

import { sortLongestFirst } from "./longest-first.ts";

const sort = (files: readonly string[]): string[] =>
  sortLongestFirst(
    files,
    (file) => `/project/test/${file.split(" ")[1] ?? ""}`,
    (file) => file.split(" ")[0] ?? "",
  );

it("begins with the longest, and then has one project after the other", () => {
  expect(
    sort([
      "unit a.test.ts",
      "shards shards/a.workers.test.ts",
      "unit protocol-model/model.test.ts",
      "control server/a.workers.test.ts",
      "e2e e2e/pack.test.ts",
      "unit b.test.ts",
      "shards shards/b.workers.test.ts",
      "e2e crash/crash.test.ts",
      "unit sim/sim.test.ts",
    ]),
  ).toEqual([
    "unit sim/sim.test.ts",
    "e2e crash/crash.test.ts",
    "e2e e2e/pack.test.ts",
    "shards shards/a.workers.test.ts",
    "shards shards/b.workers.test.ts",
    "control server/a.workers.test.ts",
    "unit protocol-model/model.test.ts",
    "unit a.test.ts",
    "unit b.test.ts",
  ]);
});
