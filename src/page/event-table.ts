/** The last events of the history as a table: what happened, to what, by whom, and from where. */
import type { HistoryEvent } from "../model/event.ts";
import { formatQuantity } from "../model/figures.ts";
import { shorten } from "../render/printable.ts";
import { formatDuration } from "../render/time.ts";
import { linkTo, type Markup, markup, moment } from "./html/markup.ts";
import type { Links } from "./page-data.ts";
import { table } from "./html/table.ts";

const DIGITS = 8;
/** A reason can be long; the whole of it is in the history. */
const SUMMARY_LENGTH_MAX = 300;

/** @param events newest first. */
export function eventTable(events: readonly HistoryEvent[], links: Links): Markup {
  if (events.length === 0) return markup`<p class="quiet">Nothing yet.</p>`;
  return markup`${table(
    "What happened, newest first",
    ["What", "Namespace", "From", "By", "When"],
    events.map((event) => ({
      key: String(event.id),
      cells: [
        markup`${shortened(event.summary)}<span class="quiet">${event.kind}${figures(event)}</span>`,
        event.namespace === null
          ? markup`<span class="quiet">environment</span>`
          : markup`${event.namespace}`,
        origin(event, links),
        markup`${event.actor}`,
        moment(event.at),
      ],
    })),
  )}<p class="quiet">Everything that is kept: <code>shardctl history</code></p>`;
}

function shortened(summary: string): string {
  const start = shorten(summary, SUMMARY_LENGTH_MAX);
  return start === summary ? summary : `${start}…`;
}

/** ", 3,000 rows moved in 12.3 s". */
function figures({ rowsMoved, durationMs }: HistoryEvent): string {
  const rows = rowsMoved === null ? "" : `, ${formatQuantity(rowsMoved, "row")} moved`;
  return durationMs === null ? rows : `${rows} in ${formatDuration(durationMs)}`;
}

function origin({ pull, commit, run, fingerprint, kind }: HistoryEvent, links: Links): Markup {
  const parts = [
    ...(pull === null ? [] : [linkTo(links.pull(pull), `#${pull}`)]),
    ...(commit === null ? [] : [linkTo(links.commit(commit), shorten(commit, DIGITS))]),
    ...(run === null ? [] : [markup`<span class="code">${run}</span>`]),
    // The fingerprint of an alert is that of its drifts.
    ...(run !== null || fingerprint === null || kind === "alert"
      ? []
      : [markup`<span class="code">plan ${shorten(fingerprint, DIGITS)}</span>`]),
  ];
  return parts.length === 0
    ? markup`–`
    : markup`${parts.map((part, index) => markup`${index === 0 ? null : ", "}${part}`)}`;
}
