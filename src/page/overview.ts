/**
 * Renders the page of a whole environment: its state, running operations, every namespace, drift,
 * and recent events.
 */
import { formatCount, formatQuantity } from "../model/figures.ts";
import { shorten } from "../render/printable.ts";
import { namespaceAddress, overviewAddress } from "./html/addresses.ts";
import { eventTable } from "./event-table.ts";
import { linkTo, mark, type Markup, markup, moment } from "./html/markup.ts";
import { namespaceTable } from "./namespace-table.ts";
import { describeStep, operationPanel, stepWord } from "./operation-panel.ts";
import {
  type Links,
  type Overview,
  type RunningPlace,
  STATE_FILTERS,
  type Surroundings,
} from "./page-data.ts";
import { driftTable, planTable, reviewTable, runTable } from "./recent-lists.ts";
import { stateBadge } from "./html/state-badge.ts";

/** How often the page asks again: while something moves, and while nothing does. */
export const REFRESH_RUNNING_MS = 2_000;
export const REFRESH_RESTING_MS = 10_000;
const PANELS_MAX = 5;
const DIGITS = 8;

export function renderOverview(overview: Overview, links: Links): Markup {
  const { environment, namespaces, drifts, driftCount, running, runs, reviews, plans, events } =
    overview;
  const isMoving = running.length > 0 || namespaces.some((namespace) => namespace.running !== null);
  return markup`<main id="main" tabindex="-1" data-refresh-ms="${isMoving ? REFRESH_RUNNING_MS : REFRESH_RESTING_MS}">
<h1>${environment ?? "Nothing here yet"}</h1>
<p class="say" role="status">${say(overview)}</p>
${surroundingsBlock(overview, links)}
${environment === null ? firstSteps() : null}
${underWay(overview)}
<section id="namespaces" aria-labelledby="namespaces-title">
<h2 id="namespaces-title">Namespaces</h2>
${filters(overview)}
${namespaces.length === 0 ? nothingListed(overview) : namespaceTable(overview)}
${pagination(overview)}
</section>
<section id="drift" aria-labelledby="drift-title"><h2 id="drift-title">Drift${driftCount > 0 ? ` (${formatCount(driftCount)})` : ""}</h2>
${overview.checkedAt === null ? markup`<p class="quiet">Not known yet: reconciliation has not run.</p>` : driftTable(drifts, driftCount, environment)}
</section>
<section id="events" aria-labelledby="events-title"><h2 id="events-title">What happened</h2>${eventTable(events, links)}</section>
<section id="runs" aria-labelledby="runs-title"><h2 id="runs-title">Runs</h2>${runTable(runs, links)}</section>
<section id="reviews" aria-labelledby="reviews-title"><h2 id="reviews-title">Pull requests</h2>${reviewTable(reviews, links)}</section>
<section id="plans" aria-labelledby="plans-title"><h2 id="plans-title">Plans</h2>${planTable(plans)}</section>
</main>`;
}

/**
 * One sentence, for whoever cannot look all the time: it is read out when it changes. No figure in
 * it that changes all the time.
 */
function say({ counts, running, driftCount, paused }: Overview): string {
  const states = STATE_FILTERS.flatMap((state) => {
    if (counts[state] === 0) return [];
    return [
      `${formatCount(counts[state])} ${state === "Unknown" ? "not checked" : state.toLowerCase()}`,
    ];
  });
  const parts = [
    states.length === 0 ? "No namespaces" : `Namespaces: ${states.join(", ")}`,
    ...(running.length === 0
      ? []
      : [
          `Under way: ${running.map((place) => `${place.namespace} (${placeWord(place)})`).join(", ")}`,
        ]),
    ...(driftCount === 0 ? [] : [`Drift: ${formatCount(driftCount)}`]),
    ...(paused === null ? [] : ["Paused"]),
  ];
  return `${parts.join(". ")}.`;
}

function placeWord({ step, isPaused }: RunningPlace): string {
  return isPaused ? `paused in ${stepWord(step)}` : stepWord(step);
}

/** Renders what concerns every page: the pause, the manifests, the last pass. */
export function surroundingsBlock(surroundings: Surroundings, links: Links): Markup {
  const { paused, commit, checkedAt, isComplete, manifestsProblem } = surroundings;
  const commitLink = commit === null ? null : linkTo(links.commit(commit), shorten(commit, DIGITS));
  return markup`${
    paused === null
      ? null
      : markup`<div class="banner" id="paused"><p>${mark("❚❚")} <strong>Paused: nothing is applied.</strong> ${paused.reason}</p><p class="quiet">By ${paused.by}, since ${moment(paused.at)}. To resume: <code>shardctl resume --all</code></p></div>`
  }
${manifestsProblem === null ? null : markup`<div class="banner"><p>${mark("!")} <strong>The newest manifests are not in force.</strong> ${manifestsProblem}</p></div>`}
<p class="quiet" id="checked">${commitLink === null ? null : markup`Manifests at ${commitLink}. `}${
    checkedAt === null
      ? "Reconciliation has not run yet."
      : markup`Last checked ${moment(checkedAt)}${isComplete ? "." : ", and could not read everything."}`
  }</p>`;
}

function firstSteps(): Markup {
  return markup`<p>Nothing was planned here. Write a manifest with <code>shardctl init</code>, then <code>shardctl plan</code> and <code>shardctl apply</code>.</p>`;
}

function underWay({ namespaces, environment, running }: Overview): Markup | null {
  const moving = namespaces.filter((namespace) => namespace.running !== null);
  const elsewhere = running.filter(
    (one) => !moving.some(({ name, object }) => name === one.namespace && object === one.object),
  );
  if (moving.length === 0 && elsewhere.length === 0) return null;
  const panels = moving.slice(0, PANELS_MAX).map((namespace) => {
    const { name, object, running: operation } = namespace;
    if (operation === null) return null;
    return markup`<article data-key="${object}/${name}"><h3><a href="${namespaceAddress(namespace, environment)}">${name}</a>: ${operation.kind} ${operation.change}</h3>${operationPanel(operation, `Progress of ${name}`)}</article>
`;
  });
  const others = [
    ...moving.slice(PANELS_MAX).map(({ name, object, running: operation }) => ({
      name,
      object,
      step: operation === null ? "" : describeStep(operation),
    })),
    ...elsewhere.map((place) => ({
      name: place.namespace,
      object: place.object,
      step: placeWord(place),
    })),
  ];
  const rest = others.map(
    (other) =>
      markup`<li data-key="${other.object}/${other.name}"><a href="${namespaceAddress(other, environment)}">${other.name}</a>: ${other.step}</li>`,
  );
  return markup`<section id="underway" aria-labelledby="underway-title"><h2 id="underway-title">In progress</h2>
${panels}${rest.length === 0 ? null : markup`<ul>${rest}</ul>`}</section>`;
}

function filters({ counts, environment, search, state }: Overview): Markup {
  const total = STATE_FILTERS.reduce((sum, one) => sum + counts[one], 0);
  const link = (wanted: Overview["state"], label: Markup, count: number): Markup => {
    const current = wanted === state ? markup` aria-current="true"` : null;
    return markup`<li><a href="${overviewAddress({ environment, search, state: wanted })}"${current}>${label} <span class="count">${formatCount(count)}</span></a></li>`;
  };
  return markup`<div class="filters"><nav aria-label="Namespaces by state"><ul>
${link(null, markup`All`, total)}${STATE_FILTERS.filter((one) => counts[one] > 0 || one === state).map((one) => link(one, stateBadge(one), counts[one]))}
</ul></nav>
<form role="search" action="/" method="get">
${environment === null ? null : markup`<input type="hidden" name="environment" value="${environment}">`}${state === null ? null : markup`<input type="hidden" name="state" value="${state}">`}
<label for="search">Name contains</label> <input id="search" type="search" name="search" value="${search}" maxlength="200" autocomplete="off" spellcheck="false"> <button>Show</button>
</form></div>`;
}

function nothingListed({ search, state, environment }: Overview): Markup {
  if (search === "" && state === null) return markup`<p class="quiet">None yet.</p>`;
  return markup`<p>None of them${state === null ? "" : ` is ${state.toLowerCase()}`}${search === "" ? "" : `, with “${search}” in its name`}. <a href="${overviewAddress({ environment })}">Show all</a></p>`;
}

function pagination({ page, pages, matches, environment, search, state }: Overview): Markup | null {
  if (pages < 2) return null;
  const link = (to: number, label: string, relation: string): Markup =>
    to < 1 || to > pages
      ? markup`<span class="quiet">${label}</span>`
      : markup`<a rel="${relation}" href="${overviewAddress({ environment, search, state, page: to })}">${label}</a>`;
  return markup`<nav class="pages" aria-label="Pages of namespaces">${link(page - 1, "← Back", "prev")} <span>Page ${formatCount(page)} of ${formatCount(pages)}, ${formatQuantity(matches, "namespace")}</span> ${link(page + 1, "On →", "next")}</nav>`;
}
