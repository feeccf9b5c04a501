/**
 * The Worker that follows a repository, after its own state was lost or restored to yesterday, with
 * and without an import of yesterday's: it applies nothing that it cannot prove reviewed, and tells
 * nothing twice.
 */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { Run, RunList } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { EventList } from "../../src/model/event.ts";
import type { LiveNamespace } from "../../src/model/live.ts";
import { newEnvironmentState } from "../../src/reconcile/environment-state.ts";
import { parseManifests } from "../../src/manifest/index.ts";
import { controlsOf } from "../support/control-api.ts";
import { github } from "../support/control-worker.ts";
import {
  applyAs,
  ask,
  endOf,
  gitopsCoordinator,
  gitopsStub,
  planFor,
  review,
} from "../support/gitops-api.ts";
import {
  exportState,
  importState,
  loseState,
  restoreSnapshot,
  type Send,
  showImport,
  snapshotOf,
} from "../support/state-file.ts";
import { workflowToken } from "../support/workflow-tokens.ts";

const send: Send = (method, path, body) => ask(method, path, body === undefined ? {} : { body });

const PATH = "manifests/stories.yaml";

function manifests(story: string, count: number): string {
  return [`${story}-orders`, `${story}-carts`]
    .map(
      (name, index) =>
        `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\n` +
        `spec: { object: ORDERS, strategy: hash, shardKey: id, count: ${index === 0 ? count : 2}, policy: { maxSkew: 100, selfHeal: apply } }\n`,
    )
    .join("---\n");
}

function specsOf(text: string) {
  const { desired } = parseManifests([{ path: PATH, text }], { environment: "production" });
  if (!desired) throw new Error("The manifests of the story have errors");
  return desired.namespaces;
}

async function tick(times = 1): Promise<DriftReport> {
  for (let left = times; ; left--) {
    await runInDurableObject(gitopsStub(), (_instance, state) => {
      state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
    });
    const { body } = await ask<DriftReport>("POST", "/v1/reconcile?wait=20");
    await settle();
    if (left <= 1) return body;
  }
}

/** Until nothing is to be done about pull requests, and alerts were told. */
async function settle(): Promise<void> {
  await vi.waitFor(
    async () => {
      await runDurableObjectAlarm(gitopsStub());
      const left = await runInDurableObject(gitopsStub(), (_instance, { storage }) => {
        const tasks = storage.sql.exec("SELECT 1 FROM tasks WHERE dueAt <= ?", Date.now());
        const behind = storage.sql.exec(
          `SELECT 1 FROM alerts WHERE json_extract(body, '$.target.fingerprint') IS NOT json_extract(body, '$.channels.issue.told.fingerprint')`,
        );
        return tasks.toArray().length + behind.toArray().length;
      });
      expect(left).toBe(0);
    },
    { timeout: 20_000, interval: 50 },
  );
}

async function see(pull: number): Promise<void> {
  await gitopsCoordinator().pullWork.queue([{ kind: "pull", pull, again: false }]);
  await settle();
}

async function epochOf(name: string): Promise<number> {
  const { body } = await ask<{ namespace: LiveNamespace }>(
    "GET",
    `/v1/namespaces/${name}?object=ORDERS`,
  );
  return body.namespace.epoch;
}

async function runsOf(): Promise<readonly Run[]> {
  return (await ask<RunList>("GET", "/v1/runs?environment=production&limit=1000")).body.runs;
}

/** Issues and comments of ours, as people see them. */
function told() {
  return {
    issues: github.issues.map(({ number }) => number),
    comments: github.comments.map(({ pull, body }) => ({ pull, body })),
  };
}

async function driftEvents(name: string): Promise<string[]> {
  const { body } = await ask<EventList>(
    "GET",
    `/v1/events?environment=production&kind=drift&namespace=${name}&limit=1000`,
  );
  return body.events.map(({ summary }) => summary);
}

type Loss = "empty" | "yesterday";

describe("an import", () => {
  it("of another repository or environment, or by a workflow, is refused", async () => {
    await loseState(gitopsStub());
    const file = await exportState(send);
    expect(file.repositoryId).toBe("1001");
    const rows = [{ environment: "production", name: "other-orders", object: "ORDERS" }];
    const other = { ...file, repositoryId: "7", tables: { ...file.tables, namespaces: rows } };
    const shown = await showImport(send, other);
    expect(shown.obstacles).toMatchObject([expect.stringContaining("follows repository 7")]);
    const body = { fingerprint: shown.fingerprint };
    const path = `/v1/state/imports/${shown.id}/apply`;
    expect(await ask("POST", path, { body })).toMatchObject({
      status: 409,
      body: { kind: "blocked" },
    });
    expect((await exportState(send)).tables["namespaces"]).toEqual([]);
    const lacks = { ...file, repositoryId: null };
    expect((await showImport(send, lacks)).obstacles).toMatchObject([
      expect.stringContaining("follows no repository, and this one follows repository 1001"),
    ]);
    const staging = [{ kind: "environment", id: "staging", body: newEnvironmentState("staging") }];
    const elsewhere = { ...file, tables: { ...file.tables, reconcileDocuments: staging } };
    expect((await showImport(send, elsewhere)).obstacles).toMatchObject([
      expect.stringContaining("tells of staging, and this Worker is production"),
    ]);
    for (const [method, where] of [
      ["GET", "/v1/state"],
      ["GET", "/v1/state/reviews"],
      ["POST", "/v1/state/imports"],
      ["PUT", `/v1/state/imports/${shown.id}/reviews`],
      ["GET", `/v1/state/imports/${shown.id}`],
      ["POST", path],
    ] as const) {
      const token = await workflowToken();
      const answer = await ask(method, where, { token, ...(method === "GET" ? {} : { body }) });
      expect(answer, where).toMatchObject({ status: 403, body: { kind: "forbidden" } });
    }
  });
});

describe.each<[Loss, boolean]>([
  ["empty", false],
  ["empty", true],
  ["yesterday", false],
  ["yesterday", true],
])("a coordinator that is %s, with an import of yesterday's state: %s", (loss, hasImport) => {
  it("applies nothing that it cannot prove reviewed, and tells nothing twice", async () => {
    const story = `story-${loss}-${hasImport ? "import" : "bare"}`;
    const [orders, carts] = [`${story}-orders`, `${story}-carts`];
    const pulls = { empty: 300, yesterday: 400 }[loss] + (hasImport ? 50 : 0);
    await loseState(gitopsStub());

    // The day before: reviewed, merged, applied. Another pull request is open, and was shown.
    const first = manifests(story, 2);
    const opened = github.openPull(pulls, { files: { [PATH]: first } });
    const plan = await planFor(specsOf(first));
    await review(pulls, plan.fingerprint, opened.headSha);
    github.mergePull(pulls);
    await tick();
    for (const { id } of await runsOf()) await endOf(id);
    await tick();
    expect(await epochOf(orders)).toBeGreaterThan(1);
    const second = manifests(story, 3);
    github.openPull(pulls + 1, { files: { [PATH]: second } });
    await see(pulls + 1);
    const file = await exportState(send);
    const yesterday = await snapshotOf(gitopsStub());

    // Today: it is merged and applied. A drift opens, and is told. A third one is shown.
    github.mergePull(pulls + 1);
    await tick(2);
    for (const { id } of await runsOf()) await endOf(id);
    const member = `${carts}-shard-1`;
    await controlsOf(carts).edit({
      disorder: {
        kind: "outOfStep",
        members: [member],
        message: `${member} was restored`,
        since: 1,
      },
    });
    await tick(3);
    expect(github.issues.at(-1)).toMatchObject({ state: "open" });
    const third = manifests(story, 5);
    github.openPull(pulls + 2, { files: { [PATH]: third } });
    await see(pulls + 2);
    const epoch = await epochOf(orders);
    const before = told();
    const writes = github.writes().length;

    if (loss === "empty") await loseState(gitopsStub());
    else await restoreSnapshot(gitopsStub, yesterday);
    if (hasImport) await importState(send, file);
    const runs = new Set((await runsOf()).map(({ id }) => id));

    // The third one is merged now: nobody here remembers that it was shown.
    github.mergePull(pulls + 2);
    const lost = await planFor(specsOf(third));
    const refused = await applyAs<{ kind: string; detail: string }>(pulls + 2, lost.fingerprint);
    expect(refused).toMatchObject({ status: 409, body: { kind: "notReviewed" } });
    expect(refused.body.detail).toContain("/shardctl apply");
    const report = await tick(4);
    expect(report.conditions).toContainEqual(
      expect.objectContaining({ namespace: orders, type: "Stalled", reason: "NotReviewed" }),
    );
    const started = (await runsOf()).filter(({ id }) => !runs.has(id));
    expect(started).toEqual([]);
    expect(await epochOf(orders)).toBe(epoch);

    // The drift that was told is known, and nobody hears of it again; the new one is news.
    expect(report.drifts).toContainEqual(
      expect.objectContaining({ namespace: carts, kind: "outOfStep", state: "open" }),
    );
    const events = await driftEvents(carts);
    expect(events).toHaveLength(1);
    expect(told()).toEqual(before);
    // At most the one edit by which the issue lists the new drift.
    const later = github.writes().slice(writes);
    expect(later.filter((write) => write !== "updateIssue")).toEqual([]);
    expect(later.length).toBeLessThanOrEqual(1);

    // A person looks at the plan and applies it: the way out.
    const applied = await ask<Run>("POST", `/v1/plans/${lost.fingerprint}/apply`, { body: {} });
    expect(applied.status).toBe(202);
    expect(await endOf(applied.body.id)).toMatchObject({ state: "succeeded" });
    await controlsOf(carts).edit({ disorder: null });
    await tick(2);
  });
});
