/**
 * Finds where a command works: the config (found upwards from the working directory, as git finds
 * its own, up to the folder of the repository), the environment, the manifests, and where the
 * reconciler and its token are.
 *
 * | what      | first that is there                                                                        |
 * |-----------|--------------------------------------------------------------------------------------------|
 * | endpoint  | `--endpoint`, `SHARDCTL_ENDPOINT`, the environment in the config, a running `shardctl dev` |
 * | token     | the variable that the environment names; `SHARDCTL_TOKEN`. `shardctl dev` needs none       |
 */
import { dirname, join, relative, resolve } from "node:path";

import { type Config, DEFAULT_ENVIRONMENT, formatErrors, parseConfig } from "../manifest/index.ts";
import type { CommonOptions } from "./command.ts";
import { type DevRuntime, readRuntime } from "./dev/runtime-file.ts";
import { type CliResult, fail } from "./failure.ts";
import type { Host } from "./host.ts";
import { readBounded, reasonOf } from "./manifest-files.ts";
import { isRoot, leadsAstray } from "./repository-bounds.ts";

export const CONFIG_NAME = "shardctl.yaml";

const DEFAULT_MANIFESTS = "manifests";
export const DEFAULT_TOKEN_VARIABLE = "SHARDCTL_TOKEN";
const FOLDERS_UP_MAX = 64;

export interface Project {
  /** Absolute: where the config is, or the working directory. */
  readonly folder: string;
  readonly environment: string;
  /** Relative to the working directory. */
  readonly manifests: readonly string[];
  /** Names of the config's environments; null without a config. */
  readonly knownEnvironments: readonly string[] | null;
  /** As configured; null when nothing names one. */
  readonly endpoint: string | null;
  /** True when the repository names it, and not the person at the command. */
  readonly isEndpointOfRepository: boolean;
  /** The environment variable that holds the token for that endpoint. */
  readonly tokenVariable: string;
  readonly runtime: DevRuntime | null;
}

export async function loadProject(host: Host, options: CommonOptions): Promise<CliResult<Project>> {
  const located = await locateConfig(host, options.config);
  if (!located.ok) return located;
  if (located.value === null) return withoutConfig(host, options);
  const { path, text } = located.value;
  const shown = relative(host.cwd, path);
  const { config, errors } = parseConfig({ path: shown, text });
  if (config === null)
    return fail("config", `The config has errors.\n${formatErrors(errors, "text")}`, null, {
      errors,
    });
  const environment = chooseEnvironment(config, options.environment, shown);
  if (!environment.ok) return environment;
  const folder = dirname(path);
  const given = givenEndpoint(host, options);
  const configured = config.environments[environment.value];
  const known = Object.keys(config.environments);
  return {
    ok: true,
    value: {
      folder,
      environment: environment.value,
      manifests: [relative(host.cwd, resolve(folder, config.manifests)) || "."],
      knownEnvironments: known.length === 0 ? null : known,
      endpoint: given ?? configured?.endpoint ?? null,
      isEndpointOfRepository: given === null,
      // The token of a configured environment is for its own endpoint only.
      tokenVariable:
        (given === null ? configured?.tokenVariable : undefined) ?? DEFAULT_TOKEN_VARIABLE,
      runtime: await readRuntime(folder),
    },
  };
}

async function withoutConfig(host: Host, options: CommonOptions): Promise<CliResult<Project>> {
  const given = givenEndpoint(host, options);
  return {
    ok: true,
    value: {
      folder: host.cwd,
      environment: options.environment ?? DEFAULT_ENVIRONMENT,
      manifests: [DEFAULT_MANIFESTS],
      knownEnvironments: null,
      endpoint: given,
      // Without one, the note of a `shardctl dev` names it, which lies in the repository, too.
      isEndpointOfRepository: given === null,
      tokenVariable: DEFAULT_TOKEN_VARIABLE,
      runtime: await readRuntime(host.cwd),
    },
  };
}

function givenEndpoint(host: Host, options: CommonOptions): string | null {
  return options.endpoint ?? nonEmpty(host.env["SHARDCTL_ENDPOINT"]) ?? null;
}

interface ConfigText {
  readonly path: string;
  readonly text: Uint8Array;
}

async function locateConfig(
  host: Host,
  given: string | undefined,
): Promise<CliResult<ConfigText | null>> {
  if (given !== undefined) {
    const path = resolve(host.cwd, given);
    const text = await readIfPresent(path);
    if (!text.ok || text.value !== null) return text;
    return fail("config", `There is no config at ${given}.`, "Write one with: shardctl init");
  }
  let folder = host.cwd;
  for (let up = 0; up < FOLDERS_UP_MAX; up++) {
    const path = join(folder, CONFIG_NAME);
    if (await leadsAstray(folder, folder, path))
      return fail(
        "config",
        `${relative(host.cwd, path)} is a symbolic link out of the repository, or to what is no config of it; it was not read.`,
        "Put the config itself there.",
      );
    const found = await readIfPresent(path);
    if (!found.ok || found.value !== null) return found;
    const parent = dirname(folder);
    // A config beyond it was not checked out with this folder.
    if (parent === folder || (await isRoot(folder))) break;
    folder = parent;
  }
  return { ok: true, value: null };
}

async function readIfPresent(path: string): Promise<CliResult<ConfigText | null>> {
  try {
    return { ok: true, value: { path, text: await readBounded(path) } };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { ok: true, value: null };
    return fail("config", `Cannot read the config ${path}: ${reasonOf(error)}.`);
  }
}

function chooseEnvironment(
  config: Config,
  given: string | undefined,
  path: string,
): CliResult<string> {
  const known = Object.keys(config.environments).toSorted();
  if (given !== undefined && known.length > 0 && !known.includes(given)) {
    return fail("config", `${path} has no environment '${given}'.`, `It has: ${known.join(", ")}.`);
  }
  const environment = given ?? config.defaultEnvironment;
  if (environment !== null) return { ok: true, value: environment };
  if (known.length === 0) return { ok: true, value: DEFAULT_ENVIRONMENT };
  return fail(
    "config",
    `${path} has ${known.length} environments and no default.`,
    `Choose one with --environment: ${known.join(", ")}.`,
  );
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
