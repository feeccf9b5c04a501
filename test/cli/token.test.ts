/** `shardctl token`, by what the Worker makes of its entries; and the notice of an expiry. */
import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import { EXPIRES_HEADER } from "../../src/model/api.ts";
import { authenticate } from "../../src/server/access/tokens.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { runInProcess } from "./support/run-cli.ts";
import { type ScriptedServer, startScriptedServer } from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";
import { NOON } from "./support/states.ts";

const DAY = 24 * 3_600_000;
/** As commands see it here. */
const NOW = NOON + 65_000;

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function make(words: string) {
  const run = await runInProcess(["token", ...words.split(" "), "--json"], { cwd: "/" });
  return { run, made: JSON.parse(run.stdout) as { token: string; entry: { sha256: string } } };
}

describe("a token that was made", () => {
  it("opens a Worker that has its entry, with its name, role, scope and expiry", async () => {
    const { run, made } = await make(
      "ana --role plan --expires 30d -e production -e staging --namespace orders --label team=shop --label tier=1",
    );
    expect(run.exitCode).toBe(EXIT.done);
    const now = NOW;
    const secret = JSON.stringify([made.entry]);
    const caller = await authenticate(`Bearer ${made.token}`, secret, now);
    expect(caller).toMatchObject({
      ok: true,
      value: {
        name: "ana",
        role: "plan",
        scope: {
          environments: ["production", "staging"],
          namespaces: ["orders"],
          labels: { team: "shop", tier: "1" },
        },
      },
    });
    const later = await authenticate(`Bearer ${made.token}`, secret, now + 31 * DAY);
    expect(later).toMatchObject({ ok: false, failure: expect.stringContaining("expired at") });
    expect(JSON.stringify(made.entry)).not.toContain(made.token);
  });

  it("reads only, everywhere, for 90 days, when nothing is said", async () => {
    const { made } = await make("board");
    const caller = await authenticate(
      `Bearer ${made.token}`,
      JSON.stringify([made.entry]),
      NOW + 89 * DAY,
    );
    expect(caller).toMatchObject({ ok: true, value: { role: "read", scope: null } });
  });

  it("is another one each time", async () => {
    const [first, second] = [await make("a"), await make("a")];
    expect(first.made.token).toMatch(/^[0-9a-f]{64}$/);
    expect(first.made.token).not.toBe(second.made.token);
  });

  it.each([
    ["a date that is over", ["--expires", "2020-01-31"], "is over already"],
    ["a date that does not exist", ["--expires", "2099-02-30"], "--expires must be"],
    ["a time without a unit", ["--expires", "90"], "--expires must be"],
    ["a label without a value", ["--label", "team"], "label=value"],
    ["two values of one label", ["--label", "a=1", "--label", "a=2"], "two values"],
    ["a role that there is not", ["--role", "root"], "Allowed choices"],
  ])("has not %s", async (_name, argv, says) => {
    const run = await runInProcess(["token", "ana", ...argv], { cwd: "/" });
    expect(run.exitCode).toBe(EXIT.error);
    expect(run.stderr).toContain(says);
    expect(run.stdout).toBe("");
  });
});

it("`status` says once, on stderr, that the token expires soon", async () => {
  const script = reconciler();
  const at = new Date(NOW + 3 * DAY + 3_600_000).toISOString();
  server = await startScriptedServer((request, count) => {
    const answer = script(request, count);
    return "status" in answer
      ? { ...answer, headers: { ...answer.headers, [EXPIRES_HEADER]: at } }
      : answer;
  });
  await using project = await temporaryProject();
  const run = await runInProcess(["status"], {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
  expect(run.exitCode).toBe(EXIT.done);
  expect(run.stderr).toBe(
    `Your token expires in 3 days, at ${at}. \`shardctl token\` makes another.\n`,
  );
});
