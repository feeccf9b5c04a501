/**
 * The one comment of a pull request and an environment, in each of the states between the first
 * plan and the end of its run.
 *
 * A comment is a view: what a merge may apply is decided by the stored review. It always says what
 * will happen next and what a person can do, stays under GitHub's limit, and holds no row values
 * and no text that was not escaped. Markers are the poster's business.
 */
import type { Applies } from "../github/settings.ts";
import type { Run, RunAction } from "../model/api.ts";
import { formatCount } from "../model/figures.ts";
import { type Guard, isEmptyPlan, type Plan } from "../model/plan.ts";
import { assertNever } from "../model/result.ts";
import { describeChange } from "../render/describe.ts";
import { codeMarkdown, escapeMarkdown } from "../render/escape-markdown.ts";
import { clipText, fitItems } from "../render/fit-items.ts";
import { describeOperation } from "../render/operation-line.ts";
import { MARKDOWN_LENGTH_MAX, policySection, renderPlanMarkdown } from "../render/plan-markdown.ts";
import { summarizeRun } from "../render/run-text.ts";
import { shorten } from "../render/printable.ts";
import { formatDuration, formatMoment } from "../render/time.ts";

/** An error of a manifest, as the parser gives it. */
export interface ManifestProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export type CommentState =
  /** The plan of the head commit. */
  | { readonly kind: "planned"; readonly plan: Plan }
  | { readonly kind: "invalid"; readonly errors: readonly ManifestProblem[] }
  /** A pull request from a fork: checked, but not compared with live. */
  | { readonly kind: "validated"; readonly namespaces: number }
  /** No plan could be made. */
  | { readonly kind: "unplanned"; readonly message: string }
  /** Merged, but live is no longer what was reviewed. `moved` has one line for each difference. */
  | {
      readonly kind: "stale";
      readonly reviewed: string | null;
      readonly moved: readonly string[];
      readonly plan: Plan;
    }
  /** Merged, but something blocks it. */
  | { readonly kind: "held"; readonly message: string; readonly plan: Plan }
  | { readonly kind: "run"; readonly plan: Plan; readonly run: Run };

export interface CommentContext {
  readonly environment: string;
  /** The commit that the comment is about. */
  readonly headSha: string;
  /** The mode of the Worker that comments; absent where the commenter does not know it. */
  readonly applies?: Applies;
  /** A page with more, such as the workflow run. */
  readonly url: string | null;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

const SHA_DIGITS = 7;
const ENVIRONMENT_LENGTH_MAX = 100;
const LIST_LENGTH_MAX = 20_000;
/** Room for heading, footer and what each state adds around a plan. */
const FRAME_LENGTH_MAX = 4000;
const RUN_TABLE_LENGTH_MAX = 24_000;
const POLICIES_LENGTH_MAX = 8_000;

/** The comment as Markdown, fewer than 60,000 characters. */
export function renderComment(state: CommentState, context: CommentContext): string {
  const environment = escapeMarkdown(shorten(context.environment, ENVIRONMENT_LENGTH_MAX));
  const parts = [`### shardctl · ${environment}`, ...bodyOf(state, context), footerOf(context)];
  return `${parts.join("\n\n")}\n`;
}

function bodyOf(state: CommentState, context: CommentContext): string[] {
  switch (state.kind) {
    case "planned":
      return [planOf(state.plan), afterPlan(state.plan, context)];
    case "invalid":
      return [
        `**The manifests have ${formatCount(state.errors.length)} ${state.errors.length === 1 ? "error" : "errors"}: nothing was planned.**`,
        listProblems(state.errors),
      ];
    case "validated":
      return [
        `**${formatCount(state.namespaces)} ${state.namespaces === 1 ? "namespace is" : "namespaces are"} declared without an error.**`,
        "This pull request comes from a fork, so its manifests were only validated. It is planned against live before it can be applied: to see the plan here, push the branch to this repository.",
      ];
    case "unplanned":
      return [
        "**No plan could be made.**",
        escapeMarkdown(clipText(state.message)),
        "To retry, push again or rerun the workflow.",
      ];
    case "stale":
      return [...explainStale(state), planOf(state.plan, RUN_TABLE_LENGTH_MAX)];
    case "held":
      return [
        "**Merged, but not applied.**",
        escapeMarkdown(clipText(state.message)),
        planOf(state.plan, RUN_TABLE_LENGTH_MAX),
      ];
    case "run":
      return describeRun(state.plan, state.run, context.now);
    default:
      return assertNever(state);
  }
}

function planOf(plan: Plan, lengthMax = MARKDOWN_LENGTH_MAX): string {
  return renderPlanMarkdown(plan, {
    lengthMax: lengthMax - FRAME_LENGTH_MAX,
    hasHeading: false,
  }).trimEnd();
}

function afterPlan(plan: Plan, { environment, applies }: CommentContext): string {
  const where = codeMarkdown(shorten(environment, ENVIRONMENT_LENGTH_MAX));
  const hard = plan.blocks.filter(({ overridable }) => !overridable);
  if (hard.length > 0)
    return `Merging applies nothing to ${where} as long as a guard that cannot be overridden blocks the plan.`;
  if (isEmptyPlan(plan)) return `Merging changes nothing in ${where}.`;
  if (plan.blocks.length > 0) {
    return `Merging applies nothing to ${where} as long as a guard blocks the plan. Resolve it, or release exactly this plan after the merge:\n\n${releaseCommand(plan)}`;
  }
  const applier =
    applies === "workflow"
      ? "Merging alone applies nothing. After the merge, the workflow's apply job applies"
      : "Merging applies";
  return `${applier} exactly this plan to ${where}, or nothing if live has changed by then.`;
}

function explainStale({
  reviewed,
  moved,
  plan,
}: Extract<CommentState, { kind: "stale" }>): string[] {
  const lines = fitItems(moved, (line) => `- ${escapeMarkdown(clipText(line))}`, {
    lengthMax: LIST_LENGTH_MAX,
    separator: "\n",
    describeHidden: (hidden) => `- … and ${formatCount(hidden)} more`,
  });
  const why =
    reviewed === null
      ? "**Merged, but not applied: no plan was shown in this pull request.**"
      : `**Merged, but not applied: live has changed since plan ${codeMarkdown(reviewed.slice(0, SHA_DIGITS))} was reviewed.**`;
  const next = isEmptyPlan(plan)
    ? "There is nothing left to do."
    : `This is the current plan. Anyone with write access to this repository can release it by commenting:\n\n${releaseCommand(plan)}`;
  return [why, ...(lines === "" ? [] : [lines]), next];
}

/** The comment that releases a plan; whoever copies it sees which guards it overrides. */
export function releaseCommand(plan: Pick<Plan, "fingerprint" | "blocks">): string {
  const guards = [
    ...new Set(
      plan.blocks.flatMap(({ guard, overridable }): Guard[] => (overridable ? [guard] : [])),
    ),
  ];
  const override = guards.length === 0 ? "" : ` --override ${guards.join(" ")}`;
  return `\`\`\`\n/shardctl apply ${plan.fingerprint}${override}\n\`\`\``;
}

const RUN_TITLES: Readonly<Record<Run["state"], string>> = {
  running: "Applying.",
  succeeded: "Applied.",
  failed: "Applied in part: something failed.",
  cancelled: "Cancelled.",
};

const ACTION_MARKS: Readonly<Record<RunAction["state"], string>> = {
  pending: ":black_small_square: pending",
  running: ":hourglass_flowing_sand: running",
  done: ":white_check_mark: done",
  failed: ":x: failed",
  cancelled: ":heavy_minus_sign: cancelled",
  notExecuted: ":heavy_minus_sign: not executed",
};

function describeRun(plan: Plan, run: Run, now: number): string[] {
  const isNothingDone =
    run.state === "failed" && run.actions.every(({ state }) => state !== "done");
  const title = isNothingDone ? "Not applied: something failed." : RUN_TITLES[run.state];
  const took =
    run.finishedAt === null
      ? `started ${formatMoment(run.startedAt)}`
      : `took ${formatDuration(run.finishedAt - run.startedAt)}`;
  const rows = fitItems(run.actions, (action) => actionRow(plan, action, now), {
    lengthMax: RUN_TABLE_LENGTH_MAX,
    separator: "\n",
    describeHidden: (hidden) => `| … and ${formatCount(hidden)} more | | | |`,
  });
  const overrides =
    run.overrides.length === 0 ? [] : [`Guards overridden: ${run.overrides.join(", ")}.`];
  const policies = policySection(plan, POLICIES_LENGTH_MAX);
  const open = run.state === "failed" || run.state === "cancelled" ? [whatNow(run)] : [];
  return [
    `**${title} ${summarizeRun(run)}**`,
    ...(rows === "" ? [] : [`| Namespace | Change | State | |\n|---|---|---|---|\n${rows}`]),
    ...(policies === "" ? [] : [policies]),
    ...open,
    ...overrides,
    `Run ${codeMarkdown(run.id)} of plan ${codeMarkdown(run.fingerprint.slice(0, 12))}, asked for by ${escapeMarkdown(run.requestedBy)}, ${took}.`,
  ];
}

function whatNow({ actions }: Run): string {
  const left = actions.filter(({ state }) => state !== "done").length;
  return `${formatCount(left)} of ${formatCount(actions.length)} changes were not made. No row is lost: a change that did not complete left a valid layout, and the others were not started. To retry what is left, plan again, for example by rerunning the workflow.`;
}

function actionRow(
  plan: Plan,
  { namespace, kind, state, operation, error }: RunAction,
  now: number,
): string {
  const change = plan.changes.find((entry) => entry.namespace === namespace);
  const said = operation ? describeOperation(operation, now) : "";
  const isSaid = Boolean(operation?.fault) || (state === "running" && Boolean(operation?.paused));
  const reason = error !== null && !isSaid ? error : "";
  const cells = [
    codeMarkdown(clipText(namespace)),
    change ? `${kind} ${escapeMarkdown(clipText(describeChange(change)))}` : kind,
    ACTION_MARKS[state],
    escapeMarkdown(clipText([said, reason].filter((part) => part !== "").join(": "))),
  ];
  return `| ${cells.join(" | ")} |`;
}

function footerOf({ headSha, url }: CommentContext): string {
  const commit = codeMarkdown(headSha.slice(0, SHA_DIGITS));
  const link = url !== null && /^https?:\/\/[^\s()<>"]+$/.test(url) ? ` · [details](${url})` : "";
  return `<sub>For ${commit}${link}</sub>`;
}

/** Errors as a list, each with its place. */
export function listProblems(errors: readonly ManifestProblem[]): string {
  return fitItems(
    errors,
    ({ file, line, column, message }) =>
      `- ${codeMarkdown(clipText(`${file}:${line}:${column}`))} ${escapeMarkdown(clipText(message))}`,
    {
      lengthMax: LIST_LENGTH_MAX,
      separator: "\n",
      describeHidden: (hidden) => `- … and ${formatCount(hidden)} more errors`,
    },
  );
}
