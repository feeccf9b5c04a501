/**
 * One invocation of a command: where its text goes, its colours, and the one place that prints a
 * result or a failure. With `--json`, stdout carries exactly one JSON document, whatever happens,
 * and everything else goes to stderr. On a runner of GitHub Actions a line can be a command:
 * nothing that is printed here is one, but for what `command` is given.
 */
import pc from "picocolors";

import { defuseCommands } from "../github/actions-output.ts";
import { printable } from "../render/printable.ts";
import type { CliFailure, CliResult } from "./failure.ts";
import type { Host, TextStream } from "./host.ts";
import type { ExitCode } from "./exit-codes.ts";

type Colors = ReturnType<typeof pc.createColors>;

/**
 * How a command ended: its exit code and what `--json` prints, unless undefined. The text for
 * people was printed on the way.
 */
export interface Outcome {
  readonly exitCode: ExitCode;
  readonly json: unknown;
}

export interface Session {
  readonly host: Host;
  readonly json: boolean;
  /** Where text for people goes: stdout, or stderr with `--json`. */
  readonly stream: TextStream;
  readonly colors: Colors;
  /** Prints a line, or a block that ends with its own line break, for people. */
  say(text: string): void;
  /**
   * Prints the result of a command that people asked for; silent with `--json`, where the document
   * is the result.
   */
  show(text: string): void;
  /** Prints something that matters but is not the result, on stderr. */
  warn(text: string): void;
  /**
   * Prints workflow commands of our own making on stdout, such as annotations: the only lines that
   * a runner may obey.
   */
  command(text: string): void;
}

/** The function that a command file passes to `perform`. */
export type CommandBody = (session: Session) => Promise<CliResult<Outcome>>;

export function openSession(host: Host, json: boolean): Session {
  const stream = json ? host.stderr : host.stdout;
  const colors = pc.createColors(wantsColors(host, stream));
  const forLog = (text: string): string => asLines(isRunner(host) ? defuseCommands(text) : text);
  return {
    host,
    json,
    stream,
    colors,
    say: (text) => void stream.write(forLog(text)),
    show: (text) => {
      if (!json) host.stdout.write(forLog(text));
    },
    warn: (text) =>
      void host.stderr.write(
        `${pc.createColors(wantsColors(host, host.stderr)).yellow("Warning:")} ${forLog(text)}`,
      ),
    command: (text) => {
      if (!json) host.stdout.write(asLines(text));
    },
  };
}

/** Runs a body, prints how it ended, and gives the exit code. */
export async function runInSession(session: Session, body: CommandBody): Promise<ExitCode> {
  const result = await body(session);
  if (result.ok) {
    if (session.json && result.value.json !== undefined) printJson(session.host, result.value.json);
    return result.value.exitCode;
  }
  printFailure(session.host, session.json, result.failure);
  return result.failure.exitCode;
}

export function printFailure(host: Host, json: boolean, failure: CliFailure): void {
  const { details, ...error } = failure;
  if (json) return printJson(host, { error, ...details });
  const colors = pc.createColors(wantsColors(host, host.stderr));
  const forLog = (text: string): string =>
    asLines(isRunner(host) ? defuseCommands(inert(text)) : inert(text));
  host.stderr.write(`${colors.red("Error:")} ${forLog(failure.message)}`);
  if (failure.hint !== null) host.stderr.write(forLog(failure.hint));
}

/**
 * `NO_COLOR` wins, then `FORCE_COLOR`, then whether the stream is a terminal that knows colours.
 */
export function wantsColors(host: Host, stream: TextStream): boolean {
  if (host.env["NO_COLOR"]) return false;
  const forced = host.env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return stream.isTTY === true && host.env["TERM"] !== "dumb";
}

function printJson(host: Host, value: unknown): void {
  const text = JSON.stringify(value, null, 2);
  // A line of JSON begins with a brace, a blank or a quote, so this is all that a runner could
  // obey; it can only stand in a text.
  host.stdout.write(`${isRunner(host) ? text.replaceAll("##[", "\\u0023#[") : text}\n`);
}

function isRunner({ env }: Host): boolean {
  return env["GITHUB_ACTIONS"] === "true";
}

/** Messages repeat what servers and manifests say: that must not steer the terminal. */
function inert(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

function asLines(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}
