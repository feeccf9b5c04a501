/**
 * `shardctl history`: shows what happened in an environment, the runs, or the operations of one
 * namespace.
 */
import { type Command, Option } from "commander";

import { EVENT_KINDS, type EventKind } from "../../model/event.ts";
import type { ApiClient } from "../api-client.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { findObject } from "../find-object.ts";
import { type Project, loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { eventsText, historyText, runsText } from "../views.ts";

interface HistoryOptions extends CommonOptions {
  readonly object?: string;
  readonly runs?: boolean;
  readonly kind?: EventKind;
  readonly export?: boolean;
  readonly bookmarks?: boolean;
}

/** As many as one answer may hold. */
const EXPORT_PAGE = 1000;

export function defineHistory(program: Command, perform: Perform): void {
  const command = program
    .command("history")
    .summary("show what happened, runs, or the operations of one namespace")
    .description(
      "Show what happened in the environment, its runs, or the operations of one namespace. Newest first.",
    )
    .argument("[namespace]", "the operations of this namespace; with --kind or --export its events")
    .option(
      "--object <binding>",
      "its Durable Object binding, when several have a namespace of this name",
    )
    .option("--runs", "show the runs of the reconciler")
    .addOption(new Option("--kind <kind>", "show only events of this kind").choices(EVENT_KINDS))
    .option(
      "--bookmarks",
      "with a namespace: list the bookmarks of each participant from before each operation",
    )
    .option("--export", "print every event as one line of JSON, oldest first");
  withHelp(withServerOptions(command), [
    ["shardctl history", "the latest events"],
    ["shardctl history orders", "the operations of one namespace"],
    ["shardctl history --runs", "all runs"],
    ["shardctl history --export > events.jsonl", "every stored event"],
  ]).action((name: string | undefined, options: HistoryOptions) =>
    perform(options, (session) => history(session, name, options)),
  );
}

async function history(
  session: Session,
  name: string | undefined,
  options: HistoryOptions,
): Promise<CliResult<Outcome>> {
  const isOfEvents = options.kind !== undefined || options.export === true;
  if (options.runs === true && (isOfEvents || name !== undefined))
    return fail("usage", "--runs cannot be combined with a namespace, --kind or --export.");
  if (options.bookmarks === true && (name === undefined || isOfEvents))
    return fail(
      "usage",
      "--bookmarks needs a namespace, and cannot be combined with --kind or --export.",
    );
  if (options.export === true && options.json === true)
    return fail(
      "usage",
      "Give --export or --json, not both: --export prints one JSON document a line, --json only one.",
    );
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  if (options.runs === true) return showRuns(session, api.value);
  if (name !== undefined && !isOfEvents)
    return showOperations(session, api.value, project.value, name, options);
  const filter = {
    environment: project.value.environment,
    namespace: name ?? null,
    kind: options.kind ?? null,
  };
  return options.export === true
    ? exportEvents(session, api.value, filter)
    : showEvents(session, api.value, filter);
}

async function showRuns(session: Session, api: ApiClient): Promise<CliResult<Outcome>> {
  const runs = await api.runs();
  if (!runs.ok) return runs;
  session.show(runsText(session, runs.value));
  return { ok: true, value: { exitCode: EXIT.done, json: { runs: runs.value } } };
}

async function showOperations(
  session: Session,
  api: ApiClient,
  project: Project,
  name: string,
  options: HistoryOptions,
): Promise<CliResult<Outcome>> {
  const object = await findObject(session.host, project, name, options.object);
  const operations = await api.history(name, object);
  if (!operations.ok) return operations;
  session.show(historyText(session, operations.value, options.bookmarks));
  return {
    ok: true,
    value: { exitCode: EXIT.done, json: { namespace: name, operations: operations.value } },
  };
}

interface Wanted {
  readonly environment: string;
  readonly namespace: string | null;
  readonly kind: EventKind | null;
}

async function showEvents(
  session: Session,
  api: ApiClient,
  wanted: Wanted,
): Promise<CliResult<Outcome>> {
  const events = await api.events(wanted);
  if (!events.ok) return events;
  session.show(eventsText(events.value));
  return { ok: true, value: { exitCode: EXIT.done, json: { events: events.value } } };
}

/** A page at a time, so that a broken connection costs one page and not the whole. */
async function exportEvents(
  session: Session,
  api: ApiClient,
  wanted: Wanted,
): Promise<CliResult<Outcome>> {
  let after = 0;
  for (;;) {
    const page = await api.events({ ...wanted, after, limit: EXPORT_PAGE });
    if (!page.ok) return page;
    for (const event of page.value) session.host.stdout.write(`${JSON.stringify(event)}\n`);
    const last = page.value.at(-1);
    if (last === undefined || last.id <= after)
      return { ok: true, value: { exitCode: EXIT.done, json: undefined } };
    after = last.id;
  }
}
