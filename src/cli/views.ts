/** Renders text for people: the renderers of `render/` with this session's colours and clock. */
import type { NamespaceReport, Run } from "../model/api.ts";
import type { DriftReport } from "../model/drift.ts";
import type { HistoryEvent } from "../model/event.ts";
import type { OperationStatus } from "../model/operation.ts";
import type { Plan } from "../model/plan.ts";
import type { RepairOutcome, RepairPlan, RepairRequest } from "../model/repair.ts";
import { alignColumns } from "../render/columns.ts";
import { renderDrift } from "../render/drift-text.ts";
import { renderEvents } from "../render/events-text.ts";
import { renderHistory } from "../render/history-text.ts";
import { planDocument } from "../render/plan-json.ts";
import { renderPlanMarkdown } from "../render/plan-markdown.ts";
import { renderPlanText } from "../render/plan-text.ts";
import { printable } from "../render/printable.ts";
import { renderRepairOutcome, renderRepairPlan } from "../render/repair-text.ts";
import { renderRun, summarizeRun } from "../render/run-text.ts";
import { renderStatus } from "../render/status-text.ts";
import { formatMoment } from "../render/time.ts";
import type { Session } from "./session.ts";

export function planText({ colors }: Session, plan: Plan, moves = false): string {
  return renderPlanText(plan, { palette: colors, moves });
}

export function planMarkdown(plan: Plan): string {
  return renderPlanMarkdown(plan);
}

/** The documented JSON form, as a value. */
export function planJson(plan: Plan): unknown {
  return planDocument(plan);
}

export function statusText(
  { colors, host }: Session,
  reports: readonly NamespaceReport[],
  members: boolean,
): string {
  return renderStatus(reports, {
    now: host.now(),
    palette: colors,
    ...(members ? { members } : {}),
  });
}

export function runText({ colors, host }: Session, run: Run): string {
  return renderRun(run, { now: host.now(), palette: colors });
}

export function historyText(
  { colors, host }: Session,
  operations: readonly OperationStatus[],
  bookmarks = false,
): string {
  return renderHistory(operations, { now: host.now(), palette: colors, bookmarks });
}

/** @param asked as the command that applies it repeats it. */
export function repairPlanText(
  { colors, host }: Session,
  plan: RepairPlan,
  asked: RepairRequest & { readonly object: string | null },
): string {
  return renderRepairPlan(plan, asked, { now: host.now(), palette: colors });
}

export function repairOutcomeText({ colors }: Session, outcome: RepairOutcome): string {
  return renderRepairOutcome(outcome, { palette: colors });
}

export function driftText({ colors, host }: Session, report: DriftReport): string {
  return renderDrift(report, { now: host.now(), palette: colors });
}

export function eventsText(events: readonly HistoryEvent[]): string {
  return renderEvents(events);
}

/** One line a run. */
export function runsText({ colors }: Session, runs: readonly Run[]): string {
  if (runs.length === 0) return "No runs yet.\n";
  const paints = {
    running: colors.yellow,
    succeeded: colors.green,
    failed: colors.red,
    cancelled: colors.dim,
  };
  const rows = runs.map((run) => [
    printable(run.id),
    formatMoment(run.startedAt),
    printable(run.environment),
    { text: run.state, paint: paints[run.state] },
    summarizeRun(run),
    `by ${printable(run.requestedBy)}`,
  ]);
  return `${alignColumns(rows[0]?.map(() => ({ align: "left" as const })) ?? [], rows).join("\n")}\n`;
}
