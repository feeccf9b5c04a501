/** Plays the stories of restored objects, one after the other, each on a runtime of its own. */
import { RestoredLedger } from "./restored-ledger.ts";
import { RESTORE_STORIES, type RestoreStory } from "./restore-stories.ts";
import { untilAborted } from "./until-aborted.ts";

export interface RestoreOptions {
  readonly seed: number;
  readonly stories: readonly RestoreStory[];
  readonly onProgress: (line: string) => void;
  /** Ends the run early. */
  readonly signal: AbortSignal;
  /** Keeps the directory of a story in which something was wrong. */
  readonly keepOnFailure: boolean;
}

export interface StoryReport {
  readonly name: string;
  readonly seconds: number;
  /** Actions and findings, a line each. */
  readonly lines: readonly string[];
  readonly problems: readonly string[];
}

export interface RestoreReport {
  readonly seed: number;
  readonly stories: readonly StoryReport[];
  readonly problems: readonly string[];
}

export const SHORT_STORIES = RESTORE_STORIES.filter(({ isShort }) => isShort);

export async function runRestores(options: RestoreOptions): Promise<RestoreReport> {
  const stories: StoryReport[] = [];
  for (const story of options.stories) {
    if (options.signal.aborted) break;
    stories.push(await playStory(story, options));
  }
  const problems = stories.flatMap(({ name, problems: found }) =>
    found.map((problem) => `${name}: ${problem}`),
  );
  if (options.signal.aborted) problems.push("Interrupted before the end");
  return { seed: options.seed, stories, problems };
}

async function playStory(
  { name, play }: RestoreStory,
  { seed, onProgress, signal, keepOnFailure }: RestoreOptions,
): Promise<StoryReport> {
  const startedAt = Date.now();
  const lines: string[] = [];
  onProgress(`${name}:`);
  const ledger = await RestoredLedger.create(seed, (line) => {
    lines.push(line);
    onProgress(`  ${line}`);
  });
  try {
    await Promise.race([play(ledger), untilAborted(signal)]);
  } catch (error) {
    ledger.problems.push(error instanceof Error ? error.message : String(error));
  } finally {
    const isKept = keepOnFailure && !signal.aborted && ledger.allProblems().length > 0;
    await ledger.stop(isKept);
    if (isKept) onProgress(`The directory was kept: ${ledger.folder}`);
  }
  return {
    name,
    seconds: Math.round((Date.now() - startedAt) / 1000),
    lines,
    problems: ledger.allProblems(),
  };
}
