/**
 * `shardctl pause` and `shardctl resume`: pause and resume operations, in one namespace or
 * everywhere.
 */
import type { Command } from "commander";

import type { OperationStatus } from "../../model/operation.ts";
import { printable } from "../../render/printable.ts";
import type { ApiClient } from "../api-client.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { findObject } from "../find-object.ts";
import { loadProject, type Project } from "../project.ts";
import type { Outcome, Session } from "../session.ts";

interface PauseOptions extends CommonOptions {
  readonly all?: boolean;
  readonly object?: string;
  readonly reason?: string;
}

export function definePause(program: Command, perform: Perform): void {
  const command = program
    .command("pause")
    .summary("pause operations, in one namespace or everywhere")
    .description(
      "Pause the running operation of a namespace, between two slices of its copy or after its wave. Nothing is undone. With --all, nothing new is applied, and running operations pause.",
    )
    .argument("[namespace]", "whose operation to pause")
    .option("--all", "everything that the reconciler does, in all its environments")
    .option("--reason <text>", "the reason, which others see (required)")
    .option(
      "--object <binding>",
      "its Durable Object binding, when several have a namespace of this name",
    );
  withHelp(withServerOptions(command), [
    ['shardctl pause orders --reason "black friday"', "pause the running operation of orders"],
    ['shardctl pause --all --reason "incident 7"', "stop everything"],
  ]).action((name: string | undefined, options: PauseOptions) =>
    perform(options, (session) => pause(session, name, options)),
  );
}

export function defineResume(program: Command, perform: Perform): void {
  const command = program
    .command("resume")
    .summary("resume paused operations")
    .description(
      "Resume the paused operation of a namespace. With --all, resume everything that `pause --all` paused.",
    )
    .argument("[namespace]", "whose operation to resume")
    .option(
      "--all",
      "everything that `pause --all` paused; operations that were paused by name stay paused",
    )
    .option(
      "--object <binding>",
      "its Durable Object binding, when several have a namespace of this name",
    );
  withHelp(withServerOptions(command), [
    ["shardctl resume orders", "resume the operation in orders"],
    ["shardctl resume --all", "resume everything"],
  ]).action((name: string | undefined, options: PauseOptions) =>
    perform(options, (session) => resume(session, name, options)),
  );
}

async function pause(
  session: Session,
  name: string | undefined,
  options: PauseOptions,
): Promise<CliResult<Outcome>> {
  const { reason } = options;
  if (reason === undefined || reason.trim() === "")
    return fail(
      "usage",
      "Give a reason, for others who find it paused: --reason <text>.",
      "See: shardctl pause --help",
    );
  const opened = await open(session, name, options, "pause");
  if (!opened.ok) return opened;
  const { api, object } = opened.value;
  if (name === undefined) return pauseAll(session, api, reason);
  const paused = await api.pauseOperation(name, object, reason);
  if (!paused.ok) return paused;
  session.show(
    `${describe(name, paused.value)} is paused in step ${paused.value.step}: ${printable(reason)}`,
  );
  session.say(`To resume it: shardctl resume ${printable(name)}`);
  return { ok: true, value: { exitCode: EXIT.done, json: { operation: paused.value } } };
}

async function pauseAll(
  session: Session,
  api: ApiClient,
  reason: string,
): Promise<CliResult<Outcome>> {
  const paused = await api.pauseAll(reason);
  if (!paused.ok) return paused;
  session.show(
    `Everything is paused by ${printable(paused.value.by)}: ${printable(paused.value.reason)}`,
  );
  session.say(
    "Nothing new is applied. Running operations pause after their wave: those of runs within seconds, others at the next tick.\nResume with: shardctl resume --all",
  );
  return { ok: true, value: { exitCode: EXIT.done, json: { paused: paused.value } } };
}

async function resume(
  session: Session,
  name: string | undefined,
  options: PauseOptions,
): Promise<CliResult<Outcome>> {
  const opened = await open(session, name, options, "resume");
  if (!opened.ok) return opened;
  const { api, object } = opened.value;
  if (name === undefined) {
    const resumed = await api.resumeAll();
    if (!resumed.ok) return resumed;
    session.show(
      "Everything has resumed: waiting changes are applied at the next tick. Operations that were paused by name stay paused.",
    );
    return { ok: true, value: { exitCode: EXIT.done, json: { paused: null } } };
  }
  const resumed = await api.resumeOperation(name, object);
  if (!resumed.ok) return resumed;
  session.show(`${describe(name, resumed.value)} has resumed in step ${resumed.value.step}.`);
  session.say(`Look at it with: shardctl status ${printable(name)}`);
  return { ok: true, value: { exitCode: EXIT.done, json: { operation: resumed.value } } };
}

interface Opened {
  readonly api: ApiClient;
  readonly object: string | null;
}

async function open(
  session: Session,
  name: string | undefined,
  options: PauseOptions,
  verb: string,
): Promise<CliResult<Opened>> {
  if ((name === undefined) === (options.all !== true)) {
    const message =
      name === undefined
        ? `Name what to ${verb}: a namespace, or --all.`
        : "Give a namespace or --all, not both.";
    return fail("usage", message, `See: shardctl ${verb} --help`);
  }
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  return {
    ok: true,
    value: { api: api.value, object: await objectOf(session, project.value, name, options.object) },
  };
}

async function objectOf(
  session: Session,
  project: Project,
  name: string | undefined,
  given: string | undefined,
): Promise<string | null> {
  return name === undefined ? null : findObject(session.host, project, name, given);
}

function describe(name: string, { id, kind }: OperationStatus): string {
  return `Operation ${id} (${kind}) of ${printable(name)}`;
}
