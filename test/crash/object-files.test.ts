/**
 * On the real runtime, what an object stored after a snapshot is gone once the snapshot is put
 * back; other objects keep theirs.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";

import { findPort } from "../../src/cli/dev/find-port.ts";
import { findWrangler, readLogTail, startWrangler } from "../../src/cli/dev/run-wrangler.ts";
import { sleep } from "../../src/cli/host.ts";
import { ObjectFiles } from "./object-files.ts";

const WORKER = "shardctl-object-files";
const START_MS_MAX = 60_000;
/** An alarm that is not due while the test runs. */
const LATER_MS = 3_600_000;
/** Rows of 1 kB: more than the log takes before it is written into the database. */
const MANY = 6_000;

const CODE = `
import { DurableObject } from "cloudflare:workers";
export class Shelf extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS books (title TEXT PRIMARY KEY, text TEXT)");
  }
  async fetch(request) {
    const { title, copies, alarm } = await request.json();
    const { sql } = this.ctx.storage;
    for (let copy = 0; copy < copies; copy++) sql.exec("INSERT INTO books VALUES (?, ?)", title + copy, "x".repeat(1000));
    if (alarm) await this.ctx.storage.setAlarm(alarm);
    const titles = sql.exec("SELECT DISTINCT rtrim(title, '0123456789') AS title, count(*) AS n FROM books GROUP BY 1 ORDER BY 1").toArray();
    return Response.json({ titles: titles.map(({ title, n }) => title + " " + n), alarm: await this.ctx.storage.getAlarm(), id: this.ctx.id.toString() });
  }
  async alarm() {}
}
export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    return name === "" ? new Response("ready") : env.SHELF.getByName(name).fetch(request);
  },
};
`;

interface Shelf {
  readonly titles: readonly string[];
  readonly alarm: number | null;
  readonly id: string;
}

interface Runtime {
  ask(name: string, body?: { title?: string; copies?: number; alarm?: number }): Promise<Shelf>;
  /** Ends it as a crash does, so that the newest transactions are in the log only. */
  kill(): Promise<void>;
}

async function openFolder(): Promise<{
  readonly folder: string;
  readonly start: () => Promise<Runtime>;
}> {
  const folder = await mkdtemp(join(tmpdir(), "shardctl-object-files-"));
  const stops: (() => Promise<void>)[] = [];
  onTestFinished(async () => {
    for (const stop of stops) await stop();
    await rm(folder, { recursive: true, force: true });
  });
  await writeFile(join(folder, "worker.js"), CODE);
  const config = join(folder, "wrangler.json");
  const bindings = [{ name: "SHELF", class_name: "Shelf" }];
  await writeFile(
    config,
    JSON.stringify({
      name: WORKER,
      main: "worker.js",
      compatibility_date: "2026-10-01",
      durable_objects: { bindings },
      migrations: [{ tag: "v1", new_sqlite_classes: ["Shelf"] }],
    }),
  );
  const start = async (): Promise<Runtime> => {
    const [program, port] = [findWrangler(import.meta.dirname), await findPort(0)];
    if (program === null || port === null)
      throw new Error("wrangler is not installed, or there is no free port");
    const logFile = join(folder, "wrangler.log");
    const persistTo = join(folder, "state");
    const wrangler = startWrangler(program, {
      folder,
      config,
      port,
      persistTo,
      logFile,
      verbose: false,
      env: process.env,
    });
    stops.push(() => wrangler.stop());
    const url = `http://127.0.0.1:${port}/`;
    const deadline = Date.now() + START_MS_MAX;
    while (
      !(await fetch(url).then(
        (response) => response.ok,
        () => false,
      ))
    ) {
      if (Date.now() > deadline)
        throw new Error(`The runtime did not start:\n${readLogTail(logFile)}`);
      await sleep(50);
    }
    return {
      ask: async (name, body = {}) =>
        (await (
          await fetch(`${url}${name}`, { method: "POST", body: JSON.stringify(body) })
        ).json()) as Shelf,
      kill: async () => {
        process.kill(-wrangler.pid, "SIGKILL");
        await wrangler.stop();
      },
    };
  };
  return { folder, start };
}

it(
  "puts one object back, also where its newest rows are in its log only, and takes one away",
  { timeout: 180_000 },
  async () => {
    const { folder, start } = await openFolder();
    const files = new ObjectFiles(join(folder, "state"), WORKER, "Shelf");
    const before = await start();
    const { id } = await before.ask("a", { title: "old", copies: 3 });
    for (const name of ["b", "c", "d"]) await before.ask(name, { title: "old", copies: 3 });
    const { id: forward } = await before.ask("c");
    const { id: removed } = await before.ask("d");
    await before.kill();
    const early = await files.snapshot(id, join(folder, "early"));
    const earlyForward = await files.snapshot(forward, join(folder, "early-forward"));
    expect(early.files).toContain(`${id}.sqlite-wal`);

    const then = await start();
    const alarm = Date.now() + LATER_MS;
    for (const name of ["a", "c"])
      expect(await then.ask(name, { title: "new", copies: MANY, alarm })).toMatchObject({
        titles: [`new ${MANY}`, "old 3"],
        alarm,
      });
    await then.ask("b", { title: "new", copies: 2 });
    await then.kill();
    const late = await files.snapshot(forward, join(folder, "late"));
    await files.restore(early);
    await files.restore(earlyForward);
    await files.remove(removed);

    const restored = await start();
    // The alarm goes back too.
    for (const name of ["a", "c"])
      expect(await restored.ask(name)).toMatchObject({ titles: ["old 3"], alarm: null });
    expect((await restored.ask("b")).titles).toEqual(["new 2", "old 3"]);
    expect((await restored.ask("d")).titles).toEqual([]);
    await restored.ask("a", { title: "newer", copies: 1 });
    await restored.kill();
    await files.restore(late);

    const again = await start();
    // Rows stored after a restore are kept.
    expect((await again.ask("a")).titles).toEqual(["newer 1", "old 3"]);
    expect(await again.ask("c")).toMatchObject({ titles: [`new ${MANY}`, "old 3"], alarm });
    expect((await again.ask("b")).titles).toEqual(["new 2", "old 3"]);
    await again.kill();
    // Of an object that had stored nothing, nothing is left.
    const nothing = await files.snapshot("0".repeat(64), join(folder, "nothing"));
    expect(nothing.files).toEqual([]);
  },
);
