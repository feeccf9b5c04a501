/**
 * `shardctl forget`: shows what the Worker remembers of a namespace that is no more, asks, and
 * forgets it. Touches no object.
 */
import type { Command } from "commander";

import { renderForgetPlan } from "../../render/forget-text.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { confirm } from "../confirm.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliFailure, type CliResult, fail } from "../failure.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";

interface ForgetOptions extends CommonOptions {
  readonly autoApprove?: boolean;
  readonly object?: string;
  readonly onlyIn?: string;
}

const WORDS = {
  question: "Do you want to forget it? Only 'yes' is accepted: ",
  nothing: "Nothing was forgotten",
};

export function defineForget(program: Command, perform: Perform): void {
  const command = program
    .command("forget")
    .summary("forget a namespace that is no more")
    .description(
      "Show what the Worker remembers of a namespace, ask, and forget it: plans and drifts tell of it no longer. Refused while it is sharded or has rows, while a manifest declares it, and while it cannot be read. No object is touched.",
    )
    .argument("<namespace>", "the namespace")
    .option("--auto-approve", "do not ask")
    .option(
      "--object <binding>",
      "its Durable Object binding, when several have a namespace of this name",
    )
    .option(
      "--only-in <environment>",
      "forget it in this environment, which took the name by mistake, and in no other",
    );
  withHelp(withServerOptions(command), [
    ["shardctl forget orders", "show what is remembered, ask, and forget it"],
    ["shardctl forget orders --object OLD_ORDERS", "one behind a binding that is gone"],
    ["shardctl forget orders --only-in staging", "it is another environment's"],
  ]).action((name: string, options: ForgetOptions) =>
    perform(options, (session) => forget(session, name, options)),
  );
}

async function forget(
  session: Session,
  name: string,
  options: ForgetOptions,
): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  // Not the manifest's binding: what is declared is not what is to be forgotten.
  const environment = options.onlyIn ?? null;
  const asked = { object: options.object ?? null, environment };
  const planned = await api.value.planForget(name, asked);
  if (!planned.ok) return planned;
  const plan = planned.value;
  if (!plan.isKnown)
    return fail(
      "notFound",
      `Nothing is remembered of '${name}' in ${plan.object}${environment === null ? "" : `, in ${environment}`}.`,
    );
  if (environment !== null && plan.environments.some((one) => one !== environment))
    return fail(
      "blocked",
      `Nothing was forgotten: this Worker is older, and would forget '${name}' in ${plan.environments.join(", ")}.`,
      "Update the Worker, or forget it everywhere: leave --only-in out.",
    );
  session.show(renderForgetPlan(plan));
  if (plan.obstacles.length > 0) {
    const lines = plan.obstacles.map((obstacle) => `  ${obstacle}`).join("\n");
    return fail("blocked", `Nothing was forgotten, because of this:\n${lines}`, null, { plan });
  }
  if (options.autoApprove !== true) {
    const confirmed = await confirm(session, WORDS, "Read it, then forget it with --auto-approve.");
    if (!confirmed.ok) return confirmed;
  }
  const forgotten = await api.value.forget(name, { object: plan.object, environment });
  if (!forgotten.ok) return { ok: false, failure: withWayOut(forgotten.failure, name, options) };
  session.say(`Forgotten: ${name} in ${plan.object}.`);
  return { ok: true, value: { exitCode: EXIT.done, json: { forgotten: plan } } };
}

/** A hint that fits `forget`: it is no guard of a plan that blocks it. */
function withWayOut(
  failure: CliFailure,
  name: string,
  { object, onlyIn }: ForgetOptions,
): CliFailure {
  if (failure.kind !== "blocked") return failure;
  const given = object === undefined ? "" : ` --object ${object}`;
  const there = onlyIn === undefined ? "" : ` --only-in ${onlyIn}`;
  return { ...failure, hint: `Look again: shardctl forget ${name}${given}${there}` };
}
