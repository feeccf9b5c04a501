/**
 * Renders recent activity: runs, reviews of pull requests, plans, drifts and the operations of one
 * namespace, as tables.
 */
import { formatCount, formatQuantity } from "../model/figures.ts";
import type { Drift } from "../model/drift.ts";
import { describeSummary, type PlanSummary } from "../render/plan-summary.ts";
import { shorten } from "../render/printable.ts";
import { formatDuration } from "../render/time.ts";
import { namespaceAddress } from "./html/addresses.ts";
import { linkTo, mark, type Markup, markup, moment } from "./html/markup.ts";
import type { Links, OperationView, ReviewView, RunView, StoredPlanView } from "./page-data.ts";
import { describeWritePause } from "./operation-panel.ts";
import { table } from "./html/table.ts";

const DIGITS = 8;
const RUN_MARKS = {
  running: "↻",
  succeeded: "✓",
  failed: "✗",
  cancelled: "–",
  completed: "✓",
} as const;
const RUN_COUNTS = ["done", "running", "pending", "failed", "cancelled", "notExecuted"] as const;

export function driftTable(
  drifts: readonly Drift[],
  driftCount: number,
  environment: string | null,
): Markup {
  if (drifts.length === 0)
    return markup`<p class="quiet">${mark("✓")} None: live matches the manifests.</p>`;
  const more = driftCount - drifts.length;
  return markup`${table(
    "Drift: where live differs from the manifests",
    ["Kind", "Namespace", "What is wrong", "What to do", "Since"],
    drifts.map((drift) => ({
      key: `${drift.kind}/${drift.object ?? ""}/${drift.namespace ?? ""}/${drift.reason}`,
      cells: [
        markup`<span class="badge drift">${mark("≠")} ${drift.kind}</span> <span class="quiet">${describeDriftState(drift)}</span>`,
        drift.namespace === null || drift.object === null
          ? markup`the environment`
          : markup`<a href="${namespaceAddress({ name: drift.namespace, object: drift.object }, environment)}">${drift.namespace}</a>`,
        markup`${drift.reason}${drift.detail === null ? null : markup` <span class="quiet">${drift.detail}</span>`}`,
        markup`${drift.remedy}`,
        moment(drift.firstSeenAt),
      ],
    })),
  )}${more > 0 ? markup`<p class="quiet">And ${formatCount(more)} more: shardctl drift lists them all.</p>` : null}`;
}

function describeDriftState({ state }: Drift): string {
  switch (state) {
    case "watching":
      return "seen once, to be confirmed";
    case "open":
      return "open";
    case "warning":
      return "a warning";
    case "healing":
      return "being healed";
  }
}

export function runTable(runs: readonly RunView[], links: Links): Markup {
  if (runs.length === 0) return markup`<p class="quiet">No run yet: nothing was applied.</p>`;
  return table(
    "The last runs, newest first",
    ["Run", "Came to", "From", "By", "Started", "Took"],
    runs.map((run) => ({
      key: run.id,
      cells: [
        markup`${mark(RUN_MARKS[run.state])} ${run.state}<span class="quiet code">${run.id}</span>`,
        markup`${describeCounts(run)}${run.failures.map(({ namespace, error }) => markup`<span class="bad">${namespace}: ${error}</span>`)}`,
        origin(run, links),
        markup`${run.requestedBy}`,
        moment(run.startedAt),
        markup`${run.finishedAt === null ? "under way" : formatDuration(run.finishedAt - run.startedAt)}`,
      ],
    })),
  );
}

function describeCounts({ counts }: RunView): string {
  const said = RUN_COUNTS.flatMap((state) => {
    const count = counts[state] ?? 0;
    return count === 0
      ? []
      : [`${formatCount(count)} ${state === "notExecuted" ? "not executed" : state}`];
  });
  return said.length === 0 ? "nothing to do" : said.join(", ");
}

function origin({ pull, commit, runUrl, fingerprint }: RunView, links: Links): Markup {
  const parts = [
    ...(pull === null ? [] : [linkTo(links.pull(pull), `#${pull}`)]),
    ...(commit === null ? [] : [linkTo(links.commit(commit), shorten(commit, DIGITS))]),
    ...(isWeb(runUrl) ? [linkTo(runUrl, "workflow run")] : []),
  ];
  return markup`${parts.map((part, index) => markup`${index === 0 ? null : ", "}${part}`)}<span class="quiet code">plan ${shorten(fingerprint, DIGITS)}</span>`;
}

export function reviewTable(reviews: readonly ReviewView[], links: Links): Markup {
  if (reviews.length === 0)
    return markup`<p class="quiet">No plan was shown in a pull request yet.</p>`;
  return table(
    "Plans shown in pull requests, newest first",
    ["Pull request", "Plan", "By", "Shown"],
    reviews.map((review) => ({
      key: `${review.pull}/${review.fingerprint}`,
      cells: [
        markup`${linkTo(links.pull(review.pull), `#${review.pull}`)} <span class="quiet code">${shorten(review.headSha, DIGITS)}</span>`,
        planCell(review.plan, review.fingerprint, review.releasedBy),
        markup`${review.requestedBy}${isWeb(review.runUrl) ? markup`, ${linkTo(review.runUrl, "workflow run")}` : null}`,
        moment(review.reviewedAt),
      ],
    })),
  );
}

export function planTable(plans: readonly StoredPlanView[]): Markup {
  if (plans.length === 0) return markup`<p class="quiet">No plan yet: shardctl plan makes one.</p>`;
  return table(
    "The last plans, newest first",
    ["Plan", "Made"],
    plans.map(({ fingerprint, storedAt, plan }) => ({
      key: fingerprint,
      cells: [planCell(plan, fingerprint, null), moment(storedAt)],
    })),
  );
}

function planCell(
  plan: PlanSummary | null,
  fingerprint: string,
  releasedBy: string | null,
): Markup {
  const blocks =
    plan !== null && plan.blocks > 0
      ? markup`<span class="bad">${mark("!")} ${formatQuantity(plan.blocks, "block")}</span>`
      : null;
  const released = releasedBy === null ? null : markup`<span>released by ${releasedBy}</span>`;
  const said = plan === null ? "no longer stored" : describeSummary(plan, "");
  return markup`${said}${blocks}${released}<span class="quiet code">${shorten(fingerprint, DIGITS)}</span>`;
}

export function historyTable(
  history: readonly OperationView[],
  runs: readonly RunView[],
  links: Links,
): Markup {
  if (history.length === 0) return markup`<p class="quiet">No operation yet.</p>`;
  return table(
    "Operations of the namespace, newest first",
    ["Operation", "Change", "Came to", "By", "Started"],
    history.map((operation) => {
      const run = runs.find(({ id }) => id === operation.run);
      return {
        key: String(operation.id),
        cells: [
          markup`#${operation.id} ${operation.kind}<span class="quiet">epoch ${formatCount(operation.epochFrom)}${operation.epoch === operation.epochFrom ? null : ` → ${formatCount(operation.epoch)}`}</span>`,
          markup`${operation.change}`,
          markup`${mark(operation.paused === null ? RUN_MARKS[operation.state] : "❚❚")} ${describeEnd(operation)}${operation.writePauseMs === null ? null : markup`<span class="quiet">writes waited ${describeWritePause(operation)}</span>`}`,
          markup`${operation.requestedBy}${run === undefined ? null : markup` ${origin(run, links)}`}`,
          moment(operation.startedAt),
        ],
      };
    }),
  );
}

function describeEnd({
  state,
  rowsCopied,
  startedAt,
  finishedAt,
  fault,
  paused,
}: OperationView): string {
  const took = finishedAt === null ? "" : ` after ${formatDuration(finishedAt - startedAt)}`;
  switch (state) {
    case "running":
      return paused === null ? "running" : `paused: ${paused.reason}`;
    case "completed":
      return `${formatQuantity(rowsCopied, "row")} moved${took}`;
    case "cancelled":
    case "failed":
      return `${state}${took}${fault === null ? "" : `: ${fault.message}`}`;
  }
}

/** An address from outside is linked to only when a browser can go there. */
function isWeb(address: string | null): address is string {
  return address !== null && /^https?:\/\//i.test(address) && URL.canParse(address);
}
