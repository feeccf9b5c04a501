/** Gathers the content of an alert, before it is worded for an issue or a chat. */
import type { Drift } from "../model/drift.ts";
import { formatQuantity } from "../model/figures.ts";
import { printable, shorten } from "../render/printable.ts";

export interface AlertMessage {
  readonly environment: string;
  /** Open drifts in the order of the drift report; empty when all is well. */
  readonly drifts: readonly Drift[];
  /** How many there are; more than are listed when there are very many. */
  readonly driftCount: number;
  /** Of the manifests that live was compared with. */
  readonly commit: string | null;
  /** `retired`: the environment is not reconciled here any more. Only without drifts. */
  readonly cause: "drift" | "clean" | "retired";
}

const ENVIRONMENT_LENGTH_MAX = 100;
const COMMIT_DIGITS = 7;

/**
 * "shardctl: production has drifted", for the title: plain text, in which GitHub looks for
 * nothing.
 */
export function renderAlertTitle(environment: string): string {
  return `shardctl: ${shortName(environment)} has drifted`;
}

/** "2 drifts are open". */
export function countDrifts({ driftCount }: AlertMessage): string {
  return `${formatQuantity(driftCount, "drift is", "drifts are")} open`;
}

export function shortName(environment: string): string {
  return printable(shorten(environment, ENVIRONMENT_LENGTH_MAX));
}

export function shortCommit(commit: string): string {
  return printable(shorten(commit, COMMIT_DIGITS));
}
