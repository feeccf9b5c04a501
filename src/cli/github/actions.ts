/**
 * Reads a workflow run as the command line sees it: what happened, whom it may write to, and where
 * summary and outputs go. Everything comes from the runner's variables and files; no text of the
 * pull request is ever executed or expanded.
 */
import { appendFile, readFile, stat } from "node:fs/promises";

import type { ActionsEvent } from "../../github/actions-event.ts";
import { readActionsEvent } from "../../github/actions-event.ts";
import { capSummary, formatOutputs, SUMMARY_BYTES_MAX } from "../../github/actions-output.ts";
import { createGithubClient } from "../../github/client.ts";
import type { GithubFailure, GithubWriter } from "../../github/port.ts";
import { type CliResult, fail } from "../failure.ts";
import type { Session } from "../session.ts";

/**
 * Outcome of a command, for later steps of the workflow. Documented in docs/github.md: never
 * rename.
 */
export type ActionsOutcome =
  | "planned"
  | "no_changes"
  | "blocked"
  | "invalid"
  | "validated"
  | "untouched"
  | "superseded"
  | "closed"
  | "applied"
  | "failed"
  | "cancelled"
  | "stale"
  | "locked"
  | "ignored"
  | "error";

export interface ActionsOutputs {
  readonly outcome: ActionsOutcome;
  readonly hasChanges: boolean;
  readonly fingerprint: string | null;
}

export interface Actions {
  readonly event: ActionsEvent;
  readonly runUrl: string | null;
  readonly github: GithubWriter;
  /** Adds to the step's summary, cut where the whole of it would be over GitHub's limit. */
  summarize(markdown: string): Promise<void>;
  /** Writes the outputs; once, at the end. */
  output(outputs: ActionsOutputs): Promise<void>;
}

const EVENT_BYTES_MAX = 30 * 1024 * 1024;

/** Reads the run's surroundings. Fails outside of GitHub Actions and without a token. */
export async function openActions(session: Session): Promise<CliResult<Actions>> {
  const { env } = session.host;
  if (env["GITHUB_ACTIONS"] !== "true") {
    return fail(
      "usage",
      "--github works in GitHub Actions only, and this is not a workflow run.",
      "Run the command without it: shardctl plan",
    );
  }
  const token = env["GITHUB_TOKEN"]?.trim() ?? "";
  if (token === "") {
    return fail(
      "usage",
      "GITHUB_TOKEN is not set.",
      "Pass it to the step:  env: { GITHUB_TOKEN: ${{ github.token }} }",
    );
  }
  const text = await readEventFile(env["GITHUB_EVENT_PATH"] ?? "");
  if (!text.ok) return text;
  const run = readActionsEvent(env, text.value);
  if (!run.ok) return fail("usage", `This run's event cannot be used: ${run.failure}`);
  const { event, repository, runUrl } = run.value;
  const github = createGithubClient({
    repository,
    credentials: { kind: "token", token },
    ...(env["GITHUB_API_URL"] ? { apiUrl: env["GITHUB_API_URL"].replace(/\/+$/, "") } : {}),
    fetch: session.host.fetch,
    now: session.host.now,
    sleep: (durationMs) => session.host.sleep(durationMs),
  });
  return {
    ok: true,
    value: {
      event,
      runUrl,
      github,
      summarize: (markdown) => summarize(env["GITHUB_STEP_SUMMARY"], markdown),
      output: ({ outcome, hasChanges, fingerprint }) =>
        append(
          env["GITHUB_OUTPUT"],
          formatOutputs({
            outcome,
            has_changes: String(hasChanges),
            fingerprint: fingerprint ?? "",
          }),
        ),
    },
  };
}

/** GitHub's no, as the command's. */
export function failGithub({ message, kind }: GithubFailure): ReturnType<typeof fail> {
  const hint =
    kind === "forbidden"
      ? "Add it to the workflow's `permissions:`; docs/github.md lists them all."
      : null;
  return fail("server", message, hint);
}

async function readEventFile(path: string): Promise<CliResult<string>> {
  if (path === "")
    return fail("usage", "GITHUB_EVENT_PATH is not set, so the event of this run is not known.");
  try {
    const bytes = await readFile(path);
    if (bytes.byteLength > EVENT_BYTES_MAX)
      return fail("usage", `The event of this run has ${bytes.byteLength} bytes.`);
    return { ok: true, value: bytes.toString("utf8") };
  } catch (error) {
    return fail(
      "usage",
      `The event of this run cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

/** GitHub drops a summary whole when all that was written to it is too much. */
async function summarize(path: string | undefined, markdown: string): Promise<void> {
  if (path === undefined || path === "") return;
  const { size } = await stat(path);
  await appendFile(path, capSummary(`${markdown.trimEnd()}\n\n`, SUMMARY_BYTES_MAX - size));
}

/** The runner names the file; elsewhere there is none. */
async function append(path: string | undefined, text: string): Promise<void> {
  if (path !== undefined && path !== "") await appendFile(path, text);
}
