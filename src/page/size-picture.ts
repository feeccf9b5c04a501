/**
 * The sizes of a namespace's fullest members over time as lines, below the most that one may store.
 * The picture's label says in words what it shows; a table stands beside it.
 */
import { fillOf, formatFill } from "../model/capacity.ts";
import type { Capacity } from "../model/api.ts";
import { formatBytes, formatQuantity } from "../model/figures.ts";
import { describeForecast } from "../model/forecast.ts";
import type { SizeHistory } from "../model/size-history.ts";
import { type Markup, markup, moment } from "./html/markup.ts";

const WIDTH = 600;
const HEIGHT = 100;
/** Points of one line: an hourly month is thinned out. */
const POINTS_MAX = 150;
/** Members with a line of their own, beside that of the fullest at each time. */
const LINES_MAX = 5;
const DAY_MS = 86_400_000;

type Points = SizeHistory["members"][number]["points"];

/** Null while nothing is known. */
export function sizeSection(
  { points, members }: SizeHistory,
  { bytesMax, forecast }: Capacity,
  name: string,
): Markup | null {
  const last = points.at(-1);
  if (!last) return null;
  const until = describeForecast(forecast);
  const said = `The fullest member stores ${formatBytes(last.bytes)}, ${formatFill(fillOf({ storage: last.bytes }, bytesMax))} of ${formatBytes(bytesMax)}${until === null ? "" : `: ${until}`}`;
  const legend =
    members.length > 1
      ? "Dark: the fullest at each time; light: the fullest members of today. Dashed line: the most that one may store."
      : "Dashed line: the most that one may store.";
  return markup`<section id="sizes" aria-labelledby="sizes-title"><h2 id="sizes-title">Storage</h2>
<p>${said}. <span class="quiet">The namespace as a whole: ${formatBytes(last.total)}, seen ${moment(last.at)}.</span></p>
<figure>${picture(points, members, bytesMax, said)}<figcaption>${describeSpan(points)} <span class="quiet">${legend}</span></figcaption></figure>
${sizeTable(points, members, bytesMax, name)}</section>`;
}

function picture(
  points: SizeHistory["points"],
  members: SizeHistory["members"],
  bytesMax: number,
  said: string,
): Markup {
  const from = points[0]?.at ?? 0;
  const span = Math.max(DAY_MS, (points.at(-1)?.at ?? 0) - from);
  const most = Math.max(bytesMax, ...points.map(({ bytes }) => bytes)) * 1.05;
  const place = ({ at, bytes }: Points[number]): string =>
    `${round(((at - from) / span) * WIDTH)},${round(HEIGHT - (bytes / most) * HEIGHT)}`;
  const line = (shown: Points, style: string): Markup =>
    markup`<polyline class="${style}" points="${thinOut(shown).map(place).join(" ")}"/>`;
  const limit = round(HEIGHT - (bytesMax / most) * HEIGHT);
  const others = members.length > 1 ? members.slice(0, LINES_MAX) : [];
  return markup`<svg class="sizes" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${said}">
${others.map((member) =>
  line(
    member.points.filter(({ at }) => at >= from),
    "member",
  ),
)}${line(points, "fullest")}<line class="limit" x1="0" x2="${WIDTH}" y1="${limit}" y2="${limit}"/></svg>`;
}

/** The members of today, each with what it stored a week and a month ago. */
function sizeTable(
  points: SizeHistory["points"],
  members: SizeHistory["members"],
  bytesMax: number,
  name: string,
): Markup {
  const now = points.at(-1)?.at ?? 0;
  const ago = (sizes: Points, days: number): string => {
    const found = sizes.findLast(({ at }) => at <= now - days * DAY_MS);
    return found === undefined ? "–" : formatBytes(found.bytes);
  };
  const rows = members.map((member) => {
    const bytes = member.points.at(-1)?.bytes ?? 0;
    const cells = [
      formatBytes(bytes),
      formatFill(fillOf({ storage: bytes }, bytesMax)),
      ago(member.points, 7),
      ago(member.points, 30),
    ];
    return markup`<tr role="row"><th scope="row" role="rowheader">${member.name}</th>${cells.map((cell) => markup`<td role="cell">${cell}</td>`)}</tr>`;
  });
  const heads = ["Member", "Storage today", "Fill", "A week ago", "A month ago"];
  return markup`<details><summary>${members.length === 1 ? "Its sizes as a table" : `The ${formatQuantity(members.length, "fullest member")} as a table`}</summary>
<table class="figures" role="table"><caption>Storage of ${name} over time</caption><thead role="rowgroup"><tr role="row">${heads.map((head) => markup`<th scope="col" role="columnheader">${head}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows}</tbody></table></details>`;
}

function describeSpan(points: SizeHistory["points"]): Markup {
  const [first] = points;
  return first ? markup`Since ${moment(first.at)}.` : markup``;
}

/** With the last. */
function thinOut(points: Points): Points {
  const every = Math.ceil(points.length / POINTS_MAX);
  return points.filter((_, index) => (points.length - 1 - index) % every === 0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
