/**
 * `shardctl cancel`: cancels a run. Operations before their cutover are undone; those after it run
 * to their end.
 */
import type { Command } from "commander";

import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import type { CliResult } from "../failure.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { runText } from "../views.ts";

export function defineCancel(program: Command, perform: Perform): void {
  const command = program
    .command("cancel")
    .summary("stop a run")
    .description(
      "Cancel a run. Operations before their cutover are undone; those after it run to their end.",
    )
    .argument("<run>", "id of the run, as `apply` and `history` print it");
  withHelp(withServerOptions(command), [
    ["shardctl cancel <run>", "stop a run that `apply` started"],
  ]).action((run: string, options: CommonOptions) =>
    perform(options, (session) => cancel(session, run, options)),
  );
}

async function cancel(
  session: Session,
  id: string,
  options: CommonOptions,
): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  const run = await api.value.cancelRun(id);
  if (!run.ok) return run;
  session.show(runText(session, run.value));
  if (run.value.finishedAt === null)
    session.say(
      `The run is being cancelled. Follow it with: shardctl status --run ${run.value.id}`,
    );
  return { ok: true, value: { exitCode: EXIT.done, json: run.value } };
}
