/** The renderers of `render/`, with this session's colours and width. */
import type { NamespaceReport, Run } from "../core/api.ts";
import type { OperationStatus } from "../core/operation.ts";
import type { Plan } from "../core/plan.ts";
import type { Session } from "./session.ts";

export async function planText(session: Session, plan: Plan): Promise<string> {
  return session.colors.bold(plan.fingerprint);
}
export async function planMarkdown(plan: Plan): Promise<string> {
  return plan.fingerprint;
}
export async function planJson(plan: Plan): Promise<unknown> {
  return plan;
}
export async function statusText(_: Session, reports: readonly NamespaceReport[], detailed: boolean): Promise<string> {
  return JSON.stringify([reports, detailed]);
}
export async function runText(_: Session, run: Run): Promise<string> {
  return JSON.stringify(run);
}
export async function runsText(_: Session, runs: readonly Run[]): Promise<string> {
  return JSON.stringify(runs);
}
export async function historyText(_: Session, name: string, operations: readonly OperationStatus[]): Promise<string> {
  return JSON.stringify([name, operations]);
}
