/** `shardctl init`: a config and a first manifest that validate. */
import type { Command } from "commander";

import { initialConfig, initialManifest } from "../../manifest/index.ts";
import { type CommonOptions, type Perform, withHelp } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import type { CliResult } from "../failure.ts";
import { CONFIG_NAME } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { type NewFile, writeNewFiles } from "../write-new-files.ts";

const MANIFEST_PATH = "manifests/example.yaml";

const NEXT_STEPS = `Next steps:
  1. Edit ${MANIFEST_PATH}: the name of your namespace, its Durable Object binding, its shard key.
  2. shardctl validate    check it
  3. shardctl dev         start the local runtime, in a second terminal
  4. shardctl plan        see what would be done
  5. shardctl apply       do it`;

export function defineInit(program: Command, perform: Perform): void {
  const command = program
    .command("init")
    .summary("write a config and a first manifest")
    .description(`Write ${CONFIG_NAME} and ${MANIFEST_PATH} here. Overwrites nothing.`);
  withHelp(command, [["shardctl init", "start in an empty folder or an existing project"]]).action((options: CommonOptions) =>
    perform(options, (session) => init(session)),
  );
}

async function init(session: Session): Promise<CliResult<Outcome>> {
  const files: readonly NewFile[] = [
    { path: CONFIG_NAME, text: initialConfig() },
    { path: MANIFEST_PATH, text: initialManifest() },
  ];
  const written = await writeNewFiles(
    session.host.cwd,
    files,
    false,
    "Move them away to start anew, or edit them; check them with: shardctl validate",
  );
  if (!written.ok) return written;
  const paths = files.map((file) => file.path);
  session.show(`${paths.map((path) => `Wrote ${path}`).join("\n")}\n\n${NEXT_STEPS}`);
  return { ok: true, value: { exitCode: EXIT.done, json: { written: paths } } };
}
