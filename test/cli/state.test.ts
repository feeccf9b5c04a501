/**
 * `shardctl export --state` and `import --state` against a scripted reconciler: what is written,
 * what is sent, and how it ends.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, describe, expect, it } from "vitest";

import { EXIT } from "../../src/cli/exit-codes.ts";
import type { ImportReport, StateDocument, StateRow } from "../../src/model/state-file.ts";
import { environmentFor, temporaryProject } from "./support/project.ts";
import { runInProcess } from "./support/run-cli.ts";
import {
  type Answer,
  problem,
  type RecordedRequest,
  type ScriptedServer,
  startScriptedServer,
} from "./support/scripted-server.ts";
import { reconciler } from "./support/scripts.ts";

const HEADER = {
  kind: "shardctl/state",
  version: 1,
  exportedAt: Date.UTC(2026, 10, 29, 3),
  worker: "c0".repeat(32),
  repositoryId: "1001",
} as const;
const REPORT: ImportReport = {
  id: "import-1",
  exportedAt: HEADER.exportedAt,
  tables: [
    { table: "reviews", rows: 12, added: 12, replaced: 0, kept: 0 },
    { table: "leases", rows: 0, added: 0, replaced: 0, kept: 0 },
  ],
  notes: ["1 order of an apply job is not taken over: run the job again."],
  obstacles: [],
  fingerprint: "ab".repeat(32),
  isApplied: false,
};
const LEASES: readonly StateRow[] = [1, 2, 3].map((token) => ({ environment: `e${token}`, token }));

let server: ScriptedServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

type First = (request: RecordedRequest) => Answer | undefined;

/** Two tables, of which one comes in two pages. */
const exporting: First = ({ method, path }) => {
  if (method !== "GET" || !path.startsWith("/v1/state")) return undefined;
  if (path === "/v1/state")
    return { status: 200, json: { ...HEADER, names: ["reviews", "leases"] } };
  if (path === "/v1/state/reviews") return { status: 200, json: { rows: [], next: null } };
  const isFirst = path === "/v1/state/leases";
  const rows = isFirst ? LEASES.slice(0, 2) : LEASES.slice(2);
  return { status: 200, json: { rows, next: isFirst ? '["e2"]' : null } };
};

const importing =
  (report: ImportReport, applied?: Answer): First =>
  ({ method, path }) => {
    if (!path.startsWith("/v1/state/imports")) return undefined;
    if (method === "PUT") return { status: 204 };
    if (path.endsWith("/apply"))
      return applied ?? { status: 200, json: { ...report, isApplied: true } };
    return { status: 200, json: method === "POST" ? { id: report.id } : report };
  };

async function run(
  argv: readonly string[],
  first: First,
  use: (folder: string) => void = () => undefined,
  files: Readonly<Record<string, string>> = {},
) {
  server = await startScriptedServer(reconciler({ first }));
  await using project = await temporaryProject();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(project.path, name), text);
  const ended = await runInProcess(argv, {
    cwd: project.path,
    env: environmentFor(server.endpoint),
  });
  use(project.path);
  return { ...ended, requests: server.requests };
}

describe("shardctl export --state", () => {
  it("writes one document of all pages, for its owner only", async () => {
    const { exitCode, stdout } = await run(
      ["export", "--state", "state.json"],
      exporting,
      (folder) => {
        const path = join(folder, "state.json");
        expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
          ...HEADER,
          tables: { reviews: [], leases: LEASES },
        });
        expect(statSync(path).mode & 0o777).toBe(0o600);
      },
    );
    expect(exitCode).toBe(EXIT.done);
    expect(stdout).toContain("Wrote state.json: 3 rows of 2 tables.");
  });

  it("prints it without a name", async () => {
    const { exitCode, stdout } = await run(["export", "--state"], exporting);
    expect(exitCode).toBe(EXIT.done);
    expect((JSON.parse(stdout) as StateDocument).tables["leases"]).toEqual(LEASES);
  });

  it("leaves no file when it fails half way, and overwrites none", async () => {
    const failing: First = (request) =>
      request.path.includes("after=") ? problem("conflict", 409, "no") : exporting(request);
    const failed = await run(["export", "--state", "state.json"], failing, (folder) =>
      expect(readdirSync(folder).filter((name) => name.startsWith("state"))).toEqual([]),
    );
    expect(failed.exitCode).toBe(EXIT.error);
    await server?.close();
    const kept = await run(
      ["export", "--state", "state.json"],
      exporting,
      (folder) => expect(readFileSync(join(folder, "state.json"), "utf8")).toBe("mine"),
      { "state.json": "mine" },
    );
    expect(kept.exitCode).toBe(EXIT.error);
    expect(kept.stderr).toContain("state.json already exists");
    await server?.close();
    const forced = await run(
      ["export", "--state", "state.json", "--force"],
      exporting,
      (folder) => expect(readFileSync(join(folder, "state.json"), "utf8")).toContain("leases"),
      { "state.json": "mine" },
    );
    expect(forced.exitCode).toBe(EXIT.done);
  });

  it("says what to export", async () => {
    const { exitCode, stderr } = await run(["export"], exporting);
    expect(exitCode).toBe(EXIT.error);
    expect(stderr).toContain("shardctl export --state [file]");
  });
});

describe("shardctl import --state", () => {
  const document = { ...HEADER, tables: { reviews: [], leases: LEASES } };
  const files = { "state.json": JSON.stringify(document) };
  const nothing = (): void => undefined;

  it("sends all of it, shows what would be done, and does nothing without a yes", async () => {
    const { exitCode, stdout, stderr, requests } = await run(
      ["import", "--state", "state.json"],
      importing(REPORT),
      nothing,
      files,
    );
    expect(exitCode).toBe(EXIT.error);
    expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /v1/state/imports",
      "PUT /v1/state/imports/import-1/leases",
      "GET /v1/state/imports/import-1",
    ]);
    expect(requests[0]?.body).toEqual(HEADER);
    expect(requests[1]?.body).toEqual(LEASES);
    expect(stdout).toContain("reviews            12      12          0              0");
    expect(stdout).not.toContain("leases");
    expect(stdout).toContain("1 order of an apply job is not taken over");
    expect(stderr).toContain("Nothing was imported: there is no terminal");
  });

  it("does exactly what was shown", async () => {
    const { exitCode, stdout, requests } = await run(
      ["import", "--state", "state.json", "--auto-approve", "--json"],
      importing(REPORT),
      nothing,
      files,
    );
    expect(exitCode).toBe(EXIT.done);
    expect(requests.at(-1)).toMatchObject({
      path: "/v1/state/imports/import-1/apply",
      body: { fingerprint: REPORT.fingerprint },
    });
    expect(JSON.parse(stdout)).toEqual({ imported: { ...REPORT, isApplied: true } });
  });

  it("takes over another Worker's file only when its user says so, not when the file does", async () => {
    const claiming = { "state.json": JSON.stringify({ ...document, acceptsOther: true }) };
    const argv = ["import", "--state", "state.json", "--auto-approve"];
    const plain = await run(argv, importing(REPORT), nothing, claiming);
    expect(plain.requests[0]?.body).toEqual(HEADER);
    await server?.close();
    const flag = "--from-another-worker";
    const meant = await run([...argv, flag], importing(REPORT), nothing, claiming);
    expect(meant.requests[0]?.body).toEqual({ ...HEADER, acceptsOther: true });
  });

  it("cuts many rows into requests that the API takes", async () => {
    const events = Array.from({ length: 2500 }, (_, id) => ({ id, body: "x".repeat(2000) }));
    const text = JSON.stringify({ ...HEADER, tables: { events } });
    const { requests } = await run(
      ["import", "--state", "state.json", "--auto-approve"],
      importing(REPORT),
      nothing,
      { "state.json": text },
    );
    const sent = requests.filter(({ method }) => method === "PUT");
    expect(sent.length).toBeGreaterThan(4);
    for (const { body } of sent) expect(JSON.stringify(body).length).toBeLessThan(2 * 1024 * 1024);
    expect(sent.flatMap(({ body }) => body as StateRow[])).toEqual(events);
  });

  it("names what speaks against it, and what has changed since it was shown", async () => {
    const obstacles = ["the file is of a Worker that follows repository 7"];
    const argv = ["import", "--state", "state.json", "--auto-approve"];
    const refused = await run(argv, importing({ ...REPORT, obstacles }), nothing, files);
    expect(refused.exitCode).toBe(EXIT.blocked);
    expect(refused.stderr).toContain("repository 7");
    expect(refused.requests.at(-1)?.path).toBe("/v1/state/imports/import-1");
    await server?.close();
    const late = problem("stalePlan", 409, "Nothing was imported: the state has changed.");
    const stale = await run(argv, importing(REPORT, late), nothing, files);
    expect(stale.exitCode).toBe(EXIT.stalePlan);
    expect(stale.stderr).toContain("Look again: shardctl import --state state.json");
  });

  it.each([
    ["half a file", JSON.stringify(document).slice(0, -9), "is not JSON"],
    ["another document", JSON.stringify({ kind: "Namespace" }), "is not the state of a Worker"],
    ["null", "null", "is not the state of a Worker"],
    ["a later version", JSON.stringify({ ...document, version: 2 }), "a state of version 2"],
    ["tables that are none", JSON.stringify({ ...HEADER, tables: { leases: {} } }), "is not whole"],
  ])("refuses %s before anything is sent", async (_what, text, words) => {
    const { exitCode, stderr, requests } = await run(
      ["import", "--state", "state.json"],
      importing(REPORT),
      nothing,
      { "state.json": text },
    );
    expect(exitCode).toBe(EXIT.error);
    expect(stderr).toContain(words);
    expect(requests).toEqual([]);
  });

  it("refuses a file that is not there", async () => {
    const { exitCode, stderr } = await run(["import", "--state", "none.json"], importing(REPORT));
    expect(exitCode).toBe(EXIT.error);
    expect(stderr).toContain("Cannot read none.json");
  });
});
