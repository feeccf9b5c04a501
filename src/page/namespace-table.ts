/**
 * The list of namespaces: one row each on a wide screen, one card each on a narrow one, the same
 * HTML.
 */
import { fillOf, formatFill } from "../model/capacity.ts";
import { STORAGE_BYTES_MAX } from "../model/member-states.ts";
import { formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import { operationProgress } from "../render/describe.ts";
import { namespaceAddress } from "./html/addresses.ts";
import { distributionPicture, skewFigure, totalFigure } from "./distribution-picture.ts";
import { mark, type Markup, markup, moment } from "./html/markup.ts";
import { describeStep } from "./operation-panel.ts";
import type { NamespaceView, Overview } from "./page-data.ts";
import { reasonWords, stateBadge, stateOf } from "./html/state-badge.ts";

const COLUMNS = ["Namespace", "State", "Layout", "Rows over shards", "Now"] as const;

export function namespaceTable({
  namespaces,
  environment,
}: Pick<Overview, "namespaces" | "environment">): Markup {
  return markup`<table class="cards" role="table"><caption class="hidden">Namespaces, those that need attention first</caption>
<thead role="rowgroup"><tr role="row">${COLUMNS.map((name) => markup`<th scope="col" role="columnheader">${name}</th>`)}</tr></thead>
<tbody role="rowgroup">${namespaces.map((namespace) => row(namespace, environment))}</tbody></table>`;
}

function row(view: NamespaceView, environment: string | null): Markup {
  const { name, object, sight } = view;
  return markup`<tr role="row" data-key="${object}/${name}">
<th scope="row" role="rowheader"><a href="${namespaceAddress(view, environment)}">${name}</a><span class="quiet">${object}${view.isManaged ? null : ", no manifest"}</span></th>
<td role="cell" data-label="State">${stateBadge(stateOf(view))}${reason(view)}</td>
<td role="cell" data-label="Layout">${sight === null ? markup`<span class="quiet">not seen yet</span>` : markup`${sight.layout}<span class="quiet">epoch ${formatCount(sight.epoch)}, seen ${moment(sight.seenAt)}</span>`}</td>
<td role="cell" data-label="Rows">${sight === null ? markup`<span class="quiet">–</span>` : spread(view)}</td>
<td role="cell" data-label="Now">${now(view)}</td></tr>`;
}

function reason({ condition }: NamespaceView): Markup {
  if (condition === null) return markup`<span class="quiet">not checked yet</span>`;
  return markup`<span class="quiet">${reasonWords(condition.reason)}, since ${moment(condition.since)}</span>`;
}

function spread({ sight, maxSkew, bytesMax = STORAGE_BYTES_MAX }: NamespaceView): Markup | null {
  if (sight === null) return null;
  const { storageMax: storage } = sight;
  const fill =
    storage === undefined
      ? null
      : markup`<span class="quiet">fullest ${formatFill(fillOf({ storage }, bytesMax))} full</span>`;
  if (!sight.isSharded) return markup`<span>${totalFigure(sight)}</span>${fill}`;
  return markup`${distributionPicture(sight, { maxSkew, size: "small" })}<span>${totalFigure(sight)}</span><span>skew ${skewFigure(sight, maxSkew)}</span>${fill}`;
}

function now({ running, drifts, condition, sight }: NamespaceView): Markup {
  const silent =
    sight !== null && sight.unhealthyCount > 0
      ? markup`<span class="bad">${mark("!")} ${formatQuantity(sight.unhealthyCount, "member does", "members do")} not answer</span>`
      : null;
  const drift =
    drifts.length === 0
      ? null
      : markup`<span>${mark("≠")} drift: ${[...new Set(drifts.map(({ kind }) => kind))].join(", ")}</span>`;
  const disorder = sight?.disorder
    ? markup`<span class="bad">${mark("!")} ${sight.disorder.kind === "registryLost" ? "registry lost" : "out of step"}: needs a repair</span>`
    : null;
  // The words of a lost registry about an operation may be the past.
  if (disorder !== null) return markup`${disorder}${drift}`;
  if (running !== null) {
    const pause =
      running.paused === null
        ? null
        : markup`<span class="clipped">${mark("❚❚")} ${running.paused.reason}</span>`;
    return markup`<span>${running.kind}: ${describeStep(running)}, ${formatShare(operationProgress(running), 1)}</span>${pause}${drift}${silent}`;
  }
  if (drift !== null || silent !== null) return markup`${drift}${silent}`;
  if (condition !== null && condition.type !== "Ready")
    return markup`<span class="clipped">${condition.message}</span>`;
  return markup`<span class="quiet">idle</span>`;
}
