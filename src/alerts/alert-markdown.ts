/**
 * Renders the body of an environment's alert issue, and the comment that closes it. The body says
 * what is wrong, since when, and what to do. It stays under GitHub's limit and escapes all foreign
 * text. The caller adds the marker.
 */
import type { Drift } from "../model/drift.ts";
import { formatCount } from "../model/figures.ts";
import { assertNever } from "../model/result.ts";
import { type AlertMessage, countDrifts, shortCommit, shortName } from "./alert-message.ts";
import { placeOf } from "../render/drift-text.ts";
import { codeMarkdown, escapeMarkdown } from "../render/escape-markdown.ts";
import { clipText, fitItems } from "../render/fit-items.ts";
import { formatMoment } from "../render/time.ts";

/** Of 65,536 that GitHub takes. */
const TABLE_LENGTH_MAX = 20_000;
const REMEDIES_LENGTH_MAX = 34_000;

/** The issue's body as Markdown, fewer than 60,000 characters. */
export function renderAlertIssue(message: AlertMessage): string {
  const { environment, drifts, driftCount, commit } = message;
  const unlisted = driftCount - drifts.length;
  const fit = (
    render: (drift: Drift) => string,
    lengthMax: number,
    more: (hidden: number) => string,
  ): string =>
    fitItems(drifts, render, {
      lengthMax,
      separator: "\n",
      describeHidden: (hidden) => more(hidden + unlisted),
    });
  const rows = fit(
    driftRow,
    TABLE_LENGTH_MAX,
    (hidden) => `| … and ${formatCount(hidden)} more | | | |`,
  );
  const remedies = fit(
    driftRemedy,
    REMEDIES_LENGTH_MAX,
    (hidden) => `- … and ${formatCount(hidden)} more`,
  );
  const manifests =
    commit === null ? "" : ` against the manifests of ${codeMarkdown(shortCommit(commit))}`;
  const parts = [
    `**Live and the merged manifests of ${codeMarkdown(shortName(environment))} differ: ${countDrifts(message)}.**`,
    `| Drift | Namespace | What is wrong | Seen since |\n|---|---|---|---|\n${rows}`,
    `### What to do\n\n${remedies}`,
    `<sub>Found by two checks in a row${manifests}. shardctl edits this issue when a drift opens or goes away, and closes it when none is left. Run \`shardctl drift\` for the current state.</sub>`,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** The comment with which the issue is closed. */
export function renderAlertClosing({ environment, commit, cause }: AlertMessage): string {
  const name = codeMarkdown(shortName(environment));
  switch (cause) {
    case "clean":
      return `No drift is left: the last tick checked everything that was due in ${name}, could read all of it, and found no drift${commit === null ? "" : ` from ${codeMarkdown(shortCommit(commit))}`}.`;
    case "retired":
      return `${name} is not reconciled by this Worker any more, so it is no longer checked here.`;
    case "drift":
      throw new Error("An alert with open drifts is not closed");
    default:
      return assertNever(cause);
  }
}

function driftRow(drift: Drift): string {
  const what = [drift.reason, ...(drift.detail === null ? [] : [drift.detail])].map((text) =>
    escapeMarkdown(clipText(text)),
  );
  const cells = [
    drift.kind,
    placeMarkdown(drift),
    what.join("<br>"),
    formatMoment(drift.firstSeenAt),
  ];
  return `| ${cells.join(" | ")} |`;
}

function driftRemedy(drift: Drift): string {
  return `- ${drift.kind}, ${placeMarkdown(drift)}: ${remedyMarkdown(clipText(drift.remedy))}`;
}

/**
 * Keeps commands of a remedy apart from its words; what stands in them is escaped as everything
 * else.
 */
function remedyMarkdown(remedy: string): string {
  return remedy
    .split("`")
    .map((part, index, parts) => {
      const isCommand = index % 2 === 1 && index < parts.length - 1 && part !== "";
      return isCommand ? codeMarkdown(part) : escapeMarkdown(part);
    })
    .join("");
}

function placeMarkdown(drift: Drift): string {
  return drift.namespace === null ? placeOf(drift) : codeMarkdown(clipText(drift.namespace));
}
