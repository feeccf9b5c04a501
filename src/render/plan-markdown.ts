/**
 * A plan for a pull request's comment, a check run or a step summary: GitHub's Markdown, always under its size limit.
 *
 * The totals, the fingerprint and the number of blocks always stand. The table of changes, the blocks and the notices come next,
 * each with a share of the room; details of the changes fill what is left, in order, and what does not fit is counted.
 * Everything that did not come from shardctl itself is escaped.
 */
import { formatBytes, formatCount, formatShare } from "../core/figures.ts";
import type { Block, Change, Plan } from "../core/plan.ts";
import { SYMBOLS, describeChange, describeLayout, describeSkew, describeSplitPoints, skewedNamespaces } from "./describe.ts";
import { codeMarkdown, escapeMarkdown } from "./escape-markdown.ts";
import { describeSummary, summarizePlan } from "./plan-summary.ts";
import { COMMIT_DIGITS } from "./plan-text.ts";
import { shorten } from "./printable.ts";
import { formatMoment } from "./time.ts";

/** GitHub refuses comments over 65,536 characters; the caller adds a marker and links. */
export const MARKDOWN_LENGTH_MAX = 60_000;

/** Most characters of each part, so that one cannot push out the others. */
const TABLE_LENGTH_MAX = 24_000;
const BLOCKS_LENGTH_MAX = 12_000;
const NOTICES_LENGTH_MAX = 6000;
/** A single line longer than this is cut: a message can carry a long name or key. */
const LINE_LENGTH_MAX = 600;
/** The header always stands, so what is in it must be short. Escaping can make a character thirteen. */
const ENVIRONMENT_LENGTH_MAX = 100;
const MOVES_MAX = 40;
const SPLIT_POINTS_MAX = 24;

/** The plan as Markdown, fewer than 60,000 characters. */
export function renderPlanMarkdown(plan: Plan): string {
  const sections = [headSection(plan), tableSection(plan), blockSection(plan), noticeSection(plan)].filter(
    (section) => section !== "",
  );
  const footer = `Fingerprint ${codeMarkdown(plan.fingerprint)}`;
  const details = fitItems(plan.changes, changeDetails, {
    lengthMax: MARKDOWN_LENGTH_MAX - 1 - sections.join("\n\n").length - footer.length - 2 * "\n\n".length,
    separator: "\n\n",
    describeHidden: (hidden) => `_Details of ${formatCount(hidden)} more changes are left out._`,
  });
  return `${[...sections, ...(details === "" ? [] : [details]), footer].join("\n\n")}\n`;
}

function headSection(plan: Plan): string {
  const commit = plan.commit === null ? "" : ` · manifests@${escapeMarkdown(shorten(plan.commit, COMMIT_DIGITS))}`;
  return `### shardctl plan · ${escapeMarkdown(shorten(plan.environment, ENVIRONMENT_LENGTH_MAX))}${commit}\n\n**${describeSummary(summarizePlan(plan))}**`;
}

function tableSection(plan: Plan): string {
  if (plan.changes.length === 0) return "";
  const skewed = skewedNamespaces(plan);
  const rows = fitItems(plan.changes, (change) => tableRow(change, skewed.has(change.namespace)), {
    lengthMax: TABLE_LENGTH_MAX,
    separator: "\n",
    describeHidden: (hidden) => `| | … and ${formatCount(hidden)} more changes | | | | | |`,
  });
  return `| | Namespace | Change | | Rows moved | Bytes | Skew |\n|---|---|---|---|---:|---:|---|\n${rows}`;
}

function tableRow(change: Change, isSkewed: boolean): string {
  const mark = (change.estimate?.sampledEvery ?? 1) > 1 ? "≈ " : "";
  const cells = [
    `<code>${SYMBOLS[change.kind]}</code>`,
    codeMarkdown(clip(change.namespace)),
    change.kind,
    escapeMarkdown(clip(describeChange(change))),
    `${mark}${formatCount(change.rowsMoved)} (${formatShare(change.rowsMoved, change.rowsTotal)})`,
    formatBytes(change.bytesMoved),
    `${describeSkew(change)}${isSkewed ? " :warning:" : ""}`,
  ];
  return `| ${cells.join(" | ")} |`;
}

function blockSection({ blocks }: Plan): string {
  if (blocks.length === 0) return "";
  const lines = fitItems(blocks, blockLine, {
    lengthMax: BLOCKS_LENGTH_MAX,
    separator: "\n",
    describeHidden: (hidden) => `- … and ${formatCount(hidden)} more blocks`,
  });
  return `**Blocked: ${formatCount(blocks.length)}**\n\n${lines}`;
}

function blockLine({ guard, namespace, message }: Block): string {
  const subject = namespace === null ? "the plan" : codeMarkdown(clip(namespace));
  return `- ${subject}: ${escapeMarkdown(clip(message))} (${guard})`;
}

function noticeSection({ notices }: Plan): string {
  if (notices.length === 0) return "";
  const lines = fitItems(
    notices,
    ({ namespace, message }) => `- ${codeMarkdown(clip(namespace))}: ${escapeMarkdown(clip(message))}`,
    {
      lengthMax: NOTICES_LENGTH_MAX,
      separator: "\n",
      describeHidden: (hidden) => `- … and ${formatCount(hidden)} more notices`,
    },
  );
  return `Notices: ${formatCount(notices.length)}\n\n${lines}`;
}

function changeDetails(change: Change): string {
  const points = describeSplitPoints(change.to, SPLIT_POINTS_MAX);
  const facts = [
    `From ${escapeMarkdown(clip(describeLayout(change.from)))} at epoch ${change.epoch} to ${escapeMarkdown(clip(describeLayout(change.to)))}: ${escapeMarkdown(clip(change.reason))}.`,
    `${formatCount(change.rowsMoved)} of ${formatCount(change.rowsTotal)} rows move, counted ${formatMoment(change.countedAt)}.`,
    ...(change.missingKeys > 0 ? [`${formatCount(change.missingKeys)} rows have no key.`] : []),
    ...(points === null ? [] : [`Split points: ${escapeMarkdown(clip(points))}.`]),
    ...(change.dependsOn.length > 0 ? [`After ${escapeMarkdown(clip(change.dependsOn.join(", ")))}.`] : []),
    `Declared in ${codeMarkdown(clip(change.source.file))}, line ${change.source.line}.`,
  ];
  const moves = change.moves.slice(0, MOVES_MAX).map(({ source, target, rows, bytes }) => {
    return `| ${codeMarkdown(clip(source))} | ${codeMarkdown(clip(target))} | ${formatCount(rows)} | ${formatBytes(bytes)} |`;
  });
  const hidden = change.moves.length - moves.length;
  if (hidden > 0) moves.push(`| … and ${formatCount(hidden)} more moves | | | |`);
  const table = moves.length > 0 ? `\n\n| From | To | Rows | Bytes |\n|---|---|---:|---:|\n${moves.join("\n")}` : "";
  return `<details><summary>${codeMarkdown(clip(change.namespace))}: ${change.kind}, ${escapeMarkdown(clip(describeChange(change)))}</summary>\n\n${facts.join("\n")}${table}\n\n</details>`;
}

/**
 * As many leading items as fit, rendered, and a last line that counts the others. Empty when not even that fits. Renders one item more
 * than it shows at most: of 10,000 changes only a few dozen have room.
 */
function fitItems<Item>(items: readonly Item[], render: (item: Item) => string, part: FittedPart): string {
  const shown: string[] = [];
  // Room for the line that counts the hidden ones is kept free from the start.
  let room = part.lengthMax - part.describeHidden(items.length).length - part.separator.length;
  if (items.length === 0 || room < 0) return "";
  for (const item of items) {
    const text = render(item);
    room -= text.length + part.separator.length;
    if (room < 0) break;
    shown.push(text);
  }
  const hidden = items.length - shown.length;
  return [...shown, ...(hidden > 0 ? [part.describeHidden(hidden)] : [])].join(part.separator);
}

interface FittedPart {
  /** Characters, with the separators and the last line. */
  readonly lengthMax: number;
  readonly separator: string;
  readonly describeHidden: (hidden: number) => string;
}

/** Cut before escaping, so that no entity is cut in two. */
function clip(text: string): string {
  const short = shorten(text, LINE_LENGTH_MAX);
  return short === text ? text : `${short}…`;
}
