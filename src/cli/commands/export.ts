/**
 * `shardctl export --state`: writes the Worker's own state into a file, or to stdout. Changes
 * nothing.
 */
import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";

import type { Command } from "commander";

import { formatQuantity } from "../../model/figures.ts";
import type { ApiClient } from "../api-client.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { reasonOf } from "../manifest-files.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { writeStateDocument } from "../state-document.ts";
import { exists } from "../write-new-files.ts";

interface ExportOptions extends CommonOptions {
  /** True: to stdout. */
  readonly state?: string | boolean;
  readonly force?: boolean;
}

/** For its owner only: split points are keys of rows. */
const FILE_MODE = 0o600;

export function defineExport(program: Command, perform: Perform): void {
  const command = program
    .command("export")
    .summary("write the Worker's own state into a file")
    .description(
      "Write the Worker's own state, for `import --state`: reviews, runs, the history, what is remembered, pauses, and what was told. It has no secrets, and no ids or keys of rows but split points.",
    )
    .option("--state [file]", "the file to write; without a name, print it")
    .option("--force", "overwrite an existing file");
  withHelp(withServerOptions(command), [
    ["shardctl export --state state.json", "into a file"],
    ["shardctl export --state | gzip > state.json.gz", "to another program"],
  ]).action((options: ExportOptions) =>
    perform(options, (session) => exportState(session, options)),
  );
}

async function exportState(session: Session, options: ExportOptions): Promise<CliResult<Outcome>> {
  const { state } = options;
  if (state === undefined || state === false)
    return fail("usage", "Say what to export: shardctl export --state [file]");
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  if (state === true) {
    const { stdout } = session.host;
    const printed = await writeStateDocument(api.value, async (text) => void stdout.write(text));
    return printed.ok ? { ok: true, value: { exitCode: EXIT.done, json: undefined } } : printed;
  }
  if (options.force !== true && (await exists(resolve(session.host.cwd, state))))
    return fail("file", `Nothing was written: ${state} already exists.`, "Overwrite with --force.");
  const counts = await writeFile(session, api.value, state);
  if (!counts.ok) return counts;
  const rows = [...counts.value.values()].reduce((sum, count) => sum + count, 0);
  session.show(`Wrote ${state}: ${formatQuantity(rows, "row")} of ${counts.value.size} tables.`);
  const json = { written: state, tables: Object.fromEntries(counts.value) };
  return { ok: true, value: { exitCode: EXIT.done, json } };
}

/** The file appears when it is whole. */
async function writeFile(
  { host }: Session,
  api: ApiClient,
  path: string,
): Promise<CliResult<ReadonlyMap<string, number>>> {
  const place = `${resolve(host.cwd, path)}.${randomUUID()}.new`;
  try {
    const file = await open(place, "wx", FILE_MODE);
    try {
      const written = await writeStateDocument(api, async (text) => {
        await file.writeFile(text);
      });
      if (!written.ok) return written;
      await file.sync();
      await rename(place, resolve(host.cwd, path));
      return written;
    } finally {
      await file.close();
    }
  } catch (error) {
    return fail("file", `Nothing was written: cannot write ${path}: ${reasonOf(error)}.`);
  } finally {
    await rm(place, { force: true });
  }
}
