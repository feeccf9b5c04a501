/**
 * A plan for a pull request's comment, a check run or a step summary: GitHub's Markdown, always
 * under its size limit.
 *
 * The totals, the fingerprint and the numbers of blocks and policies always stand. The table of
 * changes, the policies, the blocks and the notices come next, each with a share of the room;
 * details of the changes fill what is left, in order, and what does not fit is counted. Everything
 * that did not come from shardctl itself is escaped.
 */
import { formatBytes, formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import type { Block, Change, Plan } from "../model/plan.ts";
import type { PolicyChange } from "../model/policy.ts";
import {
  SYMBOLS,
  describeChange,
  describeLayout,
  describeSkew,
  skewedNamespaces,
} from "./describe.ts";
import { codeMarkdown, escapeMarkdown } from "./escape-markdown.ts";
import { clipText, fitItems } from "./fit-items.ts";
import { describeSummary, summarizePlan } from "./plan-summary.ts";
import { COMMIT_DIGITS } from "./plan-text.ts";
import { describePolicyChange } from "./policy-words.ts";
import { shorten } from "./printable.ts";
import { sizeRows } from "./size-rows.ts";
import { formatMoment } from "./time.ts";

/** GitHub refuses comments over 65,536 characters; the caller adds a marker and links. */
export const MARKDOWN_LENGTH_MAX = 60_000;

/** Most of the room for each part, so that one cannot push out the others. */
const TABLE_SHARE_MAX = 0.4;
const POLICIES_SHARE_MAX = 0.15;
const BLOCKS_SHARE_MAX = 0.2;
const NOTICES_SHARE_MAX = 0.1;
/**
 * The header always stands, so what is in it must be short. Escaping can make a character thirteen.
 */
const ENVIRONMENT_LENGTH_MAX = 100;
const MOVES_MAX = 40;
const SIZES_MAX = 10;

export interface PlanMarkdownOptions {
  /** Fewer characters than this; at least 4,000. Default 60,000. */
  readonly lengthMax?: number;
  /**
   * False leaves out the heading with the environment and the commit, for text that has one of its
   * own. Default true.
   */
  readonly hasHeading?: boolean;
}

/**
 * The plan as Markdown, shorter than the limit. Split points stay out: they can be keys of rows.
 */
export function renderPlanMarkdown(
  plan: Plan,
  { lengthMax = MARKDOWN_LENGTH_MAX, hasHeading = true }: PlanMarkdownOptions = {},
): string {
  const sections = [
    hasHeading ? headingOf(plan) : "",
    `**${describeSummary(summarizePlan(plan))}**`,
    tableSection(plan, lengthMax * TABLE_SHARE_MAX),
    policySection(plan, lengthMax * POLICIES_SHARE_MAX),
    blockSection(plan, lengthMax * BLOCKS_SHARE_MAX),
    noticeSection(plan, lengthMax * NOTICES_SHARE_MAX),
  ].filter((section) => section !== "");
  const footer = `Fingerprint ${codeMarkdown(plan.fingerprint)}`;
  const details = fitItems(plan.changes, changeDetails, {
    lengthMax: lengthMax - 1 - sections.join("\n\n").length - footer.length - 2 * "\n\n".length,
    separator: "\n\n",
    describeHidden: (hidden) => `_Details of ${formatCount(hidden)} more changes are left out._`,
  });
  return `${[...sections, ...(details === "" ? [] : [details]), footer].join("\n\n")}\n`;
}

function headingOf(plan: Plan): string {
  const commit =
    plan.commit === null
      ? ""
      : ` · manifests@${escapeMarkdown(shorten(plan.commit, COMMIT_DIGITS))}`;
  return `### shardctl plan · ${escapeMarkdown(shorten(plan.environment, ENVIRONMENT_LENGTH_MAX))}${commit}`;
}

function tableSection(plan: Plan, lengthMax: number): string {
  if (plan.changes.length === 0) return "";
  const skewed = skewedNamespaces(plan);
  const rows = fitItems(plan.changes, (change) => tableRow(change, skewed.has(change.namespace)), {
    lengthMax,
    separator: "\n",
    describeHidden: (hidden) => `| | … and ${formatCount(hidden)} more changes | | | | | |`,
  });
  return `| | Namespace | Change | | Rows moved | Bytes | Skew |\n|---|---|---|---|---:|---:|---|\n${rows}`;
}

function tableRow(change: Change, isSkewed: boolean): string {
  const mark = (change.estimate?.sampledEvery ?? 1) > 1 ? "≈ " : "";
  const cells = [
    `<code>${SYMBOLS[change.kind]}</code>`,
    codeMarkdown(clipText(change.namespace)),
    change.kind,
    escapeMarkdown(clipText(describeChange(change))),
    `${mark}${formatCount(change.rowsMoved)} (${formatShare(change.rowsMoved, change.rowsTotal)})`,
    formatBytes(change.bytesMoved),
    `${describeSkew(change)}${isSkewed ? " :warning:" : ""}`,
  ];
  return `| ${cells.join(" | ")} |`;
}

/** The policies that change, what loosens first; empty without any. */
export function policySection(
  { policies = [] }: Pick<Plan, "policies">,
  lengthMax: number,
): string {
  if (policies.length === 0) return "";
  const loosened = policies.filter(({ fields }) => fields.some(({ loosens }) => loosens));
  // Loosened ones come first: they must not be what is left out.
  const ordered = [...loosened, ...policies.filter((change) => !loosened.includes(change))];
  const lines = fitItems(ordered, policyLine, {
    lengthMax,
    separator: "\n",
    describeHidden: (hidden) => `- … and ${formatCount(hidden)} more policies`,
  });
  const heading = `**Policies that change: ${formatCount(policies.length)}**`;
  const note =
    loosened.length === 0
      ? "They hold once this plan is applied."
      : `They hold once this plan is applied. ${formatQuantity(loosened.length, "policy loosens", "policies loosen")} something: for the changes of this plan it counts as before.`;
  return `${heading}\n\n${lines}\n\n${note}`;
}

function policyLine({ namespace, fields }: PolicyChange): string {
  return `- ${codeMarkdown(clipText(namespace))}: ${escapeMarkdown(clipText(describePolicyChange({ fields })))}`;
}

function blockSection({ blocks }: Plan, lengthMax: number): string {
  if (blocks.length === 0) return "";
  const lines = fitItems(blocks, blockLine, {
    lengthMax,
    separator: "\n",
    describeHidden: (hidden) => `- … and ${formatCount(hidden)} more blocks`,
  });
  return `**Blocked: ${formatCount(blocks.length)}**\n\n${lines}`;
}

function blockLine({ guard, namespace, message }: Block): string {
  const subject = namespace === null ? "the plan" : codeMarkdown(clipText(namespace));
  return `- ${subject}: ${escapeMarkdown(clipText(message))} (${guard})`;
}

function noticeSection({ notices }: Plan, lengthMax: number): string {
  if (notices.length === 0) return "";
  const lines = fitItems(
    notices,
    ({ namespace, message }) =>
      `- ${codeMarkdown(clipText(namespace))}: ${escapeMarkdown(clipText(message))}`,
    {
      lengthMax,
      separator: "\n",
      describeHidden: (hidden) => `- … and ${formatCount(hidden)} more notices`,
    },
  );
  return `Notices: ${formatCount(notices.length)}\n\n${lines}`;
}

/** The fullest objects, with how full they are. */
function sizeTable(change: Change): string {
  const { rows, hidden } = sizeRows(change, SIZES_MAX);
  if (rows.length === 0) return "";
  const lines = rows.map(
    ({ member, before, after, peak }) =>
      `| ${codeMarkdown(clipText(member))} | ${before} | ${after} | ${peak} |`,
  );
  if (hidden > 0) lines.push(`| … and ${formatCount(hidden)} more objects | | | |`);
  return `\n\n| Object | Storage before | After | At most meanwhile |\n|---|---:|---:|---:|\n${lines.join("\n")}`;
}

function changeDetails(change: Change): string {
  const points = change.to.kind === "range" ? change.to.members.length - 1 : 0;
  const facts = [
    `From ${escapeMarkdown(clipText(describeLayout(change.from)))} at epoch ${change.epoch} to ${escapeMarkdown(clipText(describeLayout(change.to)))}: ${escapeMarkdown(clipText(change.reason))}.`,
    `${formatCount(change.rowsMoved)} of ${formatCount(change.rowsTotal)} rows move, counted ${formatMoment(change.countedAt)}.`,
    ...(change.missingKeys > 0 ? [`${formatCount(change.missingKeys)} rows have no key.`] : []),
    ...(points === 0
      ? []
      : [
          `${formatQuantity(points, "split point")}: <code>shardctl plan --moves</code> shows them.`,
        ]),
    ...(change.dependsOn.length > 0
      ? [`After ${escapeMarkdown(clipText(change.dependsOn.join(", ")))}.`]
      : []),
    `Declared in ${codeMarkdown(clipText(change.source.file))}, line ${change.source.line}.`,
  ];
  const moves = change.moves.slice(0, MOVES_MAX).map(({ source, target, rows, bytes }) => {
    return `| ${codeMarkdown(clipText(source))} | ${codeMarkdown(clipText(target))} | ${formatCount(rows)} | ${formatBytes(bytes)} |`;
  });
  const hidden = change.moves.length - moves.length;
  if (hidden > 0) moves.push(`| … and ${formatCount(hidden)} more moves | | | |`);
  const table =
    moves.length > 0
      ? `\n\n| From | To | Rows | Bytes |\n|---|---|---:|---:|\n${moves.join("\n")}`
      : "";
  return `<details><summary>${codeMarkdown(clipText(change.namespace))}: ${change.kind}, ${escapeMarkdown(clipText(describeChange(change)))}</summary>\n\n${facts.join("\n")}${table}${sizeTable(change)}\n\n</details>`;
}
