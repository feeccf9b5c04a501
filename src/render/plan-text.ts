/**
 * A plan for a terminal: one line a namespace, the policies that change, the totals, the
 * fingerprint, and whatever blocks it.
 *
 * Every change is shown, however many; of the namespaces in sync only the first few are, because
 * there the number says it all.
 */
import { formatBytes, formatCount, formatShare } from "../model/figures.ts";
import type { OperationKind } from "../model/operation.ts";
import type { Block, Change, Plan } from "../model/plan.ts";
import { type Cell, type Column, alignColumns } from "./columns.ts";
import {
  SYMBOLS,
  describeChange,
  describeSkew,
  describeSplitPoints,
  skewedNamespaces,
} from "./describe.ts";
import { PLAIN_PALETTE, type Palette } from "./palette.ts";
import { describeSummary, summarizePlan } from "./plan-summary.ts";
import { describePolicyChange } from "./policy-words.ts";
import { printable, shorten } from "./printable.ts";
import { sizeRows } from "./size-rows.ts";

export interface PlanTextOptions {
  readonly palette?: Palette;
  /** True lists, below the plan, what each change moves between which members. Default false. */
  readonly moves?: boolean;
}

const IN_SYNC_LINES_MAX = 20;
/** Digits of a commit, as Git shows it. */
export const COMMIT_DIGITS = 7;
const MOVE_LINES_MAX = 50;
const SIZE_LINES_MAX = 20;

const CHANGE_COLUMNS: readonly Column[] = [
  { align: "right" },
  { align: "left", gap: 1 },
  { align: "left" },
  { align: "left" },
  { align: "right" },
  { align: "right", gap: 1 },
  { align: "right" },
  { align: "left" },
  { align: "left", gap: 1 },
];

/** The plan as lines of text, ending with a newline. */
export function renderPlanText(
  plan: Plan,
  { palette = PLAIN_PALETTE, moves = false }: PlanTextOptions = {},
): string {
  const sections = [
    [palette.bold(describeHeader(plan))],
    changeLines(plan, palette),
    policyLines(plan, palette),
    [describeSummary(summarizePlan(plan)), `Fingerprint ${palette.cyan(plan.fingerprint)}`],
    blockLines(plan.blocks, palette),
    noticeLines(plan, palette),
    ...(moves
      ? plan.changes.flatMap((change) => [moveLines(change, palette), sizeLines(change, palette)])
      : []),
  ];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

/** "shardctl plan · production · manifests@3f9c2e1". */
function describeHeader({ environment, commit }: Pick<Plan, "environment" | "commit">): string {
  const parts = [
    "shardctl plan",
    printable(environment),
    ...(commit === null ? [] : [`manifests@${printable(shorten(commit, COMMIT_DIGITS))}`]),
  ];
  return parts.join(" · ");
}

function changeLines(plan: Plan, palette: Palette): string[] {
  const skewed = skewedNamespaces(plan);
  const inSync = plan.inSync.slice(0, IN_SYNC_LINES_MAX);
  const rows = [
    ...plan.changes.map((change) => changeCells(change, skewed, palette)),
    ...inSync.map(({ namespace }): Cell[] => [
      "",
      printable(namespace),
      { text: "in sync", paint: palette.dim },
    ]),
  ];
  // A plan in sync has no symbols, but its names stand where they always stand.
  const lines = alignColumns(CHANGE_COLUMNS, [["-/+"], ...rows]).slice(1);
  const hidden = plan.inSync.length - inSync.length;
  return hidden > 0
    ? [...lines, palette.dim(`    … and ${formatCount(hidden)} more in sync`)]
    : lines;
}

function changeCells(change: Change, skewed: ReadonlySet<string>, palette: Palette): Cell[] {
  const paint = paintOf(change.kind, palette);
  const skew = describeSkew(change);
  const mark = (change.estimate?.sampledEvery ?? 1) > 1 ? "≈ " : "";
  return [
    { text: SYMBOLS[change.kind], paint },
    printable(change.namespace),
    { text: change.kind, paint },
    printable(describeChange(change)),
    `${mark}${formatCount(change.rowsMoved)} rows move`,
    `(${formatShare(change.rowsMoved, change.rowsTotal)})`,
    formatBytes(change.bytesMoved),
    skew === "" ? "" : `skew ${skew}`,
    skewed.has(change.namespace) ? { text: "!", paint: palette.red } : "",
  ];
}

function policyLines({ policies = [] }: Plan, palette: Palette): string[] {
  if (policies.length === 0) return [];
  return [
    `Policies: ${formatCount(policies.length)}`,
    ...policies.map(({ namespace, fields }) => {
      const paint = fields.some(({ loosens }) => loosens) ? palette.red : palette.yellow;
      return `  ${paint("~")} ${printable(namespace)}: ${printable(describePolicyChange({ fields }))}`;
    }),
  ];
}

function paintOf(kind: OperationKind, palette: Palette): (text: string) => string {
  switch (kind) {
    case "shard":
      return palette.green;
    case "rebalance":
      return palette.yellow;
    case "rekey":
    case "unshard":
      return palette.red;
  }
}

function blockLines(blocks: readonly Block[], palette: Palette): string[] {
  if (blocks.length === 0) return [];
  const lines = blocks.map(({ guard, namespace, message }) => {
    const subject = namespace === null ? "the plan" : printable(namespace);
    return `  ${palette.red("!")} ${subject}: ${printable(message)} ${palette.dim(`[${guard}]`)}`;
  });
  return [palette.red(`Blocked: ${formatCount(blocks.length)}`), ...lines];
}

function noticeLines({ notices }: Plan, palette: Palette): string[] {
  if (notices.length === 0) return [];
  return [
    `Notices: ${formatCount(notices.length)}`,
    ...notices.map(
      ({ kind, namespace, message }) =>
        `    ${printable(namespace)}: ${printable(message)} ${palette.dim(`[${kind}]`)}`,
    ),
  ];
}

function moveLines(change: Change, palette: Palette): string[] {
  const points = describeSplitPoints(change.to);
  const rows = change.moves
    .slice(0, MOVE_LINES_MAX)
    .map(({ source, target, rows: many, bytes }) => [
      `  ${printable(source)}`,
      "→",
      printable(target),
      `${formatCount(many)} rows`,
      formatBytes(bytes),
    ]);
  const hidden = change.moves.length - rows.length;
  return [
    palette.bold(`${printable(change.namespace)}: ${printable(change.reason)}`),
    ...(points === null ? [] : [`  split points: ${printable(points)}`]),
    ...alignColumns(
      [
        { align: "left" },
        { align: "left", gap: 1 },
        { align: "left", gap: 1 },
        { align: "right" },
        { align: "right" },
      ],
      rows,
    ),
    ...(hidden > 0 ? [palette.dim(`  … and ${formatCount(hidden)} more moves`)] : []),
  ];
}

/** The sizes of the fullest objects, before, after and meanwhile. */
function sizeLines(change: Change, palette: Palette): string[] {
  const { rows, hidden } = sizeRows(change, SIZE_LINES_MAX);
  if (rows.length === 0) return [];
  return [
    palette.bold(`${printable(change.namespace)}: storage`),
    ...alignColumns(
      [{ align: "left" }, { align: "right" }, { align: "right" }, { align: "right" }],
      [
        ["  OBJECT", "BEFORE", "AFTER", "AT MOST MEANWHILE"],
        ...rows.map(({ member, before, after, peak }): Cell[] => [
          `  ${printable(member)}`,
          before,
          after,
          peak,
        ]),
      ],
    ),
    ...(hidden > 0 ? [palette.dim(`  … and ${formatCount(hidden)} more objects`)] : []),
  ];
}
