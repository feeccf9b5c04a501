/**
 * Output that people and programs read: help texts, `--json`, colours, mistakes on the command
 * line, readers that go away.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";

import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { MAIN, TEST_VERSION, runInProcess, temporaryFolder } from "./support/run-cli.ts";
import { problem, type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import {
  RUN_ID,
  driftReport,
  liveReport,
  planOf,
  POLICY_PLAN,
  repairPlan,
  skewBlock,
} from "./support/states.ts";

const COMMANDS = [
  "init",
  "validate",
  "plan",
  "apply",
  "status",
  "drift",
  "history",
  "pause",
  "resume",
  "cancel",
  "repair",
  "forget",
  "import",
  "export",
  "token",
  "dev",
];
const ESCAPE = "\u001b[";

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe("help", () => {
  it("of shardctl", async () => {
    const run = await runInProcess(["--help"], { cwd: "/" });
    expect(run.exitCode).toBe(EXIT.done);
    await expect(run.stdout).toMatchFileSnapshot("../golden/cli/help.txt");
  });

  it.each(COMMANDS)("of %s has examples and exit codes", async (command) => {
    const run = await runInProcess([command, "--help"], { cwd: "/" });
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout).toContain(`$ shardctl ${command}`);
    expect(run.stdout).toContain("Exit codes:");
    await expect(run.stdout).toMatchFileSnapshot(`../golden/cli/help-${command}.txt`);
  });

  it("gives the version", async () => {
    expect(await runInProcess(["--version"], { cwd: "/" })).toEqual({
      exitCode: EXIT.done,
      stdout: `${TEST_VERSION}\n`,
      stderr: "",
    });
  });

  it("is printed, with a failing code, when no command is given", async () => {
    const run = await runInProcess([], { cwd: "/" });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stdout).toBe("");
    expect(run.stderr).toContain("Usage: shardctl");
  });
});

describe("a mistake on the command line", () => {
  it.each([
    { argv: ["aply"], says: "Did you mean apply?" },
    { argv: ["plan", "--exit-cod"], says: "Did you mean --exit-code?" },
    { argv: ["plan", "--format", "xml"], says: "text, markdown, json" },
    { argv: ["cancel"], says: "argument 'run'" },
    { argv: ["pause", "orders"], says: "Give a reason" },
    { argv: ["repair", "orders", "--fingerprint", "ab"], says: "give it together with --apply" },
    { argv: ["history", "--bookmarks"], says: "--bookmarks needs a namespace" },
    {
      argv: ["pause", "--reason", "incident 7"],
      says: "Name what to pause: a namespace, or --all.",
    },
    { argv: ["pause", "orders", "--all", "--reason", "x"], says: "not both" },
    { argv: ["resume"], says: "Name what to resume: a namespace, or --all." },
    { argv: ["dev", "--port", "http"], says: "0 to 65535" },
    { argv: ["status", "orders", "extra"], says: "Too many arguments" },
    { argv: ["status", "orders", "--run", "run-1"], says: "not both" },
    { argv: ["history", "orders", "--runs"], says: "--runs cannot be combined with a namespace" },
    { argv: ["history", "--kind", "nonsense"], says: "plan, review, release" },
  ])("$argv exits with 1 and says $says", async ({ argv, says }) => {
    const run = await runInProcess(argv, { cwd: "/" });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stdout).toBe("");
    expect(run.stderr).toContain(says);
  });

  it("is JSON with --json", async () => {
    const run = await runInProcess(["plan", "--json", "--nonsense"], { cwd: "/" });
    expect(run.exitCode).toBe(EXIT.error);
    expect(JSON.parse(run.stdout)).toMatchObject({
      error: { kind: "usage", exitCode: EXIT.error },
    });
  });
});

describe("--json", () => {
  const INVOCATIONS = [
    { argv: ["init"], exitCode: EXIT.done },
    { argv: ["validate"], exitCode: EXIT.done },
    { argv: ["validate", "nowhere"], exitCode: EXIT.error },
    { argv: ["plan"], exitCode: EXIT.done },
    { argv: ["plan", "--exit-code"], exitCode: EXIT.changesPending },
    { argv: ["apply", "--auto-approve"], exitCode: EXIT.done },
    { argv: ["apply"], exitCode: EXIT.error },
    { argv: ["apply", "--override", "nothing"], exitCode: EXIT.error },
    { argv: ["status"], exitCode: EXIT.done },
    { argv: ["status", "orders"], exitCode: EXIT.done },
    { argv: ["status", "--run", RUN_ID], exitCode: EXIT.done },
    { argv: ["drift"], exitCode: EXIT.done },
    { argv: ["drift", "--exit-code"], exitCode: EXIT.changesPending },
    { argv: ["drift", "--now", "--exit-code"], exitCode: EXIT.done },
    { argv: ["history"], exitCode: EXIT.done },
    { argv: ["history", "--runs"], exitCode: EXIT.done },
    { argv: ["history", "orders", "--kind", "operation"], exitCode: EXIT.done },
    { argv: ["history", "--export"], exitCode: EXIT.error },
    { argv: ["history", "orders"], exitCode: EXIT.done },
    { argv: ["cancel", RUN_ID], exitCode: EXIT.done },
    { argv: ["pause", "orders", "--reason", "black friday"], exitCode: EXIT.done },
    { argv: ["repair", "orders"], exitCode: EXIT.done },
    {
      argv: ["repair", "orders", "--apply", "--fingerprint", repairPlan().fingerprint],
      exitCode: EXIT.done,
    },
    { argv: ["pause", "--all", "--reason", "incident 7"], exitCode: EXIT.done },
    { argv: ["resume", "orders"], exitCode: EXIT.done },
    { argv: ["resume", "--all"], exitCode: EXIT.done },
    { argv: ["import", "--out", "elsewhere"], exitCode: EXIT.done },
    { argv: ["dev", "--config", "nowhere.yaml"], exitCode: EXIT.error },
  ];

  it.each(INVOCATIONS)("keeps stdout of $argv pure", async ({ argv, exitCode }) => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject();
    const run = await runInProcess([...argv, "--json"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(exitCode);
    const document = JSON.parse(run.stdout) as Record<string, unknown>;
    expect("error" in document).toBe(exitCode === EXIT.error);
  });

  it.each([
    [[], EXIT.done],
    [["--exit-code"], EXIT.changesPending],
  ])("knows a plan of policies alone with %j", async (options, exitCode) => {
    server = await startScriptedServer(reconciler({ plan: POLICY_PLAN }));
    await using project = await temporaryProject();
    const run = await runInProcess(["plan", ...options, "--json"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(exitCode);
    expect(JSON.parse(run.stdout)).toMatchObject({
      changes: [],
      policies: [{ namespace: "orders", fields: [{ field: "selfHeal", loosens: true }] }],
      summary: { policies: 1 },
    });
  });

  it("applies a plan of policies alone", async () => {
    server = await startScriptedServer(reconciler({ plan: POLICY_PLAN }));
    await using project = await temporaryProject();
    const run = await runInProcess(["apply", "--auto-approve"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout + run.stderr).not.toContain("Nothing to do");
    expect(server.requests.map(({ path }) => path)).toContain(
      `/v1/plans/${POLICY_PLAN.fingerprint}/apply`,
    );
  });

  it("puts progress on stderr", async () => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject();
    const run = await runInProcess(["apply", "--auto-approve", "--json"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.stderr).toContain("orders: shard started");
    expect(JSON.parse(run.stdout)).toMatchObject({
      run: { id: RUN_ID, state: "succeeded" },
      plan: { environment: "local", summary: { shard: 1, rowsMoved: 1000, blocks: 0 } },
    });
  });

  it("gives the blocked plan beside the error", async () => {
    server = await startScriptedServer(reconciler({ plan: planOf({ blocks: [skewBlock()] }) }));
    await using project = await temporaryProject();
    const run = await runInProcess(["apply", "--auto-approve", "--json"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.blocked);
    expect(JSON.parse(run.stdout)).toMatchObject({
      error: { kind: "blocked" },
      plan: { summary: { blocks: 1 }, blocks: [{ guard: "skew" }] },
    });
  });
});

describe("a plan of a namespace that is still counting its rows", () => {
  const counting = (counted: number) =>
    planOf({
      changes: [],
      blocks: [
        {
          guard: "unhealthyMember",
          namespace: "orders",
          message: "1 of 1 member is still counting",
          overridable: false,
          counted,
        },
      ],
    });

  it.each([["plan"], ["plan", "--json"]])(
    "waits for the count, and says how far it is: %s",
    async (...argv) => {
      const plans = [counting(4_000), counting(12_345_678), planOf()];
      server = await startScriptedServer((request, count) =>
        reconciler({ plan: plans.shift() ?? planOf() })(request, count),
      );
      await using project = await temporaryProject();
      const run = await runInProcess(argv, {
        cwd: project.path,
        env: environmentFor(server.endpoint),
      });
      expect(run.exitCode).toBe(EXIT.done);
      expect(run.stderr).toBe(
        "orders: counting its rows, 4,000 so far\norders: counting its rows, 12,345,678 so far\n",
      );
      expect(run.stdout).toContain("orders");
      expect(run.stdout).not.toContain("still counting");
      expect(server.requests.map(({ path }) => path)).toEqual(Array(3).fill("/v1/plans"));
    },
  );
});

describe("exit codes of plan", () => {
  it.each([
    { name: "changes", plan: planOf(), argv: ["plan"], exitCode: EXIT.done },
    {
      name: "changes, asked for",
      plan: planOf(),
      argv: ["plan", "--exit-code"],
      exitCode: EXIT.changesPending,
    },
    {
      name: "a block, asked for",
      plan: planOf({ blocks: [skewBlock()] }),
      argv: ["plan", "--exit-code"],
      exitCode: EXIT.blocked,
    },
    {
      name: "nothing, asked for",
      plan: planOf({ changes: [] }),
      argv: ["plan", "--exit-code"],
      exitCode: EXIT.done,
    },
  ])("$name", async ({ plan, argv, exitCode }) => {
    server = await startScriptedServer(reconciler({ plan }));
    await using project = await temporaryProject();
    expect(
      (await runInProcess(argv, { cwd: project.path, env: environmentFor(server.endpoint) }))
        .exitCode,
    ).toBe(exitCode);
  });
});

it("status fails, and shows the others, when a namespace cannot be read", async () => {
  const unread = {
    kind: "failed",
    name: "carts",
    object: "CARTS",
    failure: { kind: "unbound", message: "no binding CARTS" },
  };
  server = await startScriptedServer(() => ({
    status: 200,
    json: { namespaces: [unread, liveReport()] },
  }));
  await using project = await temporaryProject();
  const options = { cwd: project.path, env: environmentFor(server.endpoint) };
  const run = await runInProcess(["status"], options);
  expect(run.exitCode).toBe(EXIT.error);
  expect(run.stdout).toMatch(/^carts .* no binding CARTS$/m);
  expect(run.stdout).toMatch(/^orders .* ok$/m);
  const json = await runInProcess(["status", "--json"], options);
  expect(json.exitCode).toBe(EXIT.error);
  expect(JSON.parse(json.stdout)).toMatchObject({
    namespaces: [{ kind: "failed" }, { kind: "live" }],
  });
});

describe("exit codes of drift", () => {
  const incomplete = driftReport({ drifts: [], isComplete: false });
  it.each([
    { name: "a drift", report: driftReport(), argv: ["drift"], exitCode: EXIT.done },
    {
      name: "a drift, asked for",
      report: driftReport(),
      argv: ["drift", "--exit-code"],
      exitCode: EXIT.changesPending,
    },
    {
      name: "none, asked for",
      report: driftReport({ drifts: [] }),
      argv: ["drift", "--exit-code"],
      exitCode: EXIT.done,
    },
    {
      name: "nobody knows, asked for",
      report: incomplete,
      argv: ["drift", "--exit-code"],
      exitCode: EXIT.error,
    },
  ])("$name", async ({ report, argv, exitCode }) => {
    server = await startScriptedServer(() => ({ status: 200, json: report }));
    await using project = await temporaryProject();
    expect(
      (await runInProcess(argv, { cwd: project.path, env: environmentFor(server.endpoint) }))
        .exitCode,
    ).toBe(exitCode);
  });

  it("a tick that goes on is waited for", async () => {
    server = await startScriptedServer((_, count) => ({
      status: count < 3 ? 202 : 200,
      json: driftReport({ drifts: [] }),
    }));
    await using project = await temporaryProject();
    const run = await runInProcess(["drift", "--now"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.done);
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual(
      Array.from({ length: 3 }, () => "POST /v1/reconcile?environment=default&wait=30"),
    );
  });

  it("a tick that does not end is given up, and says so", async () => {
    server = await startScriptedServer(() => ({ status: 202, json: driftReport() }));
    await using project = await temporaryProject();
    const run = await runInProcess(["drift", "--now"], {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run).toMatchObject({ exitCode: EXIT.error, stdout: "" });
    expect(run.stderr).toContain("did not end within 300 seconds");
  });
});

it("history --export prints every event once, oldest first, a page at a time", async () => {
  server = await startScriptedServer(reconciler());
  await using project = await temporaryProject();
  const argv = ["history", "orders", "--export", "--kind", "drift"];
  const run = await runInProcess(argv, { cwd: project.path, env: environmentFor(server.endpoint) });
  expect(run.exitCode).toBe(EXIT.done);
  const lines = run.stdout.trimEnd().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { readonly id: number }).id)).toEqual([
    1, 2, 3, 4,
  ]);
  const filter = "environment=default&namespace=orders&kind=drift";
  expect(server.requests.map(({ path }) => path)).toEqual(
    [0, 4].map((after) => `/v1/events?${filter}&after=${after}&limit=1000`),
  );
});

describe("text for people", () => {
  it.each([
    { name: "plan", argv: ["plan"] },
    { name: "plan-moves", argv: ["plan", "--moves"] },
    { name: "plan-markdown", argv: ["plan", "--format", "markdown"] },
    { name: "status", argv: ["status"] },
    { name: "status-one", argv: ["status", "orders"] },
    { name: "status-run", argv: ["status", "--run", RUN_ID] },
    { name: "drift", argv: ["drift"] },
    { name: "drift-none", argv: ["drift", "--now"] },
    { name: "history", argv: ["history"] },
    { name: "history-runs", argv: ["history", "--runs"] },
    { name: "history-one", argv: ["history", "orders"] },
    { name: "cancel", argv: ["cancel", RUN_ID] },
    { name: "pause", argv: ["pause", "orders", "--reason", "black friday"] },
    { name: "pause-all", argv: ["pause", "--all", "--reason", "incident 7"] },
    { name: "resume", argv: ["resume", "orders"] },
    { name: "resume-all", argv: ["resume", "--all"] },
    { name: "repair", argv: ["repair", "orders"] },
    {
      name: "repair-done",
      argv: ["repair", "orders", "--apply", "--fingerprint", repairPlan().fingerprint],
    },
  ])("$name", async ({ name, argv }) => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject();
    const run = await runInProcess(argv, {
      cwd: project.path,
      env: environmentFor(server.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.done);
    await expect(run.stdout).toMatchFileSnapshot(`../golden/cli/${name}.txt`);
  });
});

it("pause and resume ask for the one namespace and its binding, or for everything, and pass on why it was refused", async () => {
  const refusal =
    "Operation 3 of 'orders' would be paused again at once: no window of its policy.windows is open.";
  server = await startScriptedServer(
    reconciler({
      first: ({ method, path }) =>
        method === "DELETE" && path.includes("object=LATER")
          ? problem("conflict", 409, refusal)
          : undefined,
    }),
  );
  await using project = await temporaryProject();
  const ask = (...argv: string[]) =>
    runInProcess(argv, { cwd: project.path, env: environmentFor(server?.endpoint ?? "") });
  await ask("pause", "orders", "--object", "ORDERS", "--reason", "black friday");
  await ask("resume", "orders", "--object", "ORDERS");
  await ask("pause", "--all", "--reason", "incident 7");
  await ask("resume", "--all");
  expect(server.requests.map(({ method, path, body }) => ({ method, path, body }))).toEqual([
    {
      method: "PUT",
      path: "/v1/namespaces/orders/pause?object=ORDERS",
      body: { reason: "black friday" },
    },
    { method: "DELETE", path: "/v1/namespaces/orders/pause?object=ORDERS", body: undefined },
    { method: "PUT", path: "/v1/pause", body: { reason: "incident 7" } },
    { method: "DELETE", path: "/v1/pause", body: undefined },
  ]);
  const refused = await ask("resume", "orders", "--object", "LATER");
  expect(refused.exitCode).toBe(EXIT.error);
  expect(refused.stderr).toContain(refusal);
});

describe("colours", () => {
  it.each([
    { name: "on a terminal", terminal: true, env: {}, colored: true },
    { name: "not in a pipe", terminal: false, env: {}, colored: false },
    { name: "not with NO_COLOR", terminal: true, env: { NO_COLOR: "1" }, colored: false },
    { name: "not on a dumb terminal", terminal: true, env: { TERM: "dumb" }, colored: false },
    {
      name: "in a pipe with FORCE_COLOR",
      terminal: false,
      env: { FORCE_COLOR: "1" },
      colored: true,
    },
    { name: "not with FORCE_COLOR=0", terminal: true, env: { FORCE_COLOR: "0" }, colored: false },
    {
      name: "not with both: NO_COLOR wins",
      terminal: true,
      env: { FORCE_COLOR: "1", NO_COLOR: "1" },
      colored: false,
    },
  ])("$name", async ({ terminal, env, colored }) => {
    server = await startScriptedServer(reconciler());
    await using project = await temporaryProject();
    const run = await runInProcess(["plan"], {
      cwd: project.path,
      terminal,
      env: { ...environmentFor(server.endpoint), ...env },
    });
    expect(run.exitCode).toBe(EXIT.done);
    expect(run.stdout.includes(ESCAPE)).toBe(colored);
  });
});

it("ends quietly when its reader goes away", async () => {
  await using folder = await temporaryFolder();
  const child = spawn(process.execPath, [MAIN, "help", "apply"], {
    cwd: folder.path,
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.destroy();
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")));
  const [exitCode] = (await once(child, "close")) as [number];
  expect(stderr).toBe("");
  expect(exitCode).toBe(EXIT.done);
});
