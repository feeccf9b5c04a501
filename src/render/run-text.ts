/**
 * A run for a terminal: what each action of an apply has come to. Only what has ended well is
 * called done.
 */
import type { ActionState, Run, RunAction, RunState } from "../model/api.ts";
import { formatCount } from "../model/figures.ts";
import { assertNever } from "../model/result.ts";
import { type Cell, alignColumns } from "./columns.ts";
import { describeOperation } from "./operation-line.ts";
import { PLAIN_PALETTE, type Palette } from "./palette.ts";
import { printable, shorten } from "./printable.ts";
import { formatAge, formatDuration } from "./time.ts";

export interface RunTextOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly palette?: Palette;
}

const FINGERPRINT_DIGITS = 8;

const STATE_MARKS: Readonly<Record<ActionState, string>> = {
  pending: "·",
  running: "…",
  done: "✓",
  failed: "✗",
  cancelled: "-",
  notExecuted: "·",
};

const STATE_WORDS: Readonly<Record<ActionState, string>> = {
  pending: "pending",
  running: "running",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
  notExecuted: "not executed",
};

/** The run as lines of text, ending with a newline. */
export function renderRun(run: Run, { now, palette = PLAIN_PALETTE }: RunTextOptions): string {
  const head = [
    `Run ${printable(run.id)}`,
    printable(run.environment),
    paintState(run.state, palette)(run.state),
    `plan ${printable(shorten(run.fingerprint, FINGERPRINT_DIGITS))}…`,
    `by ${printable(run.requestedBy)}`,
    run.finishedAt === null
      ? `started ${formatAge(run.startedAt, now)}`
      : `took ${formatDuration(run.finishedAt - run.startedAt)}`,
  ];
  const lines = alignColumns(
    [
      { align: "left" },
      { align: "left", gap: 1 },
      { align: "left" },
      { align: "left" },
      { align: "left" },
    ],
    run.actions.map((action) => actionCells(action, now, palette)),
  );
  const overrides =
    run.overrides.length > 0 ? [`Guards overridden: ${run.overrides.join(", ")}`] : [];
  return `${[palette.bold(head.join(" · ")), ...lines, summarizeRun(run), ...overrides].join("\n")}\n`;
}

/** "Run: 1 done, 1 running, 2 pending." */
export function summarizeRun(run: Pick<Run, "actions">): string {
  return `Run: ${countActions(run)}.`;
}

/** "1 done, 1 running, 2 pending", or "no rows to move" of a plan without changes. */
export function countActions({ actions }: Pick<Run, "actions">): string {
  if (actions.length === 0) return "no rows to move";
  const states = (
    ["done", "running", "pending", "failed", "cancelled", "notExecuted"] as const
  ).flatMap((state) => {
    const count = actions.filter((action) => action.state === state).length;
    return count > 0 ? [`${formatCount(count)} ${STATE_WORDS[state]}`] : [];
  });
  return states.join(", ");
}

function actionCells(action: RunAction, now: number, palette: Palette): Cell[] {
  const paint = paintState(action.state, palette);
  const said = action.operation ? describeOperation(action.operation, now) : "";
  // An operation that failed or is paused says why itself; an action can fail before there is one.
  const isSaid =
    Boolean(action.operation?.fault) ||
    (action.state === "running" && Boolean(action.operation?.paused));
  const detail =
    action.error !== null && !isSaid
      ? [said, printable(action.error)].filter((part) => part !== "").join(": ")
      : said;
  return [
    { text: `  ${STATE_MARKS[action.state]}`, paint },
    printable(action.namespace),
    action.kind,
    { text: STATE_WORDS[action.state], paint },
    detail,
  ];
}

function paintState(state: ActionState | RunState, palette: Palette): (text: string) => string {
  switch (state) {
    case "done":
    case "succeeded":
      return palette.green;
    case "running":
      return palette.yellow;
    case "failed":
      return palette.red;
    case "cancelled":
    case "pending":
    case "notExecuted":
      return palette.dim;
    default:
      return assertNever(state);
  }
}
