/**
 * The main job on the real local runtime, by the CLI alone: shard → rebalance with workerd killed
 * in the middle → rekey → unshard. Whatever happens on the way, every thing that was put is there
 * at the end, once and unchanged.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NamespaceReport } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { ImportReport } from "../../src/model/state-file.ts";
import type { LiveNamespace } from "../../src/model/live.ts";
import type { Plan } from "../../src/model/plan.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import { temporaryProject } from "../cli/support/project.ts";
import { type CliRun, runHere, spawnCli } from "../cli/support/run-cli.ts";
import { type DevRuntime, startDevRuntime } from "../support/server.ts";

const THINGS = 2_000;
const CUSTOMERS = 400;
const KILLS = 3;
const BATCH = 500;
const MANIFEST = `apiVersion: shardctl.dev/v1
kind: Namespace
metadata:
  name: orders
spec:
  object: ORDERS
  strategy: hash
  shardKey: id
  count: 4
  policy: { maxSkew: 3 }
`;

interface Thing {
  readonly id: string;
  readonly data: unknown;
}

const things: readonly Thing[] = Array.from({ length: THINGS }, (_, index) => ({
  id: `order-${String(index).padStart(6, "0")}`,
  data: {
    customer: { id: `c${index % CUSTOMERS}` },
    total: index / 100,
    note: index % 7 === 0 ? "naïve 🦆\nline" : null,
  },
}));

let project: Awaited<ReturnType<typeof temporaryProject>>;
let runtime: DevRuntime;

beforeAll(async () => {
  project = await temporaryProject({
    "manifests/orders.yaml": MANIFEST,
    "shardctl.yaml": "apiVersion: shardctl.dev/v1\nkind: Config\n",
  });
  runtime = await startDevRuntime(project.path);
});
afterAll(async () => {
  await runtime?.stop();
  await project?.[Symbol.asyncDispose]();
});

function shardctl(...argv: string[]): Promise<CliRun> {
  return runHere(argv, { cwd: project.path });
}

async function planNow(): Promise<Plan> {
  const run = await shardctl("plan", "--json");
  expect(run.stderr).toBe("");
  return JSON.parse(run.stdout) as Plan;
}

async function edit(before: string, after: string): Promise<void> {
  const path = join(project.path, "manifests/orders.yaml");
  const text = await readFile(path, "utf8");
  expect(text).toContain(before);
  await writeFile(path, text.replace(before, after));
}

async function readLive(): Promise<LiveNamespace> {
  const run = await shardctl("status", "orders", "--json");
  const { namespaces } = JSON.parse(run.stdout) as {
    readonly namespaces: readonly NamespaceReport[];
  };
  const [report] = namespaces;
  if (report?.kind !== "live") throw new Error(`orders cannot be read: ${run.stdout}`);
  return report.namespace;
}

/** Plans and applies; gives the kinds of change that the plan showed and how the apply ended. */
async function planAndApply() {
  const plan = await planNow();
  const { exitCode, stderr } = await shardctl("apply", "--auto-approve");
  return { kinds: plan.changes.map((change) => change.kind), exitCode, stderr };
}

async function expectLive(members: number): Promise<void> {
  const live = await readLive();
  expect(live.members).toHaveLength(members);
  expect(live.members.reduce((rows, member) => rows + member.rows, 0)).toBe(THINGS);
  const again = await shardctl("plan", "--exit-code");
  expect(again.exitCode).toBe(EXIT.done);
}

describe("the main job", () => {
  it("puts things into an unsharded namespace", async () => {
    for (let start = 0; start < THINGS; start += BATCH) {
      const response = await fetch(`${runtime.endpoint}/data/ORDERS/orders/things`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(things.slice(start, start + BATCH)),
      });
      expect(response.status).toBe(200);
    }
    expect(await readLive()).toMatchObject({
      epoch: 0,
      layout: { kind: "none" },
      members: [{ name: "orders", rows: THINGS }],
    });
  });

  it("shards by id", async () => {
    expect(await planAndApply()).toEqual({ kinds: ["shard"], exitCode: EXIT.done, stderr: "" });
    await expectLive(4);
  });

  it("rebalances to 6 shards while workerd is killed, and the CLI sees it through", async () => {
    await edit("count: 4", "count: 6");
    const child = spawnCli(["apply", "--auto-approve"], { cwd: project.path });
    await child.waitFor("started.");
    for (let kill = 0; kill < KILLS; kill++) {
      await runtime.killWorkerd();
      await expect.poll(() => isUp(), { timeout: 20_000 }).toBe(true);
    }
    const run = await child.ended;
    expect(run.stderr).toBe("");
    expect(run.exitCode).toBe(EXIT.done);
    await expectLive(6);
  });

  it("applies a reviewed plan once, and refuses it as stale afterwards", async () => {
    await edit("shardKey: id", "shardKey: data.customer.id");
    expect((await shardctl("plan", "--out", "plan.json", "--exit-code")).exitCode).toBe(
      EXIT.changesPending,
    );
    const first = await shardctl("apply", "--plan", "plan.json", "--auto-approve");
    expect(first.stderr).toBe("");
    expect(first.exitCode).toBe(EXIT.done);
    await expectLive(6);
    const second = await shardctl("apply", "--plan", "plan.json", "--auto-approve");
    expect(second.exitCode).toBe(EXIT.stalePlan);
  });

  it("is blocked by a guard until the guard is overridden", async () => {
    await edit("shardKey: data.customer.id", "shardKey: data.nothing");
    const blocked = await shardctl("apply", "--auto-approve");
    expect(blocked.exitCode).toBe(EXIT.blocked);
    expect(blocked.stderr).toContain("[missingKey]");
    await edit("shardKey: data.nothing", "shardKey: data.customer.id");
    await expectLive(6);
  });

  it("imports what is live, and a plan of that changes nothing but the policy, which is not live", async () => {
    expect((await shardctl("import", "--out", "imported")).exitCode).toBe(EXIT.done);
    const run = await shardctl("plan", "imported", "--exit-code");
    expect(run.exitCode).toBe(EXIT.changesPending);
    expect(run.stdout).toContain("~ orders: maxSkew 3 → 1.5");
    expect(run.stdout).toContain("Plan: 1 policy change, 1 in sync.");
  });

  it("exports its own state, takes it over, and forgets nothing that lives", async () => {
    let files = 0;
    const takeOver = async (): Promise<ImportReport> => {
      const file = join(project.path, `state-${files++}.json`);
      expect((await shardctl("export", "--state", file)).exitCode).toBe(EXIT.done);
      const run = await shardctl("import", "--state", file, "--auto-approve", "--json");
      expect(run.exitCode).toBe(EXIT.done);
      return (JSON.parse(run.stdout) as { readonly imported: ImportReport }).imported;
    };
    const { tables, isApplied } = await takeOver();
    expect(isApplied).toBe(true);
    expect(tables.find(({ table }) => table === "runs")?.rows).toBeGreaterThan(0);
    // A tick of the Worker may come between the two.
    await expect
      .poll(
        async () => (await takeOver()).tables.filter(({ added, replaced }) => added + replaced > 0),
        { timeout: 30_000 },
      )
      .toEqual([]);
    const forgotten = await shardctl("forget", "orders", "--auto-approve");
    expect(forgotten.exitCode).toBe(EXIT.blocked);
    expect(forgotten.stderr).toContain("is sharded");
  });

  it("unshards", async () => {
    await edit(
      "  strategy: hash\n  shardKey: data.customer.id\n  count: 6\n",
      "  strategy: none\n",
    );
    expect(await planAndApply()).toEqual({ kinds: ["unshard"], exitCode: EXIT.done, stderr: "" });
    await expectLive(1);
  });

  it("has kept its history", async () => {
    const run = await shardctl("history", "orders", "--json");
    const { operations } = JSON.parse(run.stdout) as {
      readonly operations: readonly { readonly kind: string; readonly state: string }[];
    };
    expect(operations.map(({ kind, state }) => `${kind} ${state}`)).toEqual([
      "unshard completed",
      "rekey completed",
      "rebalance completed",
      "shard completed",
    ]);
  });

  it("has lost, doubled and changed nothing, also not over a restart", async () => {
    await runtime.stop();
    runtime = await startDevRuntime(project.path);
    const read: Thing[] = [];
    for (
      let after: string | undefined, page: readonly Thing[] | null = null;
      page === null || page.length > 0;
      after = page.at(-1)?.id
    ) {
      const query = after === undefined ? "" : `&after=${after}`;
      const response = await fetch(
        `${runtime.endpoint}/data/ORDERS/orders/things?limit=${BATCH}${query}`,
      );
      page = (await response.json()) as readonly Thing[];
      read.push(...page.map(({ id, data }) => ({ id, data })));
    }
    expect(read).toEqual(things);
  });

  it("is looked at by ticks of its own, without anybody asking", async () => {
    const look = async (): Promise<unknown> => {
      const response = await fetch(`${runtime.endpoint}/v1/drift`);
      const { conditions } = (await response.json()) as DriftReport;
      return conditions.map(({ namespace, type, reason }) => [namespace, type, reason]);
    };
    await expect
      .poll(look, { timeout: 60_000, interval: 500 })
      .toEqual([["orders", "Ready", "InSync"]]);
    const { checkedAt } = (await (
      await fetch(`${runtime.endpoint}/v1/drift`)
    ).json()) as DriftReport;
    expect(checkedAt).not.toBeNull();
    expect(await (await fetch(`${runtime.endpoint}/`)).text()).toContain("Namespaces: 1 ready.");
  });
});

async function isUp(): Promise<boolean> {
  try {
    return (await fetch(`${runtime.endpoint}/healthz`)).ok;
  } catch {
    // Down is what the caller waits out.
    return false;
  }
}
