/** `shardctl forget` against a scripted reconciler: what is asked, what is shown, how it ends. */
import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import type { ForgetPlan } from "../../src/model/forget.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { runInProcess } from "./support/run-cli.ts";
import {
  type Answer,
  problem,
  type ScriptedServer,
  startScriptedServer,
} from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";

const PLAN: ForgetPlan = {
  name: "orders",
  object: "OLD_ORDERS",
  environments: ["production"],
  keptIn: [],
  declaredIn: [],
  epoch: 5,
  members: 8,
  run: null,
  isKnown: true,
  obstacles: [],
};

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function run(argv: readonly string[], plan: ForgetPlan, forgotten?: Answer) {
  server = await startScriptedServer(
    reconciler({
      first: ({ method, path }) => {
        if (!path.includes("/forget")) return undefined;
        return method === "GET"
          ? { status: 200, json: plan }
          : (forgotten ?? { status: 200, json: plan });
      },
    }),
  );
  await using project = await temporaryProject();
  const ended = await runInProcess(["forget", ...argv], {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
  return { ...ended, requests: server.requests.map(({ method, path }) => `${method} ${path}`) };
}

describe("shardctl forget", () => {
  it("shows what would be forgotten, and forgets nothing without a yes", async () => {
    const { exitCode, stdout, stderr, requests } = await run(["orders"], PLAN);
    expect(exitCode).toBe(EXIT.error);
    // The server knows the binding: what a manifest of this name declares is not what is meant.
    expect(requests).toEqual(["GET /v1/namespaces/orders/forget"]);
    expect(stdout).toContain("it was seen at epoch 5 on 8 members");
    expect(stderr).toContain("Nothing was forgotten: there is no terminal");
  });

  it("forgets exactly what it has shown", async () => {
    const argv = ["orders", "--auto-approve", "--object", "OLD_ORDERS", "--json"];
    const { exitCode, stdout, requests } = await run(argv, PLAN);
    expect(exitCode).toBe(EXIT.done);
    expect(requests).toEqual([
      "GET /v1/namespaces/orders/forget?object=OLD_ORDERS",
      "POST /v1/namespaces/orders/forget?object=OLD_ORDERS",
    ]);
    expect(JSON.parse(stdout)).toEqual({ forgotten: PLAN });
  });

  it("asks about one environment, and shows which ones keep it", async () => {
    const argv = ["orders", "--auto-approve", "--only-in", "staging"];
    const plan = { ...PLAN, environments: ["staging"], keptIn: ["production"] };
    const { exitCode, stdout, requests } = await run(argv, plan);
    expect(exitCode).toBe(EXIT.done);
    expect(requests).toEqual([
      "GET /v1/namespaces/orders/forget?environment=staging",
      "POST /v1/namespaces/orders/forget?object=OLD_ORDERS&environment=staging",
    ]);
    expect(stdout).toContain("it is listed in staging");
    expect(stdout).toContain("production would keep it");
    expect(stdout).not.toContain("epoch 5");
  });

  it("forgets nothing through an older Worker, which knows of no single environment", async () => {
    const argv = ["orders", "--auto-approve", "--only-in", "staging"];
    const { keptIn: _keptIn, ...older } = PLAN;
    const { exitCode, stderr, requests } = await run(argv, older as ForgetPlan);
    expect(exitCode).toBe(EXIT.blocked);
    expect(requests).toHaveLength(1);
    expect(stderr).toContain("this Worker is older");
  });

  it("names every obstacle, and asks for nothing then", async () => {
    const obstacles = ["'orders' in ORDERS has rows: forget it when its rows are deleted"];
    const { exitCode, stderr, requests } = await run(["orders", "--auto-approve"], {
      ...PLAN,
      obstacles,
    });
    expect(exitCode).toBe(EXIT.blocked);
    expect(stderr).toContain("has rows");
    expect(requests).toHaveLength(1);
  });

  it("says what blocks it by the time it is asked, and of a name that nobody knows", async () => {
    const late = problem("blocked", 409, "Nothing was forgotten: run run-7 changes 'orders'.");
    const refused = await run(["orders", "--auto-approve"], PLAN, late);
    expect(refused.exitCode).toBe(EXIT.blocked);
    expect(refused.stderr).toContain("run run-7");
    expect(refused.stderr).toMatch(/Look again: shardctl forget orders$/m);
    expect(refused.stderr).not.toContain("--override");
    await server?.close();
    const named = await run(["orders", "--auto-approve", "--object", "OLD_ORDERS"], PLAN, late);
    expect(named.stderr).toMatch(/Look again: shardctl forget orders --object OLD_ORDERS$/m);
    await server?.close();
    const unknown = await run(["orders"], { ...PLAN, isKnown: false });
    expect(unknown.exitCode).toBe(EXIT.error);
    expect(unknown.stderr).toContain("Nothing is remembered of 'orders'");
  });
});
