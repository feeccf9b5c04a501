/**
 * `shardctl init`: writes a config and a first manifest that validate; with `--worker` also a
 * Worker that plans and applies. Overwrites nothing.
 */
import type { Command } from "commander";

import { initialConfig, initialManifest } from "../../manifest/index.ts";
import { type CommonOptions, type Perform, withHelp } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { addToGitignore } from "../init/gitignore.ts";
import { initWorker } from "../init/init-worker.ts";
import type { WorkerOptions } from "../init/worker-request.ts";
import { CONFIG_NAME } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { type NewFile, writeNewFiles } from "../write-new-files.ts";

type InitOptions = CommonOptions & WorkerOptions;

const MANIFEST_PATH = "manifests/example.yaml";
/** Files that `shardctl dev` leaves in the project. */
const IGNORED = [".shardctl/"];

const NEXT_STEPS = `Next steps:
  1. Edit ${MANIFEST_PATH}: the name of your namespace, its Durable Object binding, its shard key.
  2. shardctl validate    check it
  3. shardctl dev         start the local runtime, in a second terminal
  4. shardctl plan        see what would be done
  5. shardctl apply       do it
To deploy: shardctl init --worker writes a Worker that plans and applies.`;

export function defineInit(program: Command, perform: Perform): void {
  const command = program
    .command("init")
    .summary("write a config and a first manifest, or a Worker")
    .description(
      `Write ${CONFIG_NAME} and ${MANIFEST_PATH} here, and add the folder of \`shardctl dev\` to .gitignore. With --worker, also write a Worker that plans and applies. Overwrites nothing.`,
    )
    .option("--worker", "write a wrangler config, an entry file and a list of secrets")
    .option(
      "--binding <name...>",
      "Durable Object bindings of your classes (default: those of the manifests)",
    )
    .option(
      "--class <name...>",
      "your classes, in the order of the bindings (default: ORDER_LINES is OrderLines)",
    )
    .option("--script <name>", "the Worker that exports the classes, when it is another one")
    .option(
      "--name <name>",
      "name of the Worker (default: the folder's, or that of --script with -shardctl)",
    )
    .option("--out <folder>", "where the Worker goes (default: here, or control with --script)")
    .option(
      "--repository <owner/name>",
      "GitHub repository with the manifests, to follow it and its pull requests",
    )
    .option("--repository-id <number>", "GitHub's number of the repository")
    .option("--owner-id <number>", "GitHub's number of its owner");
  withHelp(command, [
    ["shardctl init", "start in an empty folder or an existing project"],
    [
      "shardctl init --worker --binding ORDERS --class Orders",
      "a Worker with your class and shardctl in it",
    ],
    [
      "shardctl init --worker --binding ORDERS --script shop",
      "a separate Worker, for a class in the Worker shop",
    ],
  ]).action((options: InitOptions) =>
    perform(options, (session) =>
      options.worker === true ? initWorker(session, options) : init(session, options),
    ),
  );
}

async function init(session: Session, options: InitOptions): Promise<CliResult<Outcome>> {
  const { json: _, worker: __, ...others } = options;
  const stray = Object.keys(others)[0];
  if (stray !== undefined)
    return fail(
      "usage",
      "Bindings, classes, names and repositories are options of a Worker.",
      "Add --worker.",
    );
  const files: readonly NewFile[] = [
    { path: CONFIG_NAME, text: initialConfig() },
    { path: MANIFEST_PATH, text: initialManifest() },
  ];
  const { cwd } = session.host;
  const written = await writeNewFiles(
    cwd,
    files,
    false,
    "Move them away to start over, or edit them; check them with: shardctl validate",
  );
  if (!written.ok) return written;
  const ignored = await addToGitignore(cwd, IGNORED);
  if (!ignored.ok) return ignored;
  const paths = files.map((file) => file.path);
  const lines = [
    ...paths.map((path) => `Wrote ${path}`),
    ...(ignored.value.length === 0 ? [] : [`Added ${ignored.value.join(", ")} to .gitignore`]),
  ];
  session.show(`${lines.join("\n")}\n\n${NEXT_STEPS}`);
  return {
    ok: true,
    value: { exitCode: EXIT.done, json: { written: paths, ignored: ignored.value } },
  };
}
