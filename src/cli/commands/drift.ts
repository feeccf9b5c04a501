/**
 * `shardctl drift`: shows where live differs from the merged manifests.
 */
import type { Command } from "commander";

import type { DriftReport } from "../../model/drift.ts";
import type { ApiClient } from "../api-client.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { driftText } from "../views.ts";

interface DriftOptions extends CommonOptions {
  readonly now?: boolean;
  readonly exitCode?: boolean;
}

/** One request waits for a tick so long, and so many follow each other: five minutes. */
const WAIT_S = 30;
const WAITS_MAX = 10;

export function defineDrift(program: Command, perform: Perform): void {
  const command = program
    .command("drift")
    .summary("show where live differs from the merged manifests")
    .description(
      "Show drift: what reconciliation found at its last tick, since when, and what to do about it.",
    )
    .option("--now", "run a tick first, and wait until it ends (needs a token with the role apply)")
    .option(
      "--exit-code",
      "exit with 2 when there is drift, with 1 when not everything could be read",
    );
  withHelp(withServerOptions(command), [
    ["shardctl drift", "as of the last tick"],
    ["shardctl drift --now --exit-code", "check now, and fail when there is drift"],
  ]).action((options: DriftOptions) => perform(options, (session) => drift(session, options)));
}

async function drift(session: Session, options: DriftOptions): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  const { environment } = project.value;
  const report =
    options.now === true
      ? await lookNow(api.value, environment)
      : await api.value.drift(environment);
  if (!report.ok) return report;
  session.show(driftText(session, report.value));
  return {
    ok: true,
    value: {
      exitCode: options.exitCode === true ? judge(report.value) : EXIT.done,
      json: report.value,
    },
  };
}

async function lookNow(api: ApiClient, environment: string): Promise<CliResult<DriftReport>> {
  for (let waits = 0; waits < WAITS_MAX; waits++) {
    const looked = await api.reconcile(environment, WAIT_S);
    if (!looked.ok) return looked;
    if (looked.value.isOver) return { ok: true, value: looked.value.report };
  }
  return fail(
    "timeout",
    `The tick of ${environment} did not end within ${WAIT_S * WAITS_MAX} seconds. It continues.`,
    "See what is known so far: shardctl drift",
  );
}

/** A script that asks for drift must not take "could not look" for "none". */
function judge({ drifts, isComplete }: DriftReport): ExitCode {
  if (drifts.length > 0) return EXIT.changesPending;
  return isComplete ? EXIT.done : EXIT.error;
}
