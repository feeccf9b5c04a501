/**
 * The page of one namespace: its state, its rows over the shards, the operation that runs, drift,
 * policy and history.
 */
import type { Capacity } from "../model/api.ts";
import { fillOf, formatFill } from "../model/capacity.ts";
import { formatBytes, formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import type { Disorder } from "../model/repair.ts";
import { overviewAddress } from "./html/addresses.ts";
import {
  describeSpread,
  distributionPicture,
  distributionTable,
  showsLimit,
  skewFigure,
  totalFigure,
} from "./distribution-picture.ts";
import { eventTable } from "./event-table.ts";
import { mark, type Markup, markup, moment } from "./html/markup.ts";
import { operationPanel, stepWord } from "./operation-panel.ts";
import { REFRESH_RESTING_MS, REFRESH_RUNNING_MS, surroundingsBlock } from "./overview.ts";
import type { Links, MemberView, NamespacePage, NamespaceView, Sight } from "./page-data.ts";
import { sizeSection } from "./size-picture.ts";
import { driftTable, historyTable } from "./recent-lists.ts";
import { reasonWords, stateBadge, stateOf } from "./html/state-badge.ts";

export function renderNamespacePage(page: NamespacePage, links: Links): Markup {
  const { namespace, environment, problem, history, runs, events } = page;
  const { name, object, running, sight, drifts } = namespace;
  return markup`<main id="main" tabindex="-1" data-refresh-ms="${running === null ? REFRESH_RESTING_MS : REFRESH_RUNNING_MS}">
<nav aria-label="Place"><a href="${overviewAddress({ environment })}">← ${environment ?? "All namespaces"}</a></nav>
<h1>${name} <span class="quiet">${object}</span></h1>
<p class="say" role="status">${say(namespace)}</p>
${surroundingsBlock(page, links)}
<section id="state" aria-labelledby="state-title"><h2 id="state-title">State</h2>
<p>${stateBadge(stateOf(namespace))} ${describeCondition(namespace)}</p>${sight?.disorder ? disorderWarning(sight.disorder, name) : null}
${problem === null ? null : markup`<p class="warning">${mark("!")} It could not be read just now: ${problem}</p>`}
${facts(page)}</section>
${running === null ? null : markup`<section id="operation" aria-labelledby="operation-title"><h2 id="operation-title">${running.paused === null ? "Under way" : "Paused"}: ${running.kind} ${running.change}</h2>${operationPanel(running, `Progress of ${name}`)}</section>`}
<section id="rows" aria-labelledby="rows-title"><h2 id="rows-title">Rows over shards</h2>
${sight === null ? markup`<p class="quiet">Not seen yet.</p>` : rowsSection(sight, page)}</section>
${sizeSection(page.sizes, page.capacity, name)}
<section id="drift" aria-labelledby="drift-title"><h2 id="drift-title">Drift</h2>
${namespace.condition === null ? markup`<p class="quiet">Not known yet: reconciliation has not run.</p>` : driftTable(drifts, drifts.length, environment)}</section>
<section id="history" aria-labelledby="history-title"><h2 id="history-title">Operations</h2>${historyTable(history, runs, links)}</section>
<section id="events" aria-labelledby="events-title"><h2 id="events-title">What happened</h2>${eventTable(events, links)}</section>
</main>`;
}

/** Said from what was seen last: a drift opens later, and people look here first. */
function disorderWarning(disorder: Disorder, name: string): Markup {
  return markup`
<p class="warning"><strong class="bad">${mark("!")} ${describeDisorder(disorder)}.</strong> ${disorder.message} <code>${repairCommand(name)}</code> shows what each object reports and what a repair would do. Nothing is planned or applied here until it is repaired.</p>`;
}

function say({ name, running, drifts, condition, sight }: NamespaceView): string {
  const parts = [
    condition === null
      ? `${name} was not checked yet`
      : `${name} is ${condition.type.toLowerCase()}: ${reasonWords(condition.reason)}`,
    ...(sight?.disorder ? [`It is out of step: ${sight.disorder.kind}`] : []),
    ...(running === null
      ? []
      : [
          `${running.paused === null ? "Under way" : "Paused"}: ${running.kind}, ${stepWord(running.step)}`,
        ]),
    ...(drifts.length === 0
      ? []
      : [`Drift: ${[...new Set(drifts.map(({ kind }) => kind))].join(", ")}`]),
  ];
  return `${parts.join(". ")}.`;
}

function describeCondition({ condition: said }: NamespaceView): Markup {
  if (said === null)
    return markup`<span class="quiet">Reconciliation has not checked it yet.</span>`;
  const again = said.nextTryAt === null ? null : markup`, tried again at ${moment(said.nextTryAt)}`;
  const failures =
    said.failures === 0
      ? null
      : markup`, after ${formatQuantity(said.failures, "failure")} in a row`;
  return markup`<strong>${reasonWords(said.reason)}</strong>: ${said.message} <span class="quiet">since ${moment(said.since)}${failures}${again}</span>`;
}

function facts({ declared, policy, source, namespace: { sight } }: NamespacePage): Markup {
  const rows: readonly (readonly [string, Markup])[] = [
    [
      "Live",
      sight === null
        ? markup`not seen yet`
        : markup`${sight.layout}, epoch ${formatCount(sight.epoch)}`,
    ],
    [
      "Declared",
      declared === null
        ? markup`by no manifest`
        : markup`${declared}${source === null ? null : markup` <span class="quiet code">${source}</span>`}`,
    ],
    ...policy.map(({ name, value }) => [name, markup`${value}`] as const),
  ];
  return markup`<dl class="facts">${rows.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function rowsSection(
  sight: Sight,
  { namespace: { name, maxSkew }, members, capacity }: NamespacePage,
): Markup {
  const isGrouped = sight.buckets.some((bucket) => bucket.members > 1);
  const largest = Math.max(...sight.buckets.map((bucket) => bucket.members));
  const legend = [
    ...(isGrouped
      ? [
          `A bar is up to ${formatCount(largest)} shards: dark their average, light the fullest of them.`,
        ]
      : []),
    "Dotted: the average.",
    ...(showsLimit(sight, maxSkew) ? ["Dashed line: the maximum that the policy allows."] : []),
    ...(sight.unhealthyCount > 0 ? ["Outlined: no answer."] : []),
  ];
  return markup`<p>${totalFigure(sight)}, skew ${skewFigure(sight, sight.isSharded ? maxSkew : null)}. <span class="quiet">Counted ${moment(sight.seenAt)}.</span></p>
${
  sight.isSharded
    ? markup`<figure>${distributionPicture(sight, { maxSkew, size: "large" })}<figcaption>${describeSpread(sight)}. <span class="quiet">${legend.join(" ")}</span></figcaption></figure>
${distributionTable(sight, name)}`
    : null
}
${membersTable(members, sight, name, capacity)}
${sight.undeclaredTables.length === 0 ? null : markup`<p class="warning">${mark("!")} Tables that no table spec names stay where they are: ${sight.undeclaredTables.join(", ")}</p>`}`;
}

function membersTable(
  members: readonly MemberView[],
  sight: Sight,
  name: string,
  { bytesMax }: Capacity,
): Markup | null {
  if (members.length === 0) return null;
  const isPart = members.length < sight.members;
  const title = isPart
    ? `${formatCount(members.length)} of ${formatQuantity(sight.members, "member")}: silent, fullest and emptiest`
    : "All members";
  const isNamed = members.some(
    ({ library, storage }) => library !== undefined || storage !== undefined,
  );
  const heads = [
    "Member",
    "Rows",
    "Share",
    "Bytes",
    ...(isNamed ? ["Storage", "Fill", "Library", "Schema"] : []),
    "Health",
  ];
  const rows = members.map((member) => {
    const counts = member.healthy
      ? [formatCount(member.rows), formatShare(member.rows, sight.rows), formatBytes(member.bytes)]
      : ["–", "–", "–"];
    const cells = [...counts, ...(isNamed ? describeFacts(member, bytesMax) : [])];
    const health = member.healthy
      ? markup`${mark("✓")} answers`
      : markup`<span class="bad">${mark("!")} ${member.error ?? "does not answer"}</span>${describeMemory(member)}`;
    return markup`<tr role="row" data-key="${member.name}"><th scope="row" role="rowheader">${member.name}</th>${cells.map((cell) => markup`<td role="cell">${cell}</td>`)}<td role="cell">${health}</td></tr>
`;
  });
  return markup`<details><summary>${title}</summary>
<table class="figures" role="table"><caption>Members of ${name}, fullest first</caption><thead role="rowgroup"><tr role="row">${heads.map((head) => markup`<th scope="col" role="columnheader">${head}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows}</tbody></table></details>`;
}

/** As last known, also of a member that does not answer. */
function describeFacts({ storage, library, schema }: MemberView, bytesMax: number): string[] {
  const room =
    storage === undefined
      ? ["–", "–"]
      : [formatBytes(storage), formatFill(fillOf({ storage }, bytesMax))];
  return [...room, library ?? "–", schema ?? "–"];
}

/** How old the facts of a member are that does not answer now. */
function describeMemory({ saidAt }: MemberView): Markup | null {
  return saidAt === undefined
    ? null
    : markup` <span class="quiet">storage and version as of ${moment(saidAt)}</span>`;
}
