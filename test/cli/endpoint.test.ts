/**
 * Bad luck with the endpoint: each kind gives one clear error that names it, the right exit code,
 * and never the token.
 */
import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { nodeHost } from "../../src/cli/host.ts";
import { sendRequest } from "../../src/cli/http.ts";
import { TOKEN, environmentFor, temporaryProject } from "./support/project.ts";
import { runInProcess } from "./support/run-cli.ts";
import {
  type Answer,
  type Script,
  type ScriptedServer,
  problem,
  startScriptedServer,
} from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import { planOf } from "./support/states.ts";

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function planAgainst(script: Script, ...argv: string[]) {
  server = await startScriptedServer(script);
  await using project = await temporaryProject();
  return await runInProcess(["plan", ...argv], {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
}

const HTML = "<!doctype html>\n<html><title>Welcome to nginx!</title></html>";

interface Row {
  readonly name: string;
  readonly answer: Answer;
  readonly exitCode: number;
  readonly says: readonly (string | RegExp)[];
  readonly requests: number;
}

const ROWS: readonly Row[] = [
  {
    name: "404 with a web page",
    answer: { status: 404, text: HTML },
    exitCode: EXIT.error,
    says: ["status 404", "<!doctype html> <html>"],
    requests: 1,
  },
  {
    name: "200 with a web page",
    answer: { status: 200, text: HTML },
    exitCode: EXIT.error,
    says: ["status 200", "text/html", "not an answer of shardctl's API"],
    requests: 1,
  },
  {
    name: "other JSON",
    answer: { status: 200, json: { hello: 1 } },
    exitCode: EXIT.error,
    says: ["it is not a plan", '"version" is missing'],
    requests: 1,
  },
  {
    name: "a list",
    answer: { status: 200, json: [] },
    exitCode: EXIT.error,
    says: ["an object was expected"],
    requests: 1,
  },
  {
    name: "an empty body",
    answer: { status: 200, text: "" },
    exitCode: EXIT.error,
    says: ["The answer is empty."],
    requests: 1,
  },
  {
    name: "a newer plan",
    answer: { status: 200, json: { ...planOf(), version: 2 } },
    exitCode: EXIT.error,
    says: ["a plan of version 2", "knows version 1"],
    requests: 1,
  },
  {
    name: "500 without a problem",
    answer: { status: 500, text: "boom" },
    exitCode: EXIT.error,
    says: ["status 500", "boom"],
    requests: 5,
  },
  {
    name: "503 for good",
    answer: { status: 503, text: "warming up" },
    exitCode: EXIT.error,
    says: ["is not available", "status 503", "warming up"],
    requests: 5,
  },
  {
    name: "resets for good",
    answer: { kind: "reset" },
    exitCode: EXIT.error,
    says: ["Cannot reach http://127.0.0.1:", "shardctl dev"],
    requests: 5,
  },
  {
    name: "another host's login page",
    answer: { status: 302, headers: { location: "https://login.example.com/x" }, text: "" },
    exitCode: EXIT.error,
    says: ["https://login.example.com", "not followed"],
    requests: 1,
  },
  {
    name: "a redirect in circles",
    answer: { status: 307, headers: { location: "/v1/plans" }, text: "" },
    exitCode: EXIT.error,
    says: ["redirects in circles"],
    requests: 4,
  },
  {
    name: "a wrong token",
    answer: problem("unauthenticated", 401, `The token ${TOKEN} is not known to this Worker.`),
    exitCode: EXIT.error,
    says: ["does not accept this token", "SHARDCTL_TOKEN"],
    requests: 1,
  },
  {
    name: "a token with too small a role",
    answer: problem("forbidden", 403, "plan is needed, ci has read."),
    exitCode: EXIT.error,
    says: ["plan is needed"],
    requests: 1,
  },
  {
    name: "a refused body",
    answer: problem("invalid", 400, "The request is not valid.", [
      { path: "desired.namespaces.0.count", message: "at most 1000" },
    ]),
    exitCode: EXIT.error,
    says: ["desired.namespaces.0.count: at most 1000"],
    requests: 1,
  },
  {
    name: "an answer that echoes the token",
    answer: { status: 418, text: `you sent ${TOKEN}` },
    exitCode: EXIT.error,
    says: ["you sent ***"],
    requests: 1,
  },
];

describe("plan against a server that", () => {
  it.each(ROWS)("gives $name", async ({ answer, exitCode, says, requests }) => {
    const run = await planAgainst(() => answer);
    expect(run.exitCode).toBe(exitCode);
    for (const text of says) expect(run.stderr).toMatch(text);
    expect(run.stdout + run.stderr).not.toContain(TOKEN);
    expect(server?.requests).toHaveLength(requests);
  });

  it.each([
    ["could not read a namespace", problem("conflict", 409, "No plan for production was made")],
    ["is not open", problem("unauthenticated", 401, "No token")],
    ["does not let it plan", problem("forbidden", 403, "It needs plan")],
    ["finds the plan too large", problem("tooLarge", 413, "Plan fewer")],
    ["failed unexpectedly", problem("internal", 500, "Look for 7e29 in the log")],
  ])("%s ends it with an error, and without a word of no changes", async (_, answer) => {
    const run = await planAgainst(() => answer);
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stdout + run.stderr).not.toMatch(/No changes|Nothing to do|fingerprint/i);
  });

  it("comes back after a restart", async () => {
    const restart: readonly Answer[] = [
      { kind: "reset" },
      { status: 503, text: "" },
      { status: 500, text: "Error: Network connection lost." },
    ];
    const run = await planAgainst(reconciler({ first: (_, count) => restart[count - 1] }));
    expect(run.stderr).toBe("");
    expect(run.exitCode).toBe(EXIT.done);
  });

  it("gets the token, and no redirect to elsewhere gets it", async () => {
    const other = await startScriptedServer(() => ({ status: 200, json: planOf() }));
    try {
      await planAgainst(() => ({
        status: 307,
        headers: { location: `${other.endpoint}/v1/plans` },
        text: "",
      }));
      expect(server?.requests[0]?.authorization).toBe(`Bearer ${TOKEN}`);
      expect(other.requests).toHaveLength(0);
    } finally {
      await other.close();
    }
  });
});

describe("an endpoint that", () => {
  it("is down is named, with what to do", async () => {
    const gone = await startScriptedServer(() => ({ kind: "silence" }));
    await gone.close();
    await using project = await temporaryProject();
    const run = await runInProcess(["status"], {
      cwd: project.path,
      env: environmentFor(gone.endpoint),
    });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(`Cannot reach ${gone.endpoint}`);
    expect(run.stderr).toContain("shardctl dev");
  });

  it("is slow is given up, with the time", async () => {
    server = await startScriptedServer(() => ({ kind: "silence" }));
    const tokens = { advice: "", take: async () => ({ ok: true, value: null }) as const };
    const target = { endpoint: server.endpoint, tokens };
    const result = await sendRequest(
      nodeHost(),
      target,
      { method: "GET", path: "/v1/runs", timeoutMs: 50, repeat: "never" },
      () => "unused",
    );
    expect(result).toMatchObject({ ok: false, failure: { kind: "timeout" } });
    expect(result.ok ? "" : result.failure.message).toContain("within 0.05 s");
  });

  const SHAPES = [
    { name: "is no URL", endpoint: "not a url", says: "is not a URL" },
    {
      name: "is of another protocol",
      endpoint: "ftp://example.com",
      says: "neither http nor https",
    },
    { name: "carries a password", endpoint: "https://me:secret@example.com", says: "password" },
  ];
  it.each(SHAPES)("$name is refused", async ({ endpoint, says }) => {
    await using project = await temporaryProject();
    const run = await runInProcess(["plan"], {
      cwd: project.path,
      env: { SHARDCTL_ENDPOINT: endpoint },
    });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(says);
    expect(run.stderr).not.toContain("secret");
  });

  it("is not configured at all leads to shardctl dev and the config", async () => {
    await using project = await temporaryProject();
    const run = await runInProcess(["plan"], { cwd: project.path });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("shardctl dev");
    expect(run.stderr).toContain("shardctl.yaml");
  });

  it("wants a token says so when none is set", async () => {
    server = await startScriptedServer(() => problem("unauthenticated", 401, "Send the token."));
    await using project = await temporaryProject();
    const run = await runInProcess(["status"], {
      cwd: project.path,
      env: { SHARDCTL_ENDPOINT: server.endpoint },
    });
    expect(run.stderr).toContain("Set SHARDCTL_TOKEN");
    expect(server.requests[0]?.authorization).toBeUndefined();
  });
});

it("a token that no header can carry is refused without being printed", async () => {
  await using project = await temporaryProject();
  const run = await runInProcess(["status"], {
    cwd: project.path,
    env: { SHARDCTL_ENDPOINT: "http://127.0.0.1:1", SHARDCTL_TOKEN: "se cret" },
  });
  expect(run.exitCode).toBe(EXIT.error);
  expect(run.stderr).toContain("SHARDCTL_TOKEN has characters");
  expect(run.stderr).not.toContain("se cret");
});
