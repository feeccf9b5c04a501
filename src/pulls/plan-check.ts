/**
 * A check run for a plan: its verdict, its text, and annotations on the lines of the manifests.
 * Values only; who posts it is elsewhere.
 */
import { formatCount } from "../model/figures.ts";
import type { Block, Notice, Plan } from "../model/plan.ts";
import { assertNever } from "../model/result.ts";
import type { DesiredState, SourcePosition } from "../model/spec.ts";
import { renderPlanMarkdown } from "../render/plan-markdown.ts";
import { describeSummary, summarizePlan } from "../render/plan-summary.ts";
import { describePolicyChange } from "../render/policy-words.ts";
import { printable, shorten } from "../render/printable.ts";
import { listProblems, type ManifestProblem } from "./plan-comment.ts";

export type CheckState =
  | { readonly kind: "planned"; readonly plan: Plan; readonly desired: DesiredState }
  | { readonly kind: "invalid"; readonly errors: readonly ManifestProblem[] }
  | { readonly kind: "validated"; readonly namespaces: number }
  | { readonly kind: "unplanned"; readonly message: string }
  /** The pull request leaves the manifests as they are. */
  | { readonly kind: "untouched" };

export interface CheckMark {
  readonly path: string;
  /** 1-based. */
  readonly line: number;
  /** 1-based; null marks the whole line. */
  readonly column: number | null;
  readonly level: "notice" | "warning" | "failure";
  readonly title: string;
  readonly message: string;
}

export interface RenderedCheck {
  readonly conclusion: "success" | "failure" | "neutral";
  readonly title: string;
  readonly summary: string;
  readonly annotations: readonly CheckMark[];
}

/** GitHub's own limits: a title of 255 characters, a message of 64 KiB. */
const TITLE_LENGTH_MAX = 250;
const MESSAGE_LENGTH_MAX = 4000;

/** A plan passes unless something blocks it. */
export function renderCheck(state: CheckState): RenderedCheck {
  switch (state.kind) {
    case "planned":
      return checkOfPlan(state.plan, state.desired);
    case "invalid":
      return {
        conclusion: "failure",
        title: `${formatCount(state.errors.length)} ${state.errors.length === 1 ? "error" : "errors"} in the manifests`,
        summary: listProblems(state.errors),
        annotations: state.errors.map(({ file, line, column, message }) =>
          markAt({ file, line, column }, "failure", "Manifest error", message),
        ),
      };
    case "validated":
      return {
        conclusion: "success",
        title: `${formatCount(state.namespaces)} ${state.namespaces === 1 ? "namespace" : "namespaces"} checked`,
        summary: "The manifests are valid. A pull request from a fork is not compared with live.",
        annotations: [],
      };
    case "unplanned":
      return {
        conclusion: "neutral",
        title: "No plan could be made",
        summary: printable(shorten(state.message, MESSAGE_LENGTH_MAX)),
        annotations: [],
      };
    case "untouched":
      return {
        conclusion: "success",
        title: "No manifest is changed",
        summary: "Nothing was planned: this pull request changes no manifest.",
        annotations: [],
      };
    default:
      return assertNever(state);
  }
}

function checkOfPlan(plan: Plan, desired: DesiredState): RenderedCheck {
  const places = new Map(desired.namespaces.map(({ name, source }) => [name, source]));
  const at = (namespace: string | null): SourcePosition | undefined =>
    namespace === null ? undefined : places.get(namespace);
  const blocked = plan.blocks.length === 0 ? "" : ` Blocked: ${formatCount(plan.blocks.length)}.`;
  return {
    conclusion: plan.blocks.length === 0 ? "success" : "failure",
    title: shorten(`${describeSummary(summarizePlan(plan))}${blocked}`, TITLE_LENGTH_MAX),
    summary: renderPlanMarkdown(plan),
    annotations: [
      ...(plan.policies ?? []).map((change) =>
        markAt(
          change.source,
          change.fields.some(({ loosens }) => loosens) ? "warning" : "notice",
          "Policy change",
          `'${change.namespace}': ${describePolicyChange(change)}`,
        ),
      ),
      ...plan.blocks.flatMap((block: Block) =>
        markIf(at(block.namespace), "failure", `Blocked: ${block.guard}`, block.message),
      ),
      ...plan.notices.flatMap((notice: Notice) =>
        markIf(
          at(notice.namespace),
          notice.kind === "estimate" ? "notice" : "warning",
          notice.kind,
          `'${notice.namespace}': ${notice.message}`,
        ),
      ),
    ],
  };
}

function markIf(
  place: SourcePosition | undefined,
  level: CheckMark["level"],
  title: string,
  message: string,
): CheckMark[] {
  return place === undefined ? [] : [markAt(place, level, title, message)];
}

function markAt(
  place: SourcePosition,
  level: CheckMark["level"],
  title: string,
  message: string,
): CheckMark {
  const text = printable(shorten(message, MESSAGE_LENGTH_MAX));
  return {
    path: place.file,
    line: Math.max(1, place.line),
    column: place.column > 0 ? place.column : null,
    level,
    title,
    message: text,
  };
}
