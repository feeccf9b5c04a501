/**
 * A local runtime for tests: `shardctl dev` as a child, with a way to kill the user's workerd in
 * it. Stops only what it started.
 */
import { spawn } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url).href);
const STOP_TIMEOUT_MS = 15_000;

export interface DevRuntime {
  readonly endpoint: string;
  /**
   * SIGKILLs the workerd that runs the Worker, not the one that is wrangler's proxy; gives its id.
   */
  killWorkerd(): Promise<number>;
  /** Ends the runtime; its state stays. */
  stop(): Promise<void>;
}

/**
 * Starts `shardctl dev` on a free port in a project folder and waits until it is ready. @throws
 * Error with its output when it does not start.
 */
export async function startDevRuntime(
  cwd: string,
  argv: readonly string[] = [],
): Promise<DevRuntime> {
  const child = spawn(process.execPath, [MAIN, "dev", "--json", "--port", "0", ...argv], {
    cwd,
    env: { ...process.env, SHARDCTL_ENDPOINT: "", SHARDCTL_TOKEN: "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const ready = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.includes("\n")) resolve(stdout);
    });
    void ended.then(() =>
      reject(new Error(`shardctl dev ended before it was ready:\n${stdout}${stderr}`)),
    );
  });
  const note = JSON.parse(await ready) as {
    readonly endpoint?: string;
    readonly wranglerPid?: number;
  };
  const { endpoint, wranglerPid } = note;
  if (endpoint === undefined || wranglerPid === undefined)
    throw new Error(`shardctl dev did not start: ${JSON.stringify(note)}`);
  return {
    endpoint,
    killWorkerd: () => killWorkerd(wranglerPid, new URL(endpoint).port),
    stop: async () => {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

async function killWorkerd(group: number, port: string): Promise<number> {
  const pid = await findWorkerd(group, port);
  process.kill(pid, "SIGKILL");
  return pid;
}

/**
 * The workerd that runs the Worker, not the one that is wrangler's proxy. Looks only among the
 * processes of wrangler's own group.
 */
export async function findWorkerd(group: number, port: string): Promise<number> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const { commandLine, processGroup } = await readProcess(entry);
    const isProxy = commandLine.includes(`127.0.0.1:${port}`);
    if (
      processGroup !== group ||
      !commandLine.includes("workerd") ||
      !commandLine.includes("serve") ||
      isProxy
    )
      continue;
    return Number(entry);
  }
  throw new Error(`No workerd of the user is in process group ${group}`);
}

async function readProcess(
  pid: string,
): Promise<{ readonly commandLine: string; readonly processGroup: number }> {
  try {
    const [commandLine, stat] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8"),
      readFile(`/proc/${pid}/stat`, "utf8"),
    ]);
    // After the name in parentheses, which may contain spaces: state, parent, process group.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { commandLine, processGroup: Number(fields[2]) };
  } catch {
    // It ended while we were looking.
    return { commandLine: "", processGroup: -1 };
  }
}
