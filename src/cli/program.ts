/**
 * Defines the whole command line: all commands, `--help` and `--version`, and the reply to unknown
 * commands.
 */
import { Command, CommanderError } from "commander";

import { type Example, type Perform, formatExamples } from "./command.ts";
import { defineApply } from "./commands/apply.ts";
import { defineCancel } from "./commands/cancel.ts";
import { defineDev } from "./commands/dev.ts";
import { defineDrift } from "./commands/drift.ts";
import { defineExport } from "./commands/export.ts";
import { defineForget } from "./commands/forget.ts";
import { defineHistory } from "./commands/history.ts";
import { defineImport } from "./commands/import.ts";
import { defineInit } from "./commands/init.ts";
import { definePause, defineResume } from "./commands/pause.ts";
import { definePlan } from "./commands/plan.ts";
import { defineRepair } from "./commands/repair.ts";
import { defineStatus } from "./commands/status.ts";
import { defineToken } from "./commands/token.ts";
import { defineValidate } from "./commands/validate.ts";
import { EXIT, type ExitCode, formatExitCodes } from "./exit-codes.ts";
import type { Host } from "./host.ts";
import { openSession, printFailure, runInSession, wantsColors } from "./session.ts";

const EXAMPLES: readonly Example[] = [
  ["shardctl init", "write shardctl.yaml and a first manifest"],
  ["shardctl validate", "check every manifest, without any server"],
  ["shardctl dev", "start the local runtime"],
  ["shardctl plan", "show what differs between manifests and live"],
  ["shardctl apply", "show the plan, ask, and carry it out"],
  ["shardctl status", "show what is live"],
];

const HELP_WIDTH = 100;
/** In the order in which people need them. */
const DEFINITIONS = [
  defineInit,
  defineValidate,
  definePlan,
  defineApply,
  defineStatus,
  defineDrift,
  defineHistory,
  definePause,
  defineResume,
  defineCancel,
  defineRepair,
  defineForget,
  defineImport,
  defineExport,
  defineToken,
  defineDev,
];

/**
 * Runs one command line (without `node` and the script) and gives its exit code. Never throws for
 * what a user did.
 */
export async function runCli(
  host: Host,
  version: string,
  argv: readonly string[],
): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const perform: Perform = async (options, body) => {
    exitCode = await runInSession(openSession(host, options.json === true), body);
  };
  const usageError: string[] = [];
  const program = buildProgram(host, version, perform, (text) => usageError.push(text));
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    return reportUsage(host, argv, usageError.join(""));
  }
}

function buildProgram(
  host: Host,
  version: string,
  perform: Perform,
  onError: (text: string) => void,
): Command {
  const program = new Command("shardctl");
  configure(program, host, onError);
  program
    .description(
      "Shards Cloudflare Durable Objects from manifests in Git: declare, plan, review, apply.",
    )
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help for a command")
    .addHelpText(
      "after",
      `\n${formatExamples(EXAMPLES)}\n\n${formatExitCodes()}\n\nEach command has more examples: shardctl help <command>`,
    );
  for (const define of DEFINITIONS) define(program, perform);
  // Subcommands were created by factories that copied the settings above.
  return program;
}

function configure(program: Command, host: Host, onError: (text: string) => void): void {
  program
    .exitOverride()
    .showSuggestionAfterError(true)
    .configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      writeErr: onError,
      getOutHelpWidth: () => Math.min(host.stdout.columns ?? HELP_WIDTH, HELP_WIDTH),
      getErrHelpWidth: () => HELP_WIDTH,
      getOutHasColors: () => wantsColors(host, host.stdout),
      getErrHasColors: () => wantsColors(host, host.stderr),
    });
}

function reportUsage(host: Host, argv: readonly string[], text: string): ExitCode {
  const json = argv.includes("--json");
  // `shardctl` alone is not a mistake in a word: the help is the answer, on stderr, with a failing
  // code for scripts.
  if (!json && !text.startsWith("error:")) {
    host.stderr.write(text);
    return EXIT.error;
  }
  const message = text.replace(/^error: /, "").trim();
  printFailure(host, json, {
    kind: "usage",
    message: capitalize(message),
    hint: "See: shardctl --help",
    exitCode: EXIT.error,
  });
  return EXIT.error;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
