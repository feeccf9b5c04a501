/**
 * Inside GitHub Actions the CLI gets its tokens by itself: one for each request, for the endpoint
 * alone, and shown to nobody else.
 */
import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { temporaryProject } from "./support/project.ts";
import { runInProcess } from "./support/run-cli.ts";
import {
  type Script,
  type ScriptedServer,
  startScriptedServer,
} from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";

const SECRET = "runner-secret";
const servers: ScriptedServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(script: Script): Promise<ScriptedServer> {
  const server = await startScriptedServer(script);
  servers.push(server);
  return server;
}

/** A project in a job with `id-token: write`, whose issuer numbers its tokens. */
async function applyInActions(issuerScript: Script, env: Record<string, string> = {}) {
  const worker = await start(reconciler());
  const issuer = await start(issuerScript);
  await using project = await temporaryProject();
  const run = await runInProcess(["apply", "--auto-approve"], {
    cwd: project.path,
    env: {
      SHARDCTL_ENDPOINT: worker.endpoint,
      GITHUB_ACTIONS: "true",
      ACTIONS_ID_TOKEN_REQUEST_URL: `${issuer.endpoint}/token?api-version=2`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: SECRET,
      ...env,
    },
  });
  return { run, worker, issuer };
}

function numbering(): Script {
  let count = 0;
  return () => ({ status: 200, json: { value: `jwt-${++count}` } });
}

describe("in a job that may ask for tokens", () => {
  it("each request carries a new one, made for the endpoint", async () => {
    const { run, worker, issuer } = await applyInActions(numbering());
    expect(run.exitCode).toBe(EXIT.done);
    expect(worker.requests.length).toBeGreaterThan(2);
    expect(worker.requests.map(({ authorization }) => authorization)).toEqual(
      worker.requests.map((_, index) => `Bearer jwt-${index + 1}`),
    );
    expect(issuer.requests[0]?.authorization).toBe(`bearer ${SECRET}`);
    expect(issuer.requests[0]?.path).toBe(
      `/token?api-version=2&audience=${encodeURIComponent(worker.endpoint)}`,
    );
  });

  it("a token that somebody has set comes first", async () => {
    const { worker, issuer } = await applyInActions(numbering(), { SHARDCTL_TOKEN: "mine" });
    expect(worker.requests[0]?.authorization).toBe("Bearer mine");
    expect(issuer.requests).toHaveLength(0);
  });

  it("an issuer that gives none ends the command, and its secret is not printed", async () => {
    const { run, worker, issuer } = await applyInActions(() => ({
      status: 500,
      text: `no, ${SECRET}`,
    }));
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain("GitHub Actions gave no token: it answered with status 500.");
    expect(run.stdout + run.stderr).not.toContain(SECRET);
    expect(issuer.requests).toHaveLength(3);
    expect(worker.requests).toHaveLength(0);
  });
});

it("in a job without the permission, the refusal names it", async () => {
  const worker = await start(() => ({
    status: 401,
    headers: { "content-type": "application/problem+json" },
    json: {
      type: "about:blank",
      title: "t",
      status: 401,
      detail: "Send the token.",
      kind: "unauthenticated",
    },
  }));
  await using project = await temporaryProject();
  const run = await runInProcess(["plan"], {
    cwd: project.path,
    env: { SHARDCTL_ENDPOINT: worker.endpoint, GITHUB_ACTIONS: "true" },
  });
  expect(run.exitCode).toBe(EXIT.error);
  expect(run.stderr).toContain("id-token: write");
});
