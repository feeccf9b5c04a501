/**
 * `shardctl apply`: plan, show, ask, start, follow. With `--plan` or `--fingerprint`: exactly that
 * plan, or nothing.
 */
import { userInfo } from "node:os";

import type { Command } from "commander";

import type { Run } from "../../model/api.ts";
import { type Guard, isEmptyPlan, type Plan } from "../../model/plan.ts";
import { standingBlocks } from "../../planning/check-safety.ts";
import type { DesiredState } from "../../model/spec.ts";
import type { ApiClient } from "../api-client.ts";
import {
  refuseStale,
  failBlocked,
  failStale,
  planAgain,
  readGuards,
  startRun,
} from "../apply-steps.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { confirmApply } from "../confirm.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { followRun } from "../follow-run.ts";
import { applyInActions } from "../github/apply-in-actions.ts";
import { loadDesired } from "../load-desired.ts";
import { readPlanFile } from "../plan-file.ts";
import { type Project, loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { planJson, planText, runText } from "../views.ts";

interface ApplyOptions extends CommonOptions {
  readonly autoApprove?: boolean;
  readonly github?: boolean;
  readonly plan?: string;
  readonly fingerprint?: string;
  readonly override?: readonly string[];
  readonly requestedBy?: string;
}

/**
 * A plan to apply, with the desired state when it is known here: it lets a stale plan say what
 * changed.
 */
interface Candidate {
  readonly plan: Plan;
  readonly desired: DesiredState | null;
}

export function defineApply(program: Command, perform: Perform): void {
  const command = program
    .command("apply")
    .summary("show the plan, ask, and carry it out")
    .description(
      "Show the plan, ask for confirmation, and apply it. The run continues on the server: Ctrl-C only stops watching it.",
    )
    .argument("[paths...]", "manifests (default: those of the config)")
    .option("--auto-approve", "do not ask")
    .option(
      "--github",
      "in a workflow: apply the plan that the merged pull request showed, or nothing",
    )
    .option("--plan <file>", "apply the plan of `plan --out`, or nothing if it is stale")
    .option(
      "--fingerprint <hash>",
      "apply the plan with this fingerprint, or nothing if it is stale",
    )
    .option("--override <guard...>", "override these guards, for this plan only")
    .option("--requested-by <name>", "who asks, for the history (default: the user's name)");
  withHelp(withServerOptions(command), [
    ["shardctl apply", "show the plan, then apply it once you confirm"],
    ["shardctl apply --auto-approve", "the same in a script"],
    ["shardctl apply --plan plan.json", "exactly the plan that was reviewed"],
    ["shardctl apply --override skew", "accept the skew that the plan shows"],
  ]).action((paths: string[], options: ApplyOptions) =>
    perform(options, (session) => apply(session, paths, options)),
  );
}

async function apply(
  session: Session,
  paths: readonly string[],
  options: ApplyOptions,
): Promise<CliResult<Outcome>> {
  const overrides = readGuards(options.override ?? []);
  if (!overrides.ok) return overrides;
  if (options.plan !== undefined && options.fingerprint !== undefined) {
    return fail("usage", "Give --plan or --fingerprint, not both.");
  }
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  if (options.github === true) return applyInActions(session, project.value, paths);
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  const candidate = await choosePlan(session, api.value, project.value, paths, options);
  if (!candidate.ok) return candidate;
  session.say(planText(session, candidate.value.plan));
  return applyPlan(session, api.value, candidate.value, overrides.value, options);
}

async function choosePlan(
  session: Session,
  api: ApiClient,
  project: Project,
  paths: readonly string[],
  options: ApplyOptions,
): Promise<CliResult<Candidate>> {
  if (options.fingerprint !== undefined) {
    const plan = await api.plan(options.fingerprint);
    return plan.ok ? { ok: true, value: { plan: plan.value, desired: null } } : plan;
  }
  if (options.plan !== undefined) return planOfFile(session, api, options.plan);
  const desired = await loadDesired(session.host, project, paths);
  if (!desired.ok) return desired;
  const plan = await api.createPlan({ desired: desired.value });
  return plan.ok ? { ok: true, value: { plan: plan.value, desired: desired.value } } : plan;
}

async function planOfFile(
  session: Session,
  api: ApiClient,
  path: string,
): Promise<CliResult<Candidate>> {
  const file = await readPlanFile(session.host.cwd, path);
  if (!file.ok) return file;
  const { plan: reviewed, desired } = file.value;
  if (desired === null) {
    const plan = await api.plan(reviewed.fingerprint);
    return plan.ok ? { ok: true, value: { plan: plan.value, desired: null } } : plan;
  }
  const current = await planAgain(api, desired, reviewed.fingerprint);
  if (!current.ok) return current;
  if (current.value.fingerprint !== reviewed.fingerprint) return failStale(reviewed, current.value);
  return { ok: true, value: { plan: current.value, desired } };
}

async function applyPlan(
  session: Session,
  api: ApiClient,
  candidate: Candidate,
  overrides: readonly Guard[],
  options: ApplyOptions,
): Promise<CliResult<Outcome>> {
  const { plan, desired } = candidate;
  const blocks = standingBlocks(plan, overrides);
  if (blocks.length > 0) return failBlocked(plan, blocks);
  if (isEmptyPlan(plan)) {
    session.say("Nothing to do: live matches the manifests.");
    return { ok: true, value: { exitCode: EXIT.done, json: { plan: planJson(plan), run: null } } };
  }
  if (options.autoApprove !== true) {
    const confirmed = await confirmApply(session);
    if (!confirmed.ok) return confirmed;
  }
  const run = await startRun(
    api,
    plan,
    overrides,
    options.requestedBy ?? userName(session),
    session.host.now(),
  );
  if (!run.ok) return refuseStale(api, run.failure, plan, desired);
  session.say(`\nRun ${run.value.id} started.`);
  const ended = await followRun(session, api, run.value);
  return ended.ok ? conclude(session, plan, ended.value) : ended;
}

async function conclude(session: Session, plan: Plan, run: Run): Promise<CliResult<Outcome>> {
  session.say(`\n${runText(session, run)}`);
  if (run.state === "succeeded")
    return { ok: true, value: { exitCode: EXIT.done, json: { plan: planJson(plan), run } } };
  const unfinished = run.actions.filter((action) => action.state !== "done");
  const lines = unfinished.map(
    (action) =>
      `  ${action.namespace}: ${action.kind} ${action.state}${action.error === null ? "" : `: ${action.error}`}`,
  );
  return fail(
    "runFailed",
    `Run ${run.id} ${run.state === "cancelled" ? "was cancelled" : "failed"}: ${unfinished.length} of ${run.actions.length} actions were not completed.\n${lines.join("\n")}`,
    "No rows are lost: actions that were not completed left a valid layout. Look at it with: shardctl status   Then plan again.",
    { plan: planJson(plan), run },
  );
}

function userName(session: Session): string {
  const actor = session.host.env["GITHUB_ACTOR"];
  return actor === undefined || actor === "" ? userInfo().username : actor;
}
