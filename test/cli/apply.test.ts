/**
 * `apply` against a scripted reconciler: approval, guards, stale plans, locks, restarts, Ctrl-C.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, describe, expect, it } from "vitest";

import type { OperationPause } from "../../src/model/operation.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { type RunOptions, runInProcess, spawnCli } from "./support/run-cli.ts";
import {
  type Answer,
  type Script,
  type ScriptedServer,
  problem,
  startScriptedServer,
} from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import {
  EMPTY_PLAN,
  FINGERPRINT,
  NOON,
  OTHER_FINGERPRINT,
  RUN_ID,
  RUN_STEPS,
  actionOf,
  operationOf,
  planOf,
  runOf,
  shardChange,
  skewBlock,
} from "./support/states.ts";

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function applyAgainst(
  script: Script,
  argv: readonly string[],
  options: Partial<RunOptions> = {},
) {
  server = await startScriptedServer(script);
  await using project = await temporaryProject();
  return await runInProcess(["apply", ...argv], {
    cwd: project.path,
    env: environmentFor(server.endpoint),
    ...options,
  });
}

function applied(): unknown[] {
  return (server?.requests ?? [])
    .filter((request) => request.path.endsWith("/apply"))
    .map((request) => request.body);
}

describe("approval", () => {
  it("shows the plan, runs it to its end and sums up", async () => {
    const run = await applyAgainst(reconciler(), ["--auto-approve", "--requested-by", "ada"]);
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stderr).toBe("");
    await expect(run.stdout).toMatchFileSnapshot("../golden/cli/apply.txt");
    expect(applied()).toEqual([{ overrides: [], requestedBy: "ada" }]);
  });

  it("does nothing when there is nothing to do", async () => {
    const run = await applyAgainst(reconciler({ plan: EMPTY_PLAN }), []);
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout).toContain("Nothing to do");
    expect(applied()).toEqual([]);
  });

  it("is not assumed without a terminal", async () => {
    const run = await applyAgainst(reconciler(), []);
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("--auto-approve");
    expect(applied()).toEqual([]);
  });

  it.each(["y\n", "no\n", "YES\n", "\n", ""])("is not given by %j", async (typed) => {
    const run = await applyAgainst(reconciler(), [], { typed });
    expect(run.exitCode).not.toBe(EXIT.done);
    expect(run.stderr).toContain("Nothing was applied");
    expect(applied()).toEqual([]);
  });

  it("is given by yes", async () => {
    const run = await applyAgainst(reconciler(), [], { typed: "yes\n" });
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout).toContain("Do you want to apply this plan? Only 'yes' is accepted:");
    expect(applied()).toHaveLength(1);
  });
});

describe("guards", () => {
  const plan = planOf({ blocks: [skewBlock()] });

  it("block before anything is asked or sent", async () => {
    const run = await applyAgainst(reconciler({ plan }), ["--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.blocked);
    expect(run.stderr).toContain("shardctl apply --override skew");
    expect(applied()).toEqual([]);
  });

  it("are overridden by name", async () => {
    const run = await applyAgainst(reconciler({ plan }), [
      "--auto-approve",
      "--override",
      "skew",
      "--requested-by",
      "ada",
    ]);
    expect(run.exitCode).toBe(EXIT.done);
    expect(applied()).toEqual([{ overrides: ["skew"], requestedBy: "ada" }]);
  });

  it("that cannot be overridden stay", async () => {
    const hard = planOf({ blocks: [{ ...skewBlock(), guard: "unreadable", overridable: false }] });
    const run = await applyAgainst(reconciler({ plan: hard }), [
      "--auto-approve",
      "--override",
      "unreadable",
    ]);
    expect(run.exitCode).toBe(EXIT.blocked);
    expect(applied()).toEqual([]);
  });

  it("have names: another word is a mistake", async () => {
    const run = await applyAgainst(reconciler({ plan }), ["--override", "skewed"]);
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("There is no guard 'skewed'");
  });
});

describe("a refusal of the server", () => {
  const refusing = (answer: Answer) =>
    reconciler({ first: (request) => (request.path.endsWith("/apply") ? answer : undefined) });

  it("for a lock exits with 5 and names the run", async () => {
    const run = await applyAgainst(
      refusing(
        problem(
          "locked",
          409,
          "Nothing was applied: run run-0 is active. Cancel it with `shardctl cancel run-0`.",
        ),
      ),
      ["--auto-approve"],
    );
    expect(run.exitCode).toBe(EXIT.locked);
    expect(run.stderr).toContain("run-0");
    expect(run.stderr).toContain("shardctl cancel");
  });

  it("for a guard exits with 4", async () => {
    const run = await applyAgainst(
      refusing(problem("blocked", 409, "orders: outside its window.")),
      ["--auto-approve"],
    );
    expect(run.exitCode).toBe(EXIT.blocked);
    expect(run.stderr).toContain("outside its window");
  });

  it("for a stale plan exits with 3 and says what changed", async () => {
    let plans = 0;
    const script = reconciler({
      first: ({ path }) => {
        if (path.endsWith("/apply")) return problem("stalePlan", 409, "orders is at epoch 3.");
        if (path !== "/v1/plans") return undefined;
        plans++;
        const moved = planOf({
          fingerprint: OTHER_FINGERPRINT,
          changes: [shardChange({ epoch: 3 })],
        });
        return { status: 200, json: plans === 1 ? planOf() : moved };
      },
    });
    const run = await applyAgainst(script, ["--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.stalePlan);
    expect(run.stderr).toContain("orders: live epoch 0 → 3");
  });
});

describe("a reviewed plan", () => {
  it("from a file is applied when it is still the same", async () => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject();
    const options = { cwd: project.path, env: environmentFor(server.endpoint) };
    expect((await runInProcess(["plan", "--out", "plan.json"], options)).exitCode).toBe(EXIT.done);
    const run = await runInProcess(["apply", "--plan", "plan.json", "--auto-approve"], options);
    expect(run.exitCode).toBe(EXIT.done);
    expect(server.requests.at(1)?.body).toMatchObject({
      basis: FINGERPRINT,
      desired: { namespaces: [{ name: "orders" }] },
    });
  });

  it("from a file that has become stale is not applied", async () => {
    let fingerprint = FINGERPRINT;
    const script = reconciler({
      first: ({ path }) =>
        path === "/v1/plans"
          ? {
              status: 200,
              json: planOf({
                fingerprint,
                changes: fingerprint === FINGERPRINT ? [shardChange()] : [],
              }),
            }
          : undefined,
    });
    server = await startScriptedServer(script);
    await using project = await temporaryProject();
    const options = { cwd: project.path, env: environmentFor(server.endpoint) };
    await runInProcess(["plan", "--out", "plan.json"], options);
    fingerprint = OTHER_FINGERPRINT;
    const run = await runInProcess(["apply", "--plan", "plan.json", "--auto-approve"], options);
    expect(run.exitCode).toBe(EXIT.stalePlan);
    expect(run.stderr).toContain("orders: nothing to shard any more");
    expect(applied()).toEqual([]);
  });

  it("by fingerprint is shown and applied as the server has it", async () => {
    const run = await applyAgainst(reconciler(), ["--fingerprint", FINGERPRINT, "--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.done);
    expect(server?.requests[0]?.path).toBe(`/v1/plans/${FINGERPRINT}`);
  });

  it("that the server does not know is not applied", async () => {
    const script: Script = () => problem("unknownPlan", 404, "No such plan.");
    const run = await applyAgainst(script, ["--fingerprint", OTHER_FINGERPRINT, "--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.stalePlan);
  });

  const FILES = [
    { name: "is missing", text: null, says: "ENOENT" },
    { name: "is not JSON", text: "{", says: "Cannot read a plan" },
    { name: "is no plan", text: "{}", says: "it is not a plan" },
    {
      name: "is of a later version",
      text: '{"kind":"ShardctlPlanFile","version":9}',
      says: "version 9",
    },
  ];
  it.each(FILES)("in a file that $name is refused", async ({ text, says }) => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject();
    if (text !== null) await writeFile(join(project.path, "plan.json"), text);
    const run = await runInProcess(["apply", "--plan", "plan.json"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(says);
    expect(server.requests).toHaveLength(0);
  });
});

describe("a run", () => {
  it("is followed through a restart of the server, which is told once", async () => {
    const down: readonly Answer[] = [
      { kind: "reset" },
      { status: 502, text: "" },
      { status: 503, text: "" },
    ];
    const [first, second, third, last] = RUN_STEPS;
    const polls = [first, second, ...down, third, ...down, last].filter(
      (step) => step !== undefined,
    );
    const run = await applyAgainst(reconciler({ polls }), ["--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout.match(/The server does not answer/g)).toHaveLength(2);
    expect(run.stdout.match(/The server answers again/g)).toHaveLength(2);
  });

  it("whose start was cut off is found again and not started twice", async () => {
    const started = runOf({ startedAt: NOON * 2 });
    const script = reconciler({
      first: ({ path }) => {
        if (path.endsWith("/apply")) return { kind: "reset" };
        return path === "/v1/runs" ? { status: 200, json: { runs: [started] } } : undefined;
      },
    });
    const run = await applyAgainst(script, ["--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.done);
    expect(applied()).toHaveLength(1);
  });

  it("that fails names the actions and reasons", async () => {
    const failed = runOf({
      state: "failed",
      finishedAt: NOON + 1,
      updatedAt: NOON + 1,
      actions: [
        actionOf({ state: "failed", error: "orders-shard-1 did not answer" }),
        actionOf({ namespace: "carts", state: "notExecuted", error: "orders failed" }),
      ],
    });
    const run = await applyAgainst(reconciler({ polls: [failed] }), ["--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("orders: shard failed: orders-shard-1 did not answer");
    expect(run.stderr).toContain("carts: shard notExecuted: orders failed");
  });

  it("whose operation is paused says so, and that it goes on", async () => {
    const step = (updatedAt: number, paused: OperationPause | null) =>
      runOf({
        updatedAt,
        actions: [actionOf({ state: "running", operation: operationOf({ paused }) })],
      });
    const held = { by: "shardctl reconciler", reason: "its window has closed", since: NOON };
    const polls = [
      step(NOON + 1, null),
      step(NOON + 2, held),
      step(NOON + 3, held),
      step(NOON + 4, null),
      ...RUN_STEPS.slice(-1),
    ];
    const run = await applyAgainst(reconciler({ polls }), ["--auto-approve"]);
    expect(run.exitCode).toBe(EXIT.done);
    const said = run.stdout.split("\n").filter((line) => line.startsWith("orders: shard"));
    expect(said).toEqual([
      "orders: shard started",
      "orders: shard paused by shardctl reconciler: its window has closed",
      "orders: shard has resumed",
      "orders: shard done, 1,000 rows, epoch 1",
    ]);
  });

  it("that is watched on a terminal draws bars and cleans up", async () => {
    const run = await applyAgainst(reconciler(), ["--auto-approve"], { terminal: true });
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout).toContain("█");
    // The cursor is hidden while bars are drawn, and shown again.
    expect(run.stdout.lastIndexOf("\u001b[?25h")).toBeGreaterThan(
      run.stdout.lastIndexOf("\u001b[?25l"),
    );
  });

  it("goes on after Ctrl-C, which says how to look and how to cancel", async () => {
    server = await startScriptedServer(reconciler({ polls: RUN_STEPS.slice(1, 2) }));
    await using project = await temporaryProject();
    const child = spawnCli(["apply", "--auto-approve"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    await child.waitFor("shard started");
    child.process.kill("SIGINT");
    const run = await child.ended;
    expect(run.exitCode).toBe(EXIT.interrupted);
    expect(run.stderr).toContain(`shardctl status --run ${RUN_ID}`);
    expect(run.stderr).toContain(`shardctl cancel ${RUN_ID}`);
    expect(server.requests.some((request) => request.path.endsWith("/cancel"))).toBe(false);
  });
});

it("writes the plan file with the desired state", async () => {
  server = await startScriptedServer(reconciler());
  await using project = await temporaryProject();
  await runInProcess(["plan", "--out", "plan.json"], {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
  const file = JSON.parse(await readFile(join(project.path, "plan.json"), "utf8")) as unknown;
  expect(file).toMatchObject({
    kind: "ShardctlPlanFile",
    version: 1,
    plan: { fingerprint: FINGERPRINT },
    desired: { namespaces: [{ name: "orders" }] },
  });
});
