/**
 * Shares what all command files need: the common options, examples in help texts, and the type of
 * `perform`.
 */
import type { Command } from "commander";

import { formatExitCodes } from "./exit-codes.ts";
import type { CommandBody } from "./session.ts";

export interface CommonOptions {
  readonly json?: boolean;
  readonly config?: string | undefined;
  readonly environment?: string;
  readonly endpoint?: string;
}

/** Runs a command's body and remembers its exit code. */
export type Perform = (options: CommonOptions, body: CommandBody) => Promise<void>;

/** One line of the "Examples" section. */
export type Example = readonly [command: string, what: string];

/** Adds the options of commands that read manifests or the config. */
export function withProjectOptions(command: Command): Command {
  return command
    .option(
      "--config <file>",
      "the config to use (default: shardctl.yaml, here or in a folder above)",
    )
    .option("-e, --environment <name>", "environment of the config");
}

/** Adds the options of commands that talk to a reconciler. */
export function withServerOptions(command: Command): Command {
  return withProjectOptions(command).option(
    "--endpoint <url>",
    "the reconciler (default: SHARDCTL_ENDPOINT, then the environment's endpoint)",
  );
}

/** Adds `--json` and the examples and exit codes below the help text. Comes last. */
export function withHelp(command: Command, examples: readonly Example[]): Command {
  return command
    .option("--json", "print one JSON document on stdout, and nothing else there")
    .addHelpText("after", `\n${formatExamples(examples)}\n\n${formatExitCodes()}`);
}

export function formatExamples(examples: readonly Example[]): string {
  const width = Math.max(...examples.map(([command]) => command.length));
  return [
    "Examples:",
    ...examples.map(([command, what]) => `  $ ${command.padEnd(width)}   ${what}`),
  ].join("\n");
}
