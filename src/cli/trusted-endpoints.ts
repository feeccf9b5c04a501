/**
 * Decides whether a token may be sent to an endpoint that a repository names: only when the
 * machine's user has said so once, or the environment of the command does. Remembered in the user's
 * config folder, never in the repository, for the one variable that was asked about: a config that
 * later names the token of another environment is asked about anew.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { askYes } from "./confirm.ts";
import { type CliResult, fail } from "./failure.ts";
import type { Host } from "./host.ts";
import { DEFAULT_TOKEN_VARIABLE } from "./project.ts";
import type { Session } from "./session.ts";

/**
 * Endpoints for machines that cannot be asked, such as CI: addresses with spaces between them. They
 * get the default variable and no other.
 */
const TRUSTED_VARIABLE = "SHARDCTL_TRUSTED_ENDPOINTS";

/** A place for one token, and for no other. */
interface Trusted {
  readonly endpoint: string;
  readonly variable: string;
}

export async function requireTrust(
  session: Session,
  endpoint: string,
  variable: string,
): Promise<CliResult<null>> {
  const { host } = session;
  const isDefault = variable === DEFAULT_TOKEN_VARIABLE;
  const named = isDefault ? (host.env[TRUSTED_VARIABLE] ?? "").split(/\s+/u) : [];
  const file = trustFile(host);
  const known = file === null ? [] : await readTrusted(file);
  const isKnown = known.some((one) => one.endpoint === endpoint && one.variable === variable);
  if (isKnown || named.includes(endpoint)) return { ok: true, value: null };
  const otherwise = isDefault
    ? `set ${TRUSTED_VARIABLE}, or name the endpoint with --endpoint or SHARDCTL_ENDPOINT`
    : `or set ${DEFAULT_TOKEN_VARIABLE} and name the endpoint with --endpoint or SHARDCTL_ENDPOINT`;
  const refusal = fail(
    "config",
    `Nothing was sent: this repository names ${endpoint}, which has not been confirmed yet as a place for ${variable}.`,
    `Confirm it in a terminal, ${otherwise}.`,
  );
  if (host.stdin.isTTY !== true || file === null) return refusal;
  const isConfirmed = await askYes(
    session,
    `This repository names the endpoint ${endpoint}. May ${variable} be sent there, now and later? Only 'yes' is accepted: `,
  );
  if (!isConfirmed) return refusal;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const trusted = [...known, { endpoint, variable }];
  await writeFile(file, `${JSON.stringify(trusted, null, 2)}\n`, { mode: 0o600 });
  return { ok: true, value: null };
}

/** Null where the user has no folder. */
function trustFile({ env }: Host): string | null {
  const home = env["HOME"] ?? env["USERPROFILE"] ?? "";
  const folder = env["XDG_CONFIG_HOME"] || env["APPDATA"] || (home && join(home, ".config"));
  return folder ? join(folder, "shardctl", "endpoints.json") : null;
}

async function readTrusted(file: string): Promise<readonly Trusted[]> {
  try {
    const list: unknown = JSON.parse(await readFile(file, "utf8"));
    return Array.isArray(list) ? list.filter(isTrusted) : [];
  } catch (error) {
    // Not there yet, or not ours: then nothing was confirmed.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT")
      return [];
    throw error;
  }
}

/** An entry that does not say for which variable it holds trusts none. */
function isTrusted(entry: unknown): entry is Trusted {
  if (typeof entry !== "object" || entry === null) return false;
  const { endpoint, variable } = entry as Partial<Trusted>;
  return typeof endpoint === "string" && typeof variable === "string";
}
