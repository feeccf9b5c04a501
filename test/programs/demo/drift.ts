/**
 * `npm run demo:drift`: a Worker that follows a repository, on the real local runtime, against a
 * GitHub of the tests. Somebody reshards by hand; the second tick that sees it opens the alert;
 * outside its window nothing is mended; once it opens, the Worker mends it by itself and closes the
 * alert. Exits with 0 only when all of that was seen.
 */
import { setTimeout as sleep } from "node:timers/promises";

import pc from "picocolors";

import type { DriftReport } from "../../../src/model/drift.ts";
import type { EventList } from "../../../src/model/event.ts";
import { renderDrift } from "../../../src/render/drift-text.ts";
import { renderEvents } from "../../../src/render/events-text.ts";
import type { Issue } from "../../support/github/index.ts";
import { ENVIRONMENT, PullStory, manifestOf } from "../../support/gitops/pull-story.ts";
import { applyByHand, FILE, proveOrders, readOrders, tellStory, THINGS } from "./orders.ts";
import { heading, say } from "./say.ts";
import { showComment } from "./show-comment.ts";

const DECLARED = 4;
const BY_HAND = 6;
const MINUTE_MS = 60_000;
/** Enough for what comes before the window opens. */
const CLOSED_MS = 75_000;
/** Ticks that one thing may take to be seen; between two of them a moment goes by. */
const TICKS_MAX = 60;
const BETWEEN_TICKS_MS = 1000;

await tellStory(tell);

async function tell(): Promise<void> {
  heading("A Worker that follows a repository, and 5,000 orders in 4 shards");
  await using story = await PullStory.start({ posts: "worker" });
  await story.putThings("orders", THINGS);
  const opensAt = Math.ceil((Date.now() + CLOSED_MS) / MINUTE_MS) * MINUTE_MS;
  const declared = manifest(DECLARED, opensAt);
  story.github.commit(story.repo, { files: { [FILE]: declared }, message: "Declare the orders" });
  // A policy that lets the Worker move rows holds once it was applied, not by being merged.
  await applyByHand(story, DECLARED, "ada", declared);
  say("");
  const inSync = await tickUntil(
    story,
    "the orders are as declared",
    ({ conditions }) => conditions[0]?.type === "Ready",
  );
  show(inSync);
  expect(inSync.drifts.length === 0 && inSync.isComplete, "no drift");
  say(
    "\nThe manifest says `selfHeal: apply`, and a window of one hour that opens in a minute or two.",
  );

  heading(`Mallory reshards the orders by hand, into ${BY_HAND}`);
  await applyByHand(story, BY_HAND, "mallory", manifest(BY_HAND, opensAt));
  say("");
  const seen = await tickUntil(story, "one tick sees it", ({ drifts }) => drifts.length > 0);
  show(seen);
  expect(
    seen.drifts[0]?.kind === "spec" && seen.drifts[0].state === "watching",
    "a drift that was seen once",
  );
  await sleep(BETWEEN_TICKS_MS);
  expect(alertsOf(story).length === 0, "no alert after one tick");

  heading("The second tick agrees: the alert opens; the window is closed");
  const open = await tick(story);
  show(open);
  expect(open.drifts[0]?.state === "open", "an open drift");
  expect(open.conditions[0]?.reason === "WindowClosed", "a change that waits for its window");
  const opened = await awaitAlert(story, "open");
  showIssue(opened);
  expect(
    (await readOrders(story)).shards === BY_HAND,
    "a layout that nobody has touched outside the window",
  );

  heading("The window opens: the next tick mends it");
  await sleep(Math.max(0, opensAt - Date.now()));
  const healing = await tickUntil(
    story,
    "a run has begun",
    ({ conditions }) => conditions[0]?.reason === "Applying",
  );
  show(healing);
  expect(alertsOf(story)[0]?.state === "open", "an alert that stays open while it is mended");

  heading("It is as declared again: the alert closes");
  const healed = await tickUntil(
    story,
    "all is well",
    ({ drifts, conditions, isComplete }) =>
      isComplete && drifts.length === 0 && conditions[0]?.type === "Ready",
  );
  show(healed);
  const closedAlert = await awaitAlert(story, "closed");
  for (const { author, body } of story.github.comments(closedAlert))
    showComment(`#${closedAlert.number} · ${author.login}`, body);
  expect(alertsOf(story).length === 1, "one issue from beginning to end");

  await proveOrders(story, DECLARED);

  heading("The history has it all");
  const { events } = await story.ask<EventList>("GET", `/v1/events?environment=${ENVIRONMENT}`);
  say(renderEvents(events).trimEnd());
  for (const kind of ["plan", "run", "operation", "drift", "alert"])
    expect(
      events.some((event) => event.kind === kind),
      `an event of the kind ${kind}`,
    );
}

/** The orders, with one window that starts at the given minute. */
function manifest(count: number, opensAt: number): string {
  const windowStart = new Date(opensAt);
  const start = `${windowStart.getUTCMinutes()} ${windowStart.getUTCHours()} * * *`;
  const window = `{ start: "${start}", duration: 1h, timezone: UTC }`;
  return manifestOf(
    "orders",
    count,
    "id",
    `  policy:\n    selfHeal: apply\n    maxSkew: 2\n    windows: [${window}]\n`,
  );
}

function tick(story: PullStory): Promise<DriftReport> {
  return story.ask<DriftReport>("POST", `/v1/reconcile?environment=${ENVIRONMENT}`);
}

/** Runs ticks, as a cron does every minute, until the report is as wanted. */
async function tickUntil(
  story: PullStory,
  what: string,
  isThere: (report: DriftReport) => boolean,
): Promise<DriftReport> {
  for (let ticks = 1; ticks <= TICKS_MAX; ticks++) {
    const report = await tick(story);
    if (isThere(report)) return report;
    await sleep(BETWEEN_TICKS_MS);
  }
  show(await tick(story));
  throw new Error(`${TICKS_MAX} ticks were not enough until ${what}:\n${story.worker.log()}`);
}

/** Waits for the alert: it is sent after the tick. */
async function awaitAlert(story: PullStory, state: Issue["state"]): Promise<Issue> {
  for (let polls = 0; polls < TICKS_MAX; polls++) {
    const alert = alertsOf(story).find((issue) => issue.state === state);
    if (alert) return alert;
    await sleep(BETWEEN_TICKS_MS / 4);
  }
  throw new Error(`There is no alert that is ${state}:\n${story.worker.log()}`);
}

function alertsOf(story: PullStory): Issue[] {
  return story.github
    .issues(story.repo)
    .filter(({ body }) => body?.startsWith("<!-- shardctl:alert:"));
}

function show(report: DriftReport): void {
  say(renderDrift(report, { now: Date.now(), palette: pc }).trimEnd());
}

function showIssue(issue: Issue): void {
  say("");
  showComment(
    `#${issue.number} · ${issue.title} · ${issue.author.login}`,
    issue.body?.replace(/^(<!-- .* -->\n)+\n?/, "") ?? "",
  );
}

function expect(isSeen: boolean, what: string): void {
  if (!isSeen) throw new Error(`This should have been seen: ${what}`);
}
