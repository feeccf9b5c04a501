/**
 * The real local runtime for a benchmark: `wrangler dev` on a persistent directory in a temporary
 * folder, and a view of its memory.
 *
 * The Worker is bundled once, up front: edits of the sources while a benchmark runs neither restart
 * the runtime nor mix two versions.
 */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { findPort } from "../../../src/cli/dev/find-port.ts";
import {
  type WranglerProcess,
  findWrangler,
  readLogTail,
  startWrangler,
} from "../../../src/cli/dev/run-wrangler.ts";
import { type Engine, THIS_FOLDER, WORKER_FILE } from "./engine.ts";
import { makeTemporaryFolder, runProgram, undoAtEnd } from "./left-behind.ts";

export interface BenchRuntime {
  /** Calls a handler of the bench Worker. @throws Error with its message when it fails. */
  call<Value>(handler: string, args?: object): Promise<Value>;
  /** Forgets the peak so far, and gives the bytes that the user's workerd holds now. */
  resetPeakMemory(): Promise<number>;
  /** Most bytes that the user's workerd held since the last reset. */
  peakMemory(): Promise<number>;
  /**
   * Milliseconds of CPU that the user's workerd has used: what is left of a figure when the machine
   * is busy with other things.
   */
  cpuMs(): Promise<number>;
  /** Ends the runtime and deletes its state. */
  stop(): Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 100;
const COMPATIBILITY_DATE = "2026-08-01";
const CLASSES = { THINGS: "Things", METERED: "Metered" };

/**
 * The local runtime records a trace of every statement for its explorer: production does not, and
 * it would be a sixth of the CPU.
 */
const WITHOUT_TRACES = { X_LOCAL_OBSERVABILITY: "false" };

/** The bundled Worker of each engine, by its folder. */
const bundles = new Map<string, Promise<string>>();

/**
 * Starts a runtime of its own, with its state in a new folder below `base`: objects of another one
 * are not in its memory.
 */
export async function startRuntime(engine: Engine, base?: string): Promise<BenchRuntime> {
  const source = await bundleWorker(engine);
  const { folder, remove } = await makeTemporaryFolder(base);
  const config = join(folder, "wrangler.json");
  await writeFile(join(folder, "worker.js"), await readFile(source));
  await writeFile(config, workerConfig("worker.js"));
  const port = await findPort(0);
  if (port === null) throw new Error("No free port on 127.0.0.1");
  const logFile = join(folder, "wrangler.log");
  const persistTo = join(folder, "state");
  const program = requireWrangler();
  // Noted before it starts: an end that has already begun would leave it running.
  const forget = undoAtEnd(() => wrangler.stop());
  const wrangler = startWrangler(program, {
    folder,
    config,
    port,
    persistTo,
    logFile,
    verbose: false,
    env: { ...process.env, ...WITHOUT_TRACES },
  });
  const stop = async (): Promise<void> => {
    await wrangler.stop();
    forget();
    await remove();
  };
  try {
    await waitUntilReady(port, wrangler, logFile);
    const pid = await findWorkerd(wrangler.pid, port);
    return {
      call: async <Value>(handler: string, args: object = {}) => {
        try {
          return await callWorker<Value>(port, handler, args);
        } catch (error) {
          throw new Error(`The bench Worker failed; its log ends with:\n${readLogTail(logFile)}`, {
            cause: error,
          });
        }
      },
      resetPeakMemory: async () => {
        await writeFile(`/proc/${pid}/clear_refs`, "5");
        return readMemory(pid, "VmRSS");
      },
      peakMemory: () => readMemory(pid, "VmHWM"),
      cpuMs: () => readCpu(pid),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * The file of an engine's bundled Worker, made when first asked for. @throws Error with the
 * bundler's words when it does not build.
 */
export function bundleWorker(engine: Engine): Promise<string> {
  const made = bundles.get(engine.folder) ?? buildBundle(engine);
  bundles.set(engine.folder, made);
  return made;
}

async function buildBundle(engine: Engine): Promise<string> {
  const { folder } = await makeTemporaryFolder();
  const config = join(folder, "wrangler.json");
  await writeFile(config, workerConfig(join(engine.folder, WORKER_FILE)));
  const out = join(folder, "out");
  await mkdir(out);
  await runProgram(
    process.execPath,
    [
      "--no-warnings",
      requireWrangler(),
      "deploy",
      "--dry-run",
      `--outdir=${out}`,
      `--config=${config}`,
    ],
    {
      cwd: folder,
      env: {
        ...process.env,
        CI: "1",
        NO_COLOR: "1",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_LOG_PATH: join(folder, "logs"),
      },
    },
  );
  return join(out, "worker.js");
}

function workerConfig(main: string): string {
  return JSON.stringify({
    name: "shardctl-bench",
    main,
    compatibility_date: COMPATIBILITY_DATE,
    durable_objects: {
      bindings: Object.entries(CLASSES).map(([name, className]) => ({
        name,
        class_name: className,
      })),
    },
    migrations: [{ tag: "v1", new_sqlite_classes: Object.values(CLASSES) }],
  });
}

function requireWrangler(): string {
  const program = findWrangler(THIS_FOLDER);
  if (program === null) throw new Error("wrangler is not installed: run npm ci");
  return program;
}

async function waitUntilReady(
  port: number,
  wrangler: WranglerProcess,
  logFile: string,
): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline && wrangler.isRunning()) {
    try {
      await callWorker(port, "ready", {});
      return;
    } catch {
      await sleep(READY_POLL_MS); // not listening yet; a lasting reason shows in the log below
    }
  }
  throw new Error(`The local runtime did not start:\n${readLogTail(logFile)}`);
}

async function callWorker<Value>(port: number, handler: string, args: object): Promise<Value> {
  // Without a keep-alive: a run may last longer than a socket is kept.
  const response = await fetch(`http://127.0.0.1:${port}/${handler}`, {
    method: "POST",
    body: JSON.stringify(args),
    headers: { connection: "close" },
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${handler}: ${text}`);
  return JSON.parse(text) as Value;
}

/** The workerd that runs the Worker: the one in wrangler's process group that is not its proxy. */
async function findWorkerd(group: number, port: number): Promise<number> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const { commandLine, processGroup } = await readProcess(entry);
    if (
      processGroup !== group ||
      !commandLine.includes("workerd") ||
      !commandLine.includes("serve")
    )
      continue;
    if (!commandLine.includes(`127.0.0.1:${port}`)) return Number(entry);
  }
  throw new Error(`No workerd of the Worker is in process group ${group}`);
}

async function readProcess(
  pid: string,
): Promise<{ readonly commandLine: string; readonly processGroup: number }> {
  try {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8");
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // After the name in parentheses: state, parent, process group.
    return {
      commandLine,
      processGroup: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]),
    };
  } catch {
    return { commandLine: "", processGroup: -1 }; // it ended while we were looking
  }
}

async function readCpu(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS; // user and system time, in ticks
}

/** The kernel tells times to programs in hundredths of a second. */
const TICK_MS = 10;

async function readMemory(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/status does not say ${field}`);
  return Number(kilobytes) * 1024;
}
