/**
 * A repair for a terminal: what each object reports, what would be done and what it costs, and the
 * one command that applies exactly that. Each obstacle names the next step.
 */
import { formatCount, formatQuantity } from "../model/figures.ts";
import type {
  RepairOutcome,
  RepairPlan,
  RepairRequest,
  RepairStep,
  StrayRows,
} from "../model/repair.ts";
import { alignColumns } from "./columns.ts";
import { PLAIN_PALETTE, type Palette } from "./palette.ts";
import { printable } from "./printable.ts";
import { formatAge } from "./time.ts";

export interface RepairTextOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly palette?: Palette;
}

/** Objects whose word is listed; the others are counted. */
const TESTIMONIES_MAX = 100;

/**
 * The plan as lines of text, ending with a newline. @param asked what it was made with: the command
 * repeats it.
 */
export function renderRepairPlan(
  plan: RepairPlan,
  asked: RepairRequest & { readonly object: string | null },
  { now, palette = PLAIN_PALETTE }: RepairTextOptions,
): string {
  const { disorder, steps, losses, obstacles } = plan;
  const blocks = [
    [
      palette.bold(headOf(plan, now)),
      ...(disorder === null ? [] : [`  ${palette.red(printable(disorder.message))}`]),
    ],
    listed("What each object reports:", testimonyLines(plan)),
    listed("What would be done:", stepLines(steps)),
    listed(
      "What is lost in any case:",
      losses.map(({ member, summary }) => `${printable(member)}: ${printable(summary)}`),
    ),
    listed(
      "What blocks it:",
      obstacles.map((obstacle) => palette.red(`! ${printable(obstacle)}`)),
    ),
    [summaryOf(plan), ...closingLines(plan, asked)],
  ].filter((lines) => lines.length > 0);
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** The outcome of a repair as text, ending with a newline. */
export function renderRepairOutcome(
  { namespace, steps, setAside }: RepairOutcome,
  { palette = PLAIN_PALETTE }: Pick<RepairTextOptions, "palette"> = {},
): string {
  const blocks = [
    [palette.bold(`${printable(namespace)} is repaired: ${formatQuantity(steps.length, "step")}.`)],
    listed("What was done:", stepLines(steps)),
    listed("Rows that were set aside:", alignColumns(ROW_COLUMNS, setAside.map(strayCells))),
    [
      ...(setAside.length > 0 ? [KEPT] : []),
      `Look at it with: shardctl status ${shellWord(namespace)}`,
    ],
  ].filter((lines) => lines.length > 0);
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** True when there is something that `--apply` may do. */
export function isApplicable({ steps, losses, obstacles }: RepairPlan): boolean {
  return obstacles.length === 0 && (steps.length > 0 || losses.length > 0);
}

/** The command that applies exactly this plan. */
export function applyCommand(
  { namespace, fingerprint }: RepairPlan,
  { members, acceptLoss, directory, object }: RepairRequest & { readonly object: string | null },
): string {
  const words = [
    "shardctl",
    "repair",
    namespace,
    ...(object === null ? [] : ["--object", object]),
    ...members.flatMap((member) => ["--member", member]),
    ...acceptLoss.flatMap((member) => ["--accept-loss", member]),
    ...(directory === true ? ["--directory"] : []),
    "--apply",
    "--fingerprint",
    fingerprint,
  ];
  return words.map(shellWord).join(" ");
}

const KEPT =
  "No row is deleted: what is set aside stays in the storage of its member, in tables beside its own, where no call finds it.";
const ROW_COLUMNS = [{ align: "left" }, { align: "left" }, { align: "right" }] as const;

function headOf({ namespace, disorder }: RepairPlan, now: number): string {
  const state =
    disorder === null
      ? "nothing is out of step"
      : `${disorder.kind}, since ${formatAge(disorder.since, now)}`;
  return `shardctl repair · ${printable(namespace)} · ${state}`;
}

function testimonyLines({ testimonies }: RepairPlan): string[] {
  const rows = testimonies
    .slice(0, TESTIMONIES_MAX)
    .map(({ member, says }) => [printable(member), printable(says)]);
  const hidden = testimonies.length - rows.length;
  return [
    ...alignColumns([{ align: "left" }, { align: "left" }], rows),
    ...(hidden > 0 ? [`… and ${formatCount(hidden)} more, all with --json`] : []),
  ];
}

function stepLines(steps: readonly RepairStep[]): string[] {
  return steps.flatMap(({ kind, member, summary, setAside }, index) => [
    `${formatCount(index + 1)}. ${kind} ${printable(member)}: ${printable(summary)}`,
    ...setAside.map((stray) => `   sets aside ${describeStray(stray)}`),
  ]);
}

function describeStray({ member, table, rows }: StrayRows): string {
  return `${formatQuantity(rows, "row")} of ${printable(table)} on ${printable(member)}`;
}

function strayCells({ member, table, rows }: StrayRows): string[] {
  return [printable(member), printable(table), formatQuantity(rows, "row")];
}

function summaryOf({ steps, losses, obstacles }: RepairPlan): string {
  const rows = steps
    .flatMap(({ setAside }) => setAside)
    .reduce((sum, stray) => sum + stray.rows, 0);
  return `Repair: ${formatQuantity(steps.length, "step")}, ${formatQuantity(rows, "row")} set aside, ${formatQuantity(losses.length, "loss", "losses")}, ${formatQuantity(obstacles.length, "obstacle")}.`;
}

function closingLines(
  plan: RepairPlan,
  asked: RepairRequest & { readonly object: string | null },
): string[] {
  const { disorder, steps, obstacles, fingerprint } = plan;
  const kept = steps.some(({ setAside }) => setAside.length > 0) ? [KEPT] : [];
  if (isApplicable(plan))
    return [
      ...kept,
      `Fingerprint: ${printable(fingerprint)}`,
      "Apply exactly this, or nothing, with:",
      `  ${applyCommand(plan, asked)}`,
    ];
  if (obstacles.length > 0)
    return [...kept, "It cannot be applied yet: remove what blocks it, and plan again."];
  return disorder === null
    ? []
    : [
        "Nothing can be proven, so nothing would be done. Name further objects with --member <name>.",
      ];
}

function listed(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`)];
}

/** One word of a POSIX shell, safe for a terminal. */
function shellWord(text: string): string {
  const shown = printable(text);
  return /^[\w.:@%+=,/-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", String.raw`'\''`)}'`;
}
