/**
 * `shardctl repair` against a scripted reconciler: what is asked, what is applied, and how it ends.
 */
import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import type { RepairPlan } from "../../src/model/repair.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { runInProcess } from "./support/run-cli.ts";
import {
  type Answer,
  problem,
  type ScriptedServer,
  startScriptedServer,
} from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import { repairOutcome, repairPlan } from "./support/states.ts";

const CALM = repairPlan({ disorder: null, steps: [] });
const BLOCKED = repairPlan({
  obstacles: ["orders-shard-0 does not answer: plan again when it does"],
});

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function run(
  argv: readonly string[],
  { plan = repairPlan(), applied }: { plan?: RepairPlan; applied?: Answer } = {},
) {
  server = await startScriptedServer(
    reconciler({
      first: ({ method, path }) => {
        if (!path.includes("/repair")) return undefined;
        return method === "GET"
          ? { status: 200, json: plan }
          : (applied ?? { status: 200, json: repairOutcome(plan) });
      },
    }),
  );
  await using project = await temporaryProject();
  const ended = await runInProcess(argv, {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
  return {
    ...ended,
    requests: server.requests.map(({ method, path, body }) => ({ method, path, body })),
  };
}

describe("writers 1: shardctl repair", () => {
  it("asks for the plan as it was told, changes nothing, and repeats what it was told in the command that applies it", async () => {
    const argv = [
      "--object",
      "ORDERS",
      "--member",
      "orders-shard-0",
      "--member",
      "old",
      "--accept-loss",
      "orders-shard-1",
      "--directory",
    ];
    const { exitCode, stdout, requests } = await run(["repair", "orders", ...argv]);
    expect(exitCode).toBe(EXIT.done);
    expect(requests).toEqual([
      {
        method: "GET",
        path: "/v1/namespaces/orders/repair?object=ORDERS&member=orders-shard-0&member=old&acceptLoss=orders-shard-1&directory=true",
        body: undefined,
      },
    ]);
    expect(stdout).toContain(`${argv.join(" ")} --apply --fingerprint ${repairPlan().fingerprint}`);
  });

  it("applies exactly the plan of the fingerprint, without asking for another", async () => {
    const { fingerprint } = repairPlan();
    const argv = [
      "repair",
      "orders",
      "--apply",
      "--fingerprint",
      fingerprint,
      "--accept-loss",
      "a",
      "--member",
      "b",
      "--directory",
      "--json",
    ];
    const { exitCode, stdout, requests } = await run(argv);
    expect(exitCode).toBe(EXIT.done);
    expect(requests).toEqual([
      {
        method: "POST",
        path: "/v1/namespaces/orders/repair?object=ORDERS",
        body: { fingerprint, members: ["b"], acceptLoss: ["a"], directory: true },
      },
    ]);
    expect(JSON.parse(stdout)).toEqual({ outcome: repairOutcome() });
  });

  it("applies nothing without a terminal to ask, and says how to", async () => {
    const { exitCode, stderr, requests } = await run(["repair", "orders", "--apply"]);
    expect(exitCode).toBe(EXIT.error);
    expect(stderr).toContain("--apply --fingerprint");
    expect(requests.map(({ method }) => method)).toEqual(["GET"]);
  });

  it.each<[string, number, Answer]>([
    [
      "the plan is another by now",
      EXIT.stalePlan,
      problem("stalePlan", 409, "Nothing was repaired: it is another."),
    ],
    [
      "something blocks it",
      EXIT.blocked,
      problem("blocked", 409, "Nothing was repaired: 1 obstacle."),
    ],
    [
      "an operation makes progress",
      EXIT.error,
      problem("conflict", 409, "Operation 3 of 'orders' is running"),
    ],
  ])("says why it was refused: %s", async (_why, code, applied) => {
    const { exitCode, stderr } = await run(["repair", "orders", "--apply", "--fingerprint", "ab"], {
      applied,
    });
    expect(exitCode).toBe(code);
    expect(stderr).not.toContain("shardctl plan");
    expect(stderr).not.toContain("--override");
    expect(stderr.includes("shardctl repair orders")).toBe(code !== EXIT.error);
  });

  it.each<[string, readonly string[], RepairPlan, number]>([
    ["something to do", ["--exit-code"], repairPlan(), EXIT.changesPending],
    ["something in the way", ["--exit-code"], BLOCKED, EXIT.blocked],
    ["nothing to do", ["--exit-code"], CALM, EXIT.done],
    ["something in the way of an application", ["--apply"], BLOCKED, EXIT.blocked],
    ["nothing to apply", ["--apply"], CALM, EXIT.done],
  ])("has an exit code for %s", async (_what, options, plan, code) => {
    const { exitCode, requests } = await run(["repair", "orders", ...options], { plan });
    expect(exitCode).toBe(code);
    expect(requests.map(({ method }) => method)).toEqual(["GET"]);
  });

  it("believes no answer that is not a plan", async () => {
    const { exitCode, stderr } = await run(["repair", "orders"], {
      plan: { namespace: "orders" } as RepairPlan,
    });
    expect(exitCode).toBe(EXIT.error);
    expect(stderr).toContain('"fingerprint" is missing');
  });
});

it("writers 1: import writes no manifest from a registry that is lost", async () => {
  const live = {
    kind: "live",
    namespace: {
      name: "orders",
      object: "ORDERS",
      epoch: 0,
      layout: { kind: "none", generation: 0, members: ["orders"] },
      operation: null,
      members: [],
      tables: [],
      undeclaredTables: [],
      partitioners: [],
      countedAt: 0,
      disorder: { kind: "registryLost", members: ["orders"], message: "lost", since: 0 },
    },
  };
  server = await startScriptedServer(
    reconciler({
      first: ({ path }) =>
        path.startsWith("/v1/namespaces")
          ? { status: 200, json: { namespaces: [live] } }
          : undefined,
    }),
  );
  await using project = await temporaryProject();
  const ended = await runInProcess(["import", "--out", "imported"], {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
  expect(ended.exitCode).toBe(EXIT.error);
  expect(ended.stderr).toContain("shardctl repair orders");
});
