/**
 * `shardctl repair`: shows what is out of step in a namespace and what a repair would do; with
 * `--apply` does exactly what was shown, or nothing.
 */
import type { Command } from "commander";

import type { RepairPlan, RepairRequest } from "../../model/repair.ts";
import { applyCommand, isApplicable } from "../../render/repair-text.ts";
import type { ApiClient } from "../api-client.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { confirmApply } from "../confirm.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import { type CliFailure, type CliResult, fail } from "../failure.ts";
import { findObject } from "../find-object.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { repairOutcomeText, repairPlanText } from "../views.ts";

interface RepairOptions extends CommonOptions {
  readonly apply?: boolean;
  readonly fingerprint?: string;
  readonly member?: readonly string[];
  readonly acceptLoss?: readonly string[];
  readonly directory?: boolean;
  readonly object?: string;
  readonly exitCode?: boolean;
}

/** The namespace, and what is asked for. */
interface Wanted extends RepairRequest {
  readonly name: string;
  readonly object: string | null;
}

export function defineRepair(program: Command, perform: Perform): void {
  const command = program
    .command("repair")
    .summary("show what is out of step after a restore or a loss, and repair it")
    .description(
      "Show what each object of a namespace reports, what is out of step and what a repair would do. Changes nothing. With --apply, do exactly what was shown, or nothing. A repair never deletes a row: rows whose place cannot be proven are set aside, counted and listed.",
    )
    .argument("<namespace>", "the namespace")
    .option(
      "--apply",
      "carry it out; asks first, unless --fingerprint names the plan that was shown",
    )
    .option(
      "--fingerprint <hash>",
      "with --apply: the plan that was shown, or nothing if it has changed",
    )
    .option(
      "--accept-loss <member>",
      "accept the data loss on this member; may be repeated",
      collect,
    )
    .option(
      "--member <name>",
      "also ask this object, which the root no longer knows; may be repeated",
      collect,
    )
    .option(
      "--directory",
      "also enter all ids in the directory again: after a restore that left nothing out of step",
    )
    .option(
      "--object <binding>",
      "its Durable Object binding, when several have a namespace of this name",
    )
    .option(
      "--exit-code",
      "exit with 2 when there is something to repair, with 4 when an obstacle blocks it",
    );
  withHelp(withServerOptions(command), [
    ["shardctl repair orders", "what is out of step, and what would be done"],
    ["shardctl repair orders --apply", "show the plan, ask, and carry it out"],
    ["shardctl repair orders --apply --fingerprint <hash>", "exactly the plan that was shown"],
    ["shardctl repair orders --member orders-shard-0", "for a root that has forgotten its members"],
  ]).action((name: string, options: RepairOptions) =>
    perform(options, (session) => repair(session, name, options)),
  );
}

async function repair(
  session: Session,
  name: string,
  options: RepairOptions,
): Promise<CliResult<Outcome>> {
  if (options.fingerprint !== undefined && options.apply !== true)
    return fail(
      "usage",
      "--fingerprint names the plan to apply: give it together with --apply.",
      "See: shardctl repair --help",
    );
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  const object = await findObject(session.host, project.value, name, options.object);
  const wanted: Wanted = {
    name,
    object,
    members: options.member ?? [],
    acceptLoss: options.acceptLoss ?? [],
    ...(options.directory === true && { directory: true }),
  };
  if (options.fingerprint !== undefined)
    return applyExactly(session, api.value, wanted, options.fingerprint);
  const planned = await api.value.planRepair(name, object, wanted);
  if (!planned.ok) return planned;
  const plan = planned.value;
  session.show(repairPlanText(session, plan, { ...wanted, object: options.object ?? null }));
  if (options.apply === true) return applyShown(session, api.value, wanted, plan);
  return { ok: true, value: { exitCode: exitCodeOf(plan, options), json: { plan } } };
}

/** The plan was shown here, and is applied when it is approved here. */
async function applyShown(
  session: Session,
  api: ApiClient,
  wanted: Wanted,
  plan: RepairPlan,
): Promise<CliResult<Outcome>> {
  if (plan.obstacles.length > 0) {
    const lines = plan.obstacles.map((obstacle) => `  ${obstacle}`).join("\n");
    return fail("blocked", `Nothing was repaired, because of these obstacles:\n${lines}`, null, {
      plan,
    });
  }
  if (!isApplicable(plan)) {
    session.say("Nothing to do.");
    return { ok: true, value: { exitCode: EXIT.done, json: { plan, outcome: null } } };
  }
  const confirmed = await confirmApply(
    session,
    `Read the plan, then apply exactly that plan: ${applyCommand(plan, wanted)}`,
  );
  return confirmed.ok ? applyExactly(session, api, wanted, plan.fingerprint) : confirmed;
}

async function applyExactly(
  session: Session,
  api: ApiClient,
  { name, object, ...request }: Wanted,
  fingerprint: string,
): Promise<CliResult<Outcome>> {
  const applied = await api.repair(name, object, { fingerprint, ...request });
  if (!applied.ok) return { ok: false, failure: withWayOut(applied.failure, name) };
  session.show(repairOutcomeText(session, applied.value));
  return { ok: true, value: { exitCode: EXIT.done, json: { outcome: applied.value } } };
}

/** Plans of manifests are not what is meant here. */
function withWayOut(failure: CliFailure, name: string): CliFailure {
  const isOfPlan = failure.kind === "stalePlan" || failure.kind === "blocked";
  return isOfPlan
    ? { ...failure, hint: `Look at the current plan: shardctl repair ${name}` }
    : failure;
}

function exitCodeOf(plan: RepairPlan, { exitCode }: RepairOptions): ExitCode {
  if (exitCode !== true) return EXIT.done;
  if (plan.obstacles.length > 0) return EXIT.blocked;
  return plan.disorder !== null || plan.steps.length > 0 ? EXIT.changesPending : EXIT.done;
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
