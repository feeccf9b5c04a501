/**
 * The rows of a namespace over its members as bars: one bar a member, or one for a few neighbours
 * when there are many. The picture's label says in words what it shows; a table can be opened
 * beside it. Heights are attributes, because the page allows no inline style.
 */
import { formatBytes, formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import { toleratedSkew } from "../model/layout/skew.ts";
import { formatSkew } from "../render/describe.ts";
import { mark, type Markup, markup } from "./html/markup.ts";
import type { MemberBucket, Sight } from "./page-data.ts";

const BAR_WIDTH = 10;
const GAP = 2;
const HEIGHT = 100;
/** So that a bar of a few rows beside millions is still seen. */
const HEIGHT_MIN = 1.5;

export interface PictureOptions {
  /** Null without a manifest. */
  readonly maxSkew: number | null;
  readonly size: "small" | "large";
}

export function distributionPicture(sight: Sight, { maxSkew, size }: PictureOptions): Markup {
  const { buckets } = sight;
  const { average, limit, top } = measure(sight, maxSkew);
  const scale = (rows: number): number => round((rows / top) * HEIGHT);
  const width = Math.max(1, buckets.length) * BAR_WIDTH;
  const line = (rows: number | null, name: string): Markup | null =>
    rows === null || rows === 0 || rows > top
      ? null
      : markup`<line class="${name}" x1="0" x2="${width}" y1="${round(HEIGHT - scale(rows))}" y2="${round(HEIGHT - scale(rows))}"/>`;
  return markup`<svg class="bars ${size}" viewBox="0 0 ${width} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="${describeSpread(sight)}">
${buckets.map((bucket, index) => bar(bucket, index, scale, limit))}
${size === "large" ? line(average, "mean") : null}${line(limit, "limit")}</svg>`;
}

/** True when the policy's limit lies within the picture. */
export function showsLimit(sight: Sight, maxSkew: number | null): boolean {
  const { limit, top } = measure(sight, maxSkew);
  return limit !== null && limit > 0 && limit <= top;
}

/** The average, the most that is allowed, and the rows that are as high as the picture. */
function measure({ buckets, members, rows, unhealthyCount }: Sight, maxSkew: number | null) {
  const average = members === 0 ? 0 : rows / Math.max(1, members - unhealthyCount);
  const limit = maxSkew === null ? null : average * toleratedSkew(maxSkew, rows, members);
  const most = Math.max(1, ...buckets.map(({ rowsMax }) => rowsMax));
  return {
    average,
    limit,
    top: Math.max(most, limit !== null && limit < 3 * most ? limit : 0) * 1.05,
  };
}

function bar(
  bucket: MemberBucket,
  index: number,
  scale: (rows: number) => number,
  limit: number | null,
): Markup {
  const x = index * BAR_WIDTH + GAP / 2;
  const healthy = bucket.members - bucket.unhealthy;
  const rect = (rows: number, name: string): Markup => {
    const height = rows === 0 ? 0 : Math.max(HEIGHT_MIN, scale(rows));
    return markup`<rect class="${name}" x="${x}" y="${round(HEIGHT - height)}" width="${BAR_WIDTH - GAP}" height="${height}"/>`;
  };
  const silent =
    bucket.unhealthy === 0
      ? null
      : markup`<rect class="silent" x="${x}" y="1" width="${BAR_WIDTH - GAP}" height="${HEIGHT - 2}"/>`;
  if (healthy === 0) return markup`${silent}`;
  const above = limit !== null && bucket.rowsMax > limit ? " above" : "";
  const average = rect(bucket.rowsTotal / healthy, `average${above}`);
  return healthy === 1
    ? markup`${average}${silent}`
    : markup`${rect(bucket.rowsMax, `most${above}`)}${average}${silent}`;
}

/** "8 shards: least 117,020 (orders-shard-3), average 150,541, most 161,200 (orders-shard-7)". */
export function describeSpread(sight: Sight): string {
  const { members, rows, fullest, emptiest, unhealthyCount, isSharded } = sight;
  const silent =
    unhealthyCount === 0
      ? ""
      : `; ${formatQuantity(unhealthyCount, "member does", "members do")} not answer`;
  if (!isSharded) return `Unsharded: ${formatQuantity(rows, "row")} on one object${silent}`;
  if (fullest === null || emptiest === null) return `${formatQuantity(members, "shard")}${silent}`;
  const average = formatCount(rows / Math.max(1, members - unhealthyCount));
  const spread = `least ${formatCount(emptiest.rows)} (${emptiest.name}), average ${average}, most ${formatCount(fullest.rows)} (${fullest.name})`;
  return `Rows over ${formatQuantity(members, "shard")}: ${spread}${silent}`;
}

/** The skew against what is allowed, with a mark and words. */
export function skewFigure(
  { skew, rows, members, isSharded }: Sight,
  maxSkew: number | null,
): Markup {
  if (!isSharded) return markup`–`;
  if (skew === null) return markup`unknown while a member is silent`;
  if (maxSkew === null) return markup`${formatSkew(skew)}`;
  const tolerated = toleratedSkew(maxSkew, rows, members);
  const allowed =
    tolerated > maxSkew
      ? `${formatSkew(tolerated)} is chance for so few rows`
      : `${formatSkew(maxSkew)} allowed`;
  return skew > tolerated
    ? markup`<span class="bad">${mark("▲")} ${formatSkew(skew)}, above the ${allowed}</span>`
    : markup`${formatSkew(skew)} <span class="quiet">of ${allowed}</span>`;
}

/** The same figures as a table, for whoever cannot see or wants to copy them. */
export function distributionTable({ buckets, rows }: Sight, name: string): Markup {
  const isGrouped = buckets.some(({ members }) => members > 1);
  return markup`<details><summary>The picture as a table</summary>
<table class="figures" role="table"><caption>Rows over the shards of ${name}</caption>
<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">${isGrouped ? "Shards" : "Shard"}</th>${
    isGrouped
      ? markup`<th scope="col" role="columnheader">Least</th><th scope="col" role="columnheader">Average</th><th scope="col" role="columnheader">Most</th>`
      : markup`<th scope="col" role="columnheader">Rows</th>`
  }<th scope="col" role="columnheader">Share</th></tr></thead>
<tbody role="rowgroup">${buckets.map((bucket) => bucketRow(bucket, rows, isGrouped))}</tbody></table></details>`;
}

function bucketRow(
  { first, members, rowsMin, rowsMax, rowsTotal, unhealthy }: MemberBucket,
  rows: number,
  isGrouped: boolean,
): Markup {
  const label = members === 1 ? `${first}` : `${first} … ${first + members - 1}`;
  const silent = unhealthy > 0 ? ` (${formatQuantity(unhealthy, "does", "do")} not answer)` : "";
  const average = formatCount(rowsTotal / Math.max(1, members - unhealthy));
  const figures = isGrouped
    ? [formatCount(rowsMin), average, formatCount(rowsMax)]
    : [formatCount(rowsTotal)];
  return markup`<tr role="row"><th scope="row" role="rowheader">${label}${silent}</th>${[
    ...figures,
    formatShare(rowsTotal, rows),
  ].map((figure) => markup`<td role="cell">${figure}</td>`)}</tr>`;
}

/** "1,204,332 rows · 241 MB". */
export function totalFigure({ rows, bytes }: Sight): string {
  return `${formatQuantity(rows, "row")} · ${formatBytes(bytes)}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
