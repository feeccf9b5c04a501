/** `shardctl plan`: shows the difference between manifests and live. Changes nothing. */
import { type Command, Option } from "commander";

import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT, type ExitCode } from "../exit-codes.ts";
import type { CliResult } from "../failure.ts";
import { isEmptyPlan, type Plan } from "../../model/plan.ts";
import { planInActions } from "../github/plan-in-actions.ts";
import { loadDesired } from "../load-desired.ts";
import { writePlanFile } from "../plan-file.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { planJson, planMarkdown, planText } from "../views.ts";

type PlanFormat = "text" | "markdown" | "json";

interface PlanOptions extends CommonOptions {
  readonly exitCode?: boolean;
  readonly moves?: boolean;
  readonly exact?: boolean;
  readonly out?: string;
  readonly github?: boolean;
  readonly format: PlanFormat;
}

export function definePlan(program: Command, perform: Perform): void {
  const command = program
    .command("plan")
    .summary("show what differs between manifests and live")
    .description("Show the changes that would make live match the manifests. Changes nothing.")
    .argument("[paths...]", "manifests (default: those of the config)")
    .option("--exit-code", "exit with 2 when changes are pending, with 4 when a guard blocks them")
    .option("--moves", "list what each change moves between which members, and what they store")
    .option("--exact", "count every row, also of large namespaces: takes minutes")
    .option(
      "--github",
      "in a workflow: show the plan in the pull request, as a comment and a check",
    )
    .option("--out <file>", "also write the plan to a file, for `apply --plan`")
    .addOption(
      new Option("--format <format>", "how to print the plan")
        .choices(["text", "markdown", "json"])
        .default("text"),
    );
  withHelp(withServerOptions(command), [
    ["shardctl plan", "what differs in the default environment"],
    ["shardctl plan -e production --exit-code", "a check for CI"],
    ["shardctl plan --out plan.json", "save it, to apply exactly this plan"],
    ["shardctl plan --format markdown", "for a pull request"],
  ]).action((paths: string[], options: PlanOptions) => {
    const json = options.json === true || options.format === "json";
    return perform({ ...options, json }, (session) => plan(session, paths, options));
  });
}

async function plan(
  session: Session,
  paths: readonly string[],
  options: PlanOptions,
): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  if (options.github === true) return planInActions(session, project.value, paths);
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  const loaded = await loadDesired(session.host, project.value, paths);
  if (!loaded.ok) return loaded;
  const desired = loaded.value;
  const answer = await api.value.createPlan({
    desired,
    ...(options.exact === true && { exact: true }),
  });
  if (!answer.ok) return answer;
  if (options.out !== undefined) {
    const written = await writePlanFile(session.host.cwd, options.out, {
      plan: answer.value,
      desired,
    });
    if (!written.ok) return written;
  }
  session.show(
    options.format === "markdown"
      ? planMarkdown(answer.value)
      : planText(session, answer.value, options.moves),
  );
  if (options.out !== undefined)
    session.say(
      `\nThe plan is in ${options.out}. Apply it with: shardctl apply --plan ${options.out}`,
    );
  return {
    ok: true,
    value: { exitCode: exitCodeOf(answer.value, options), json: planJson(answer.value) },
  };
}

function exitCodeOf(answer: Plan, options: PlanOptions): ExitCode {
  if (options.exitCode !== true) return EXIT.done;
  if (answer.blocks.length > 0) return EXIT.blocked;
  return isEmptyPlan(answer) ? EXIT.done : EXIT.changesPending;
}
