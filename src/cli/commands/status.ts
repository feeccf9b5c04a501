/** `shardctl status`: shows what is live, or the progress of one run. */
import type { Command } from "commander";

import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { findObject } from "../find-object.ts";
import { loadProject } from "../project.ts";
import { renderRowIds } from "../../render/status-text.ts";
import type { Outcome, Session } from "../session.ts";
import { runText, statusText } from "../views.ts";

interface StatusOptions extends CommonOptions {
  readonly run?: string;
  readonly object?: string;
  readonly ids?: boolean;
}

export function defineStatus(program: Command, perform: Perform): void {
  const command = program
    .command("status")
    .summary("show what is live, or the progress of a run")
    .description("Show the live namespaces with rows, skew and health, or one run.")
    .argument("[namespace]", "only this one")
    .option(
      "--object <binding>",
      "its Durable Object binding, when several have a namespace of this name",
    )
    .option("--ids", "what its objects name of single rows: needs the role apply")
    .option("--run <id>", "show a run and the progress of its actions");
  withHelp(withServerOptions(command), [
    ["shardctl status", "all namespaces"],
    ["shardctl status orders", "one, with every member"],
    ["shardctl status --run <id>", "a run that `apply` started"],
  ]).action((name: string | undefined, options: StatusOptions) =>
    perform(options, (session) => status(session, name, options)),
  );
}

async function status(
  session: Session,
  name: string | undefined,
  options: StatusOptions,
): Promise<CliResult<Outcome>> {
  if (name !== undefined && options.run !== undefined)
    return fail("usage", "Give a namespace or --run, not both.");
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  if (options.run !== undefined) {
    const run = await api.value.run(options.run);
    if (!run.ok) return run;
    session.show(runText(session, run.value));
    return { ok: true, value: { exitCode: EXIT.done, json: run.value } };
  }
  const object =
    name === undefined
      ? (options.object ?? null)
      : await findObject(session.host, project.value, name, options.object);
  if (options.ids === true) {
    if (name === undefined) return fail("usage", "--ids needs the namespace.");
    const ids = await api.value.rowIds(name, object);
    if (!ids.ok) return ids;
    session.show(renderRowIds(ids.value));
    return { ok: true, value: { exitCode: EXIT.done, json: ids.value } };
  }
  const filter = {
    ...(name === undefined ? {} : { name }),
    ...(object === null ? {} : { object }),
  };
  const reports = await api.value.namespaces(filter);
  if (!reports.ok) return reports;
  if (name !== undefined && reports.value.length === 0) {
    return fail(
      "notFound",
      `No namespace '${name}' is known to ${api.value.endpoint}.`,
      "List the namespaces that are known: shardctl status",
    );
  }
  session.show(statusText(session, reports.value, name !== undefined));
  // A script that asks how things stand must not take "could not be read" for "all is well".
  const unread = reports.value.some((report) => report.kind === "failed");
  return {
    ok: true,
    value: { exitCode: unread ? EXIT.error : EXIT.done, json: { namespaces: reports.value } },
  };
}
