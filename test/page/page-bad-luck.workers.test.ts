/**
 * The status page while all sorts of things go wrong, one after the other: it answers, says what is
 * wrong, and shows what it knew last.
 */
import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import { parseManifests } from "../../src/manifest/index.ts";
import { controlEnv, controlsOf } from "../support/control-api.ts";
import { github, gitops } from "../support/control-worker.ts";
import { ask, endOf, gitopsStub, planFor } from "../support/gitops-api.ts";

const PATH = "manifests/shop.yaml";

function manifest(name: string, count: number, object = "ORDERS"): string {
  return (
    `apiVersion: shardctl.dev/v1\nkind: Namespace\nmetadata: { name: ${name} }\n` +
    `spec: { object: ${object}, strategy: hash, shardKey: id, count: ${count}, policy: { maxSkew: 100 } }\n`
  );
}

const GOOD = manifest("bl-orders", 2);

async function show(path: string): Promise<string> {
  const request = new Request(`https://control.test${path}`, {
    headers: { authorization: "Bearer read-token" },
  });
  const response = await gitops.fetch(request, controlEnv, createExecutionContext());
  const html = await response.text();
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${html}`);
  return html;
}

async function tick(): Promise<void> {
  await runInDurableObject(gitopsStub(), (_instance, state) => {
    state.storage.sql.exec("UPDATE reconciledNames SET dueAt = 0");
  });
  const { status, body } = await ask("POST", "/v1/reconcile");
  if (status !== 200) throw new Error(`The pass did not end: ${status} ${JSON.stringify(body)}`);
}

/** When namespaces were last asked for the page. */
async function setAskedAt(askedAt: number): Promise<void> {
  await runInDurableObject(gitopsStub(), (_instance, state) => {
    state.storage.sql.exec("UPDATE sights SET askedAt = ?", askedAt);
  });
}

/** The page of the environment, and that of the namespace. */
async function both(): Promise<readonly [string, string]> {
  return Promise.all([
    show("/?environment=production"),
    show("/namespaces/ORDERS/bl-orders?environment=production"),
  ]);
}

it("all is well", async () => {
  github.pushMain({ [PATH]: GOOD });
  const { desired } = parseManifests([{ path: PATH, text: GOOD }], { environment: "production" });
  const plan = await planFor(desired?.namespaces ?? []);
  const { body } = await ask<{ id: string }>("POST", `/v1/plans/${plan.fingerprint}/apply`, {
    body: {},
  });
  expect(await endOf(body.id)).toMatchObject({ state: "succeeded" });
  await tick();
  const [overview, namespace] = await both();
  expect(overview).toContain("Namespaces: 1 ready.");
  expect(namespace).toContain("hash(id) × 2");
});

it("GitHub is unreachable, then back", async () => {
  github.failing.set("branchHead", {
    kind: "unreachable",
    message: "GitHub did not answer",
    retryAt: null,
  });
  await tick();
  for (const html of await both()) {
    expect(html).toContain("They could not be read 1 time in a row: GitHub did not answer.");
    expect(html).toContain("and could not read everything");
    expect(html).toContain("bl-orders");
  }
  github.failing.clear();
  await runInDurableObject(gitopsStub(), (_instance, state) => {
    const { sql } = state.storage;
    const { body } = sql
      .exec<{ body: string }>("SELECT body FROM reconcileDocuments WHERE kind = 'environment'")
      .one();
    sql.exec(
      "UPDATE reconcileDocuments SET body = ? WHERE kind = 'environment'",
      body.replace(/"nextTryAt":\d+/g, '"nextTryAt":0'),
    );
  });
  await tick();
  for (const html of await both()) expect(html).not.toContain("could not be read");
});

it("the manifests stop parsing, then all are deleted", async () => {
  for (const [text, says] of [
    ["kind: Nonsense\n", "the manifests on the default branch are not valid"],
    [null, "no manifest declares a namespace any more"],
  ] as const) {
    github.pushMain({ [PATH]: text });
    await tick();
    for (const html of await both()) {
      expect(html).toContain("The newest manifests are not in force.");
      expect(html).toContain(says);
      expect(html).toContain("The last valid manifests stay in force.");
    }
  }
  github.pushMain({ [PATH]: GOOD });
  await tick();
  for (const html of await both()) expect(html).not.toContain("not followed");
});

it("a binding is gone, and an object falls over", async () => {
  github.pushMain({ [PATH]: `${GOOD}---\n${manifest("bl-gone", 2, "GONE")}` });
  await controlsOf("bl-orders").breakCalls(
    { kind: "unreachable", message: "the object fell over" },
    50,
  );
  await tick();
  await tick();
  await setAskedAt(0);
  const [overview, namespace] = await both();
  expect(overview).toMatch(/Namespaces: \d stalled/);
  expect(overview).toContain("the Worker has no Durable Object binding GONE");
  expect(overview).toContain("not seen yet");
  expect(await show("/namespaces/GONE/bl-gone?environment=production")).toContain(
    "has no Durable Object binding",
  );
  // As it was seen last, and that it does not answer now.
  expect(namespace).toContain("hash(id) × 2");
  expect(namespace).toContain("It could not be read just now");
  await controlsOf("bl-orders").breakCalls({ kind: "unreachable", message: "" }, 0);
  github.pushMain({ [PATH]: GOOD });
  await tick();
});

it("a run fails, and the clock is wrong", async () => {
  await controlsOf("bl-orders").failNext({ kind: "internal", message: "disk on fire" });
  const { desired } = parseManifests([{ path: PATH, text: manifest("bl-orders", 3) }], {
    environment: "production",
  });
  const plan = await planFor(desired?.namespaces ?? []);
  const { body } = await ask<{ id: string }>("POST", `/v1/plans/${plan.fingerprint}/apply`, {
    body: {},
  });
  expect(await endOf(body.id)).toMatchObject({ state: "failed" });
  const [overview, namespace] = await both();
  expect(overview).toContain("bl-orders: disk on fire");
  expect(namespace).toContain("operation 2 failed: disk on fire");
  // A time written by a clock that was ahead does not keep the page from asking.
  await setAskedAt(Date.now() + 400 * 24 * 60 * 60 * 1000);
  const asked = async (): Promise<number> => (await controlsOf("bl-orders").verbs()).length;
  const before = await asked();
  await show("/namespaces/ORDERS/bl-orders?environment=production");
  // Its history, and the look itself.
  expect((await asked()) - before).toBe(2);
});

it("the history has 100,000 rows", async () => {
  await runInDurableObject(gitopsStub(), (_instance, state) => {
    state.storage.sql.exec(
      `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
       INSERT INTO events (at, environment, kind, namespace, body)
         SELECT ?, 'production', 'operation', 'n' || (n % 500), json_set(?, '$.summary', 'row ' || n) FROM numbers`,
      Date.now(),
      JSON.stringify({
        actor: "ci",
        commit: null,
        pull: null,
        fingerprint: null,
        run: null,
        rowsMoved: 1,
        durationMs: 1,
      }),
    );
  });
  const [overview, namespace] = await both();
  expect(overview).toContain("row 100000<");
  expect(overview).not.toContain("row 99990<");
  expect(namespace).toContain("operation 2 failed");
  expect(namespace).not.toContain("row 100000<");
});
