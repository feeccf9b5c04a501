/**
 * `shardctl dev`: starts the real Workers runtime on this machine, with every Durable Object
 * binding that the manifests name.
 */
import { resolve } from "node:path";

import { type Command, InvalidArgumentError } from "commander";

import { type CommonOptions, type Perform, withHelp, withProjectOptions } from "../command.ts";
import { type DevServer, startDevServer } from "../dev/dev-server.ts";
import { keepTicking } from "../dev/keep-ticking.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import type { Host } from "../host.ts";
import { loadDesired } from "../load-desired.ts";
import { loadProject, type Project } from "../project.ts";
import type { Outcome, Session } from "../session.ts";

interface DevOptions extends CommonOptions {
  readonly port: number;
  readonly persistTo?: string;
  readonly tick?: number;
  readonly verbose?: boolean;
}

const DEFAULT_PORT = 8787;
const PORT_MAX = 65_535;
/**
 * Seconds. A Worker of the user's own has a handler of its own, which is left alone unless it is
 * asked for.
 */
const DEFAULT_TICK_S = 10;
const TICK_S_MAX = 3600;
const WRANGLER_CONFIG = /\.(jsonc?|toml)$/i;

export function defineDev(program: Command, perform: Perform): void {
  const command = program
    .command("dev")
    .summary("start the local runtime")
    .description(
      "Start the local runtime (workerd), with durable state and every binding that the manifests name.",
    )
    .option("--port <number>", "port on 127.0.0.1; 0 takes a free one", readPort, DEFAULT_PORT)
    .option(
      "--persist-to <folder>",
      "where the state is kept (default: .shardctl/state in the project)",
    )
    .option(
      "--tick <seconds>",
      "how often to reconcile, as the cron trigger does; 0: never (default: 10; with your own Worker 0)",
      readTick,
    )
    .option("--verbose", "show wrangler's output here, not in .shardctl/dev/wrangler.log");
  withHelp(withProjectOptions(command), [
    ["shardctl dev", "until Ctrl-C; the state is kept for the next start"],
    ["shardctl dev --port 0", "on any free port"],
    ["shardctl dev --config wrangler.json", "run your own Worker instead of the generated one"],
    ["shardctl dev --config wrangler.json --tick 10", "and call its scheduled handler every 10 s"],
  ]).action((options: DevOptions) => perform(options, (session) => dev(session, options)));
}

async function dev(session: Session, options: DevOptions): Promise<CliResult<Outcome>> {
  const { host } = session;
  const own =
    options.config !== undefined && WRANGLER_CONFIG.test(options.config)
      ? resolve(host.cwd, options.config)
      : null;
  const project = await loadProject(
    host,
    own === null ? options : { ...options, config: undefined },
  );
  if (!project.ok) return project;
  const bindings =
    own === null ? await findBindings(host, project.value) : ({ ok: true, value: [] } as const);
  if (!bindings.ok) return bindings;
  const { folder } = project.value;
  const interruption = host.interceptInterrupt();
  try {
    const started = await startDevServer(
      host,
      {
        folder,
        port: options.port,
        persistTo: resolve(
          options.persistTo === undefined ? folder : host.cwd,
          options.persistTo ?? ".shardctl/state",
        ),
        bindings: bindings.value,
        wranglerConfig: own,
        verbose: options.verbose === true,
      },
      interruption.signal,
    );
    if (!started.ok) return started;
    const tickS = options.tick ?? (own === null ? DEFAULT_TICK_S : 0);
    announce(session, started.value, project.value, {
      bindings: bindings.value,
      isOwnWorker: own !== null,
      tickS,
    });
    return await waitForEnd(session, started.value, tickS * 1000, interruption.signal);
  } finally {
    interruption.release();
  }
}

function announce(
  session: Session,
  server: DevServer,
  project: Project,
  { bindings, isOwnWorker, tickS }: Pick<Announcement, "bindings" | "isOwnWorker" | "tickS">,
): void {
  if (session.json) {
    const facts = {
      endpoint: server.endpoint,
      pid: process.pid,
      wranglerPid: server.wrangler.pid,
      bindings,
    };
    session.host.stdout.write(`${JSON.stringify(facts)}\n`);
    return;
  }
  const { bold } = session.colors;
  session.say(
    announcement({
      endpoint: bold(server.endpoint),
      plain: server.endpoint,
      folder: project.folder,
      bindings,
      isOwnWorker,
      tickS,
    }),
  );
}

export interface Announcement {
  readonly endpoint: string;
  readonly plain: string;
  readonly folder: string;
  readonly bindings: readonly string[];
  readonly isOwnWorker: boolean;
  /** 0: never. */
  readonly tickS: number;
}

/**
 * Returns the text shown when the runtime is ready. The user's own Worker decides itself who may
 * ask.
 */
export function announcement({
  endpoint,
  plain,
  folder,
  bindings,
  isOwnWorker,
  tickS,
}: Announcement): string {
  return [
    `The local runtime is ready at ${endpoint}`,
    ...(bindings.length === 0
      ? []
      : [`Bindings: ${bindings.join(", ")}   (restart after adding one to the manifests)`]),
    "",
    tickS === 0
      ? "Nothing is reconciled automatically: pass --tick 10 to call the scheduled handler every 10 s."
      : `Open it in a browser to see the status page; what was applied is checked every ${tickS} s.`,
    "",
    "Try, in a second terminal:",
    `  shardctl plan --endpoint ${plain}`,
    `  shardctl apply --endpoint ${plain}`,
    `  shardctl status --endpoint ${plain}`,
    isOwnWorker
      ? "Your Worker needs a token: set SHARDCTL_TOKEN to one whose hash is in its SHARDCTL_TOKENS (.dev.vars)."
      : "No token is needed.",
    `Commands in ${folder} use this endpoint when none is configured.`,
    "Press Ctrl-C to stop it; the state is kept.",
  ].join("\n");
}

async function waitForEnd(
  session: Session,
  server: DevServer,
  tickMs: number,
  signal: AbortSignal,
): Promise<CliResult<Outcome>> {
  const ticking = new AbortController();
  const ticks =
    tickMs === 0
      ? null
      : keepTicking(
          session.host,
          { endpoint: server.endpoint, intervalMs: tickMs, say: (line) => session.say(line) },
          AbortSignal.any([signal, ticking.signal]),
        );
  const interrupted = new Promise<null>((done) => {
    if (signal.aborted) done(null);
    signal.addEventListener("abort", () => done(null), { once: true });
  });
  const exit = await Promise.race([interrupted, server.wrangler.ended]);
  ticking.abort();
  await ticks;
  await server.stop();
  if (exit !== null)
    return fail(
      "dev",
      `wrangler exited unexpectedly: ${exit}.`,
      `The log is in ${server.logFile}. Start again: shardctl dev`,
    );
  session.say("Stopped.");
  // The document was printed when the runtime was ready.
  return { ok: true, value: { exitCode: EXIT.done, json: undefined } };
}

function readTick(text: string): number {
  const seconds = Number(text);
  if (text.trim() === "" || !(seconds >= 0 && seconds <= TICK_S_MAX))
    throw new InvalidArgumentError(`A time is a number of seconds from 0 to ${TICK_S_MAX}.`);
  return seconds;
}

function readPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX)
    throw new InvalidArgumentError(`A port is a whole number from 0 to ${PORT_MAX}.`);
  return port;
}

/**
 * The Durable Object bindings that the manifests name, distinct and sorted. Manifests with errors,
 * or none at all, fail: a runtime without its bindings helps nobody.
 */
async function findBindings(host: Host, project: Project): Promise<CliResult<readonly string[]>> {
  const loaded = await loadDesired(host, project, []);
  if (!loaded.ok) return loaded;
  const bindings = [
    ...new Set(loaded.value.namespaces.map((namespace) => namespace.object)),
  ].toSorted();
  if (bindings.length > 0) return { ok: true, value: bindings };
  return fail(
    "manifests",
    `There are no namespaces in ${project.manifests.join(", ")}: nothing to run.`,
    "Write a first one with: shardctl init",
  );
}
