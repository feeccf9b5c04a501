/**
 * Stories of restored objects on the real runtime: one of them, or one of each kind in a long run.
 * All of them are `npm run crash -- --restore`.
 */
import { expect, it } from "vitest";

import { sample } from "../support/sample.ts";
import { SHORT_STORIES, runRestores } from "./run-restores.ts";

const STORY_MS_MAX = 270_000;

for (const story of sample(SHORT_STORIES, 1)) {
  it(
    `${story.name}: refused until it is repaired, then in order, with every row accounted for`,
    async ({ signal, onTestFinished }) => {
      const run = runRestores({
        seed: 1,
        stories: [story],
        signal,
        keepOnFailure: false,
        onProgress: () => undefined,
      });
      // Also after a timeout: what the run started must be gone before the test process is.
      onTestFinished(async () => void (await run), STORY_MS_MAX);
      const { problems, stories } = await run;
      expect(problems).toEqual([]);
      const told = stories.flatMap(({ lines }) => lines).join("\n");
      // A story in which nobody was refused, or nothing repaired, would prove nothing.
      expect(told).toMatch(/[1-9]\d* calls and every query refused \((registryLost|outOfStep)\)/);
      expect(told).toContain("repaired: epoch");
    },
    STORY_MS_MAX,
  );
}
