/**
 * The Worker that follows a repository: from a merge to the layout, with what it asks of GitHub
 * counted.
 */
import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import type { Run } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import { parseManifests } from "../../src/manifest/index.ts";
import { controlsOf } from "../support/control-api.ts";
import { github } from "../support/control-worker.ts";
import { ask, gitopsStub, endOf, planFor, review } from "../support/gitops-api.ts";

const PATH = "manifests/things.yaml";
const NAMES = ["rg-orders", "rg-carts"];

function manifests(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(
      ([name, count]) =>
        `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\n` +
        `spec: { object: ORDERS, strategy: hash, shardKey: id, count: ${count}, policy: { maxSkew: 100, selfHeal: apply } }\n`,
    )
    .join("---\n");
}

function specsOf(text: string) {
  const { desired, errors } = parseManifests([{ path: PATH, text }], { environment: "production" });
  if (!desired) throw new Error(JSON.stringify(errors));
  return desired.namespaces;
}

async function reconcileNow(): Promise<DriftReport> {
  const { status, body } = await ask<DriftReport>("POST", "/v1/reconcile");
  if (status !== 200) throw new Error(`The pass did not end: ${status} ${JSON.stringify(body)}`);
  return body;
}

async function makeDue(): Promise<void> {
  await runInDurableObject(gitopsStub(), (_instance, state) => {
    state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
  });
}

/**
 * Returns reconciliation's requests to GitHub since then; work on pull requests uses other names
 * for its requests.
 */
function requestsSince(from: number): string[] {
  return github.journal
    .slice(from)
    .filter((call) => ["branchHead", "files", "file", "blob", "pull"].includes(call));
}

it("follows the default branch: reviewed is applied, unchanged costs one request, broken and deleted manifests apply nothing", async () => {
  github.pushMain({ [PATH]: manifests({ "rg-orders": 2, "rg-carts": 2 }) });
  const first = await reconcileNow();
  expect(first.conditions).toMatchObject(
    NAMES.toSorted().map((namespace) => ({ namespace, reason: "NotReviewed" })),
  );

  // The same as a pull request whose plan was shown, and merged.
  const text = manifests({ "rg-orders": 2, "rg-carts": 3 });
  const pull = github.openPull(61, { files: { [PATH]: text } });
  const plan = await planFor(specsOf(text));
  expect((await review(61, plan.fingerprint, pull.headSha)).status).toBe(200);
  github.mergePull(61);
  await reconcileNow();
  const { body } = await ask<{ runs: Run[] }>("GET", "/v1/runs?environment=production&limit=1");
  expect(body.runs[0]).toMatchObject({
    fingerprint: plan.fingerprint,
    requestedBy: "shardctl reconciler",
    origin: { pull: 61 },
  });
  expect(await endOf(body.runs[0]?.id ?? "")).toMatchObject({ state: "succeeded" });
  const done = await reconcileNow();
  expect(done.conditions).toMatchObject(
    NAMES.toSorted().map((namespace) => ({ namespace, type: "Ready" })),
  );
  expect(done.isComplete).toBe(true);

  // Nothing changed: the head, and that is all.
  const before = github.journal.length;
  await reconcileNow();
  expect(requestsSince(before)).toEqual(["branchHead"]);

  // A commit elsewhere: the folder is listed, no file is fetched.
  const elsewhere = github.journal.length;
  github.pushMain({ "README.md": "hello" });
  await reconcileNow();
  expect(requestsSince(elsewhere)).toEqual(["branchHead", "files", "file"]);

  // Manifests that stop parsing, then none at all: the last good state is held against a drift.
  github.pushMain({ [PATH]: "apiVersion: shardctl.dev/v1\nkind: Nonsense\n" });
  await controlsOf("rg-orders").edit({ epoch: 7 });
  for (const [reason, change] of [
    ["the manifests on the default branch are not valid", {}],
    ["no manifest declares a namespace any more", { [PATH]: null }],
  ] as const) {
    github.pushMain(change);
    await makeDue();
    await reconcileNow();
    await makeDue();
    const held = await reconcileNow();
    expect(held.drifts).toContainEqual(
      expect.objectContaining({ kind: "manifests", namespace: null, state: "open", reason }),
    );
    expect(held.isComplete).toBe(false);
    expect(held.conditions).toHaveLength(2);
  }
  github.pushMain({ [PATH]: text });
  await makeDue();
  const healed = await reconcileNow();
  expect(healed.drifts.filter(({ kind }) => kind === "manifests")).toEqual([]);
  expect(healed.conditions.map(({ type }) => type)).toEqual(["Ready", "Ready"]);
});

/** One namespace with this policy, as YAML. */
function manifest(name: string, count: number, policy: string): string {
  return (
    `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\n` +
    `spec: { object: ORDERS, strategy: hash, shardKey: id, count: ${count}, policy: { ${policy} } }\n`
  );
}

it("holds what is started by what was merged since its plan was made", async () => {
  const text = manifest("rg2-late", 2, "maxSkew: 100");
  github.pushMain({ [PATH]: text });
  await reconcileNow();
  const plan = await planFor(specsOf(text));
  for (const [policy, detail] of [
    ["maxSkew: 100, suspend: true", "policy.suspend is true"],
    ["maxSkew: 100, budget: { rows: 1 }", "policy.budget.rows is 1"],
    ["maxSkew: 100, windows: [{ start: '0 0 30 1 *', duration: 1m }]", "outside policy.windows"],
  ] as const) {
    github.pushMain({ [PATH]: manifest("rg2-late", 2, policy) });
    await reconcileNow();
    const answer = await ask<{ detail: string }>("POST", `/v1/plans/${plan.fingerprint}/apply`);
    expect(answer).toMatchObject({ status: 409, body: { kind: "blocked" } });
    expect(answer.body.detail).toContain(detail);
  }
  github.pushMain({ [PATH]: text });
  await reconcileNow();
  const { status, body } = await ask<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`);
  expect(status).toBe(202);
  expect(await endOf(body.id)).toMatchObject({ state: "succeeded" });
});

it("applies no policy at the end of a run that a merge has taken back meanwhile", async () => {
  const loose = manifest("rg2-late", 3, "maxSkew: 100, retainHours: 1");
  github.pushMain({ [PATH]: loose });
  const plan = await planFor(specsOf(loose));
  expect(plan.policies).toMatchObject([{ fields: [{ field: "retainHours", to: 1 }] }]);
  await controlsOf("rg2-late").setPace(10_000);
  const { body } = await ask<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`);
  github.pushMain({ [PATH]: manifest("rg2-late", 3, "maxSkew: 100") });
  await reconcileNow();
  await controlsOf("rg2-late").setPace(1);
  expect(await endOf(body.id)).toMatchObject({ state: "succeeded" });
  expect((await planFor(specsOf(loose))).policies).toMatchObject([
    { fields: [{ field: "retainHours", from: 24, to: 1 }] },
  ]);
});

it("applies a policy by hand beside a merge that is about something else", async () => {
  const merged = manifest("rg3-hand", 2, "maxSkew: 100");
  github.pushMain({ [PATH]: merged });
  await reconcileNow();
  const loose = manifest("rg3-hand", 3, "maxSkew: 100, retainHours: 1");
  const plan = await planFor(specsOf(loose));
  await controlsOf("rg3-hand").setPace(10_000);
  const { body } = await ask<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`);
  github.pushMain({ [PATH]: `${merged}---\n${manifest("rg3-other", 2, "maxSkew: 100")}` });
  await reconcileNow();
  await controlsOf("rg3-hand").setPace(1);
  expect(await endOf(body.id)).toMatchObject({ state: "succeeded" });
  // It is applied: what is merged shows as a change back.
  expect((await planFor(specsOf(merged))).policies).toMatchObject([
    { fields: [{ field: "retainHours", from: 1, to: 24 }] },
  ]);
});

it("guards by a policy from the moment on in which it was applied, before any tick", async () => {
  const tight = manifest("rg4-now", 2, "maxSkew: 100, budget: { rows: 1 }");
  const wide = manifest("rg4-now", 2, "maxSkew: 100, budget: { rows: 1000000 }");
  github.pushMain({ [PATH]: tight });
  await reconcileNow();
  const first = await planFor(specsOf(tight));
  const apply = (fingerprint: string, overrides: readonly string[] = []) =>
    ask<Run & { detail: string }>("POST", `/v1/plans/${fingerprint}/apply`, {
      body: { overrides },
    });
  await endOf((await apply(first.fingerprint, ["budget"])).body.id);
  github.pushMain({ [PATH]: wide });
  await reconcileNow();
  await endOf((await apply((await planFor(specsOf(wide))).fingerprint)).body.id);
  // No tick has followed it yet.
  const next = await planFor(
    specsOf(manifest("rg4-now", 3, "maxSkew: 100, budget: { rows: 1000000 }")),
  );
  expect(next.blocks).toEqual([]);
  const { status, body } = await apply(next.fingerprint);
  expect(status, body.detail).toBe(202);
  expect(await endOf(body.id)).toMatchObject({ state: "succeeded" });
});
