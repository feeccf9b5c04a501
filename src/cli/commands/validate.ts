/** `shardctl validate`: prints every error of every manifest, without any server. */
import { type Command, Option } from "commander";

import { formatQuantity } from "../../model/figures.ts";
import { ERROR_FORMATS, type ErrorFormat, formatErrors } from "../../manifest/index.ts";
import { type CommonOptions, type Perform, withHelp, withProjectOptions } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { parseProject } from "../load-desired.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";

interface ValidateOptions extends CommonOptions {
  readonly format: ErrorFormat;
}

export function defineValidate(program: Command, perform: Perform): void {
  const command = program
    .command("validate")
    .summary("check all manifests, without any server")
    .description("Check all manifests and print every error as file:line:column: message.")
    .argument("[paths...]", "files and folders (default: those of the config)")
    .addOption(
      new Option("--format <format>", "how to print errors; github makes annotations")
        .choices(ERROR_FORMATS)
        .default("text"),
    );
  withHelp(withProjectOptions(command), [
    ["shardctl validate", "the manifests of the config"],
    ["shardctl validate manifests/orders.yaml", "one file"],
    ["shardctl validate -e staging", "with the overrides of an environment"],
    ["shardctl validate --format github", "annotations in a workflow"],
  ]).action((paths: string[], options: ValidateOptions) => {
    const json = options.json === true || options.format === "json";
    return perform({ ...options, json }, (session) => validate(session, paths, options));
  });
}

async function validate(
  session: Session,
  paths: readonly string[],
  options: ValidateOptions,
): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const parsed = await parseProject(session.host, project.value, paths);
  if (!parsed.ok) return parsed;
  const { desired, errors, fileCount } = parsed.value;
  if (fileCount === 0) {
    const roots = paths.length === 0 ? project.value.manifests : paths;
    return fail(
      "manifests",
      `There are no manifests (*.yaml) in ${roots.join(", ")}.`,
      "Write a first one with: shardctl init",
    );
  }
  const namespaces = desired === null ? 0 : desired.namespaces.length;
  const json = { version: 1, valid: errors.length === 0, namespaces, files: fileCount, errors };
  if (errors.length > 0) {
    const text = formatErrors(errors, options.format);
    if (options.format === "github") session.command(text);
    else session.show(text);
    session.show(
      `${formatQuantity(errors.length, "error")} in ${formatQuantity(fileCount, "file")}.`,
    );
    return { ok: true, value: { exitCode: EXIT.error, json } };
  }
  session.show(
    `${formatQuantity(namespaces, "namespace")} in ${formatQuantity(fileCount, "file")} ${namespaces === 1 ? "is" : "are"} valid.`,
  );
  return { ok: true, value: { exitCode: EXIT.done, json } };
}
