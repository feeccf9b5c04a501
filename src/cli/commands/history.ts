/** `shardctl history`: the operations of one namespace, or the runs of the reconciler. */
import type { Command } from "commander";

import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import type { CliResult } from "../failure.ts";
import { findObject } from "../find-object.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { historyText, runsText } from "../views.ts";

interface HistoryOptions extends CommonOptions {
  readonly object?: string;
}

export function defineHistory(program: Command, perform: Perform): void {
  const command = program
    .command("history")
    .summary("show runs, or the operations of one namespace")
    .description("Show the runs of the reconciler, or the operations of one namespace. Newest first.")
    .argument("[namespace]", "the operations of this namespace")
    .option("--object <binding>", "its Durable Object binding, when several have a namespace of this name");
  withHelp(withServerOptions(command), [
    ["shardctl history", "all runs"],
    ["shardctl history orders", "what was done to one namespace"],
  ]).action((name: string | undefined, options: HistoryOptions) =>
    perform(options, (session) => history(session, name, options)),
  );
}

async function history(session: Session, name: string | undefined, options: HistoryOptions): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  if (name === undefined) {
    const runs = await api.value.runs();
    if (!runs.ok) return runs;
    session.show(runsText(session, runs.value));
    return { ok: true, value: { exitCode: EXIT.done, json: { runs: runs.value } } };
  }
  const object = await findObject(session.host, project.value, name, options.object);
  const operations = await api.value.history(name, object);
  if (!operations.ok) return operations;
  session.show(historyText(session, operations.value));
  return { ok: true, value: { exitCode: EXIT.done, json: { namespace: name, operations: operations.value } } };
}
