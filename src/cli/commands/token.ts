/**
 * `shardctl token`: makes a token, and the entry with its hash for the Worker's secret. Asks
 * nobody, and keeps neither.
 */
import { type Command, Option } from "commander";

import { ROLES, type Role } from "../../model/api.ts";
import { bytesToHex } from "../../model/bytes-to-hex.ts";
import { sha256Hex } from "../../model/canonical.ts";
import { type Perform, withHelp } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import type { Outcome, Session } from "../session.ts";

const TOKEN_BYTES = 32;
const DAY_MS = 24 * 3_600_000;
const DAYS_MAX = 3650;
const DAYS_DEFAULT = "90d";

interface TokenOptions {
  readonly json?: boolean;
  readonly role: Role;
  readonly expires: string;
  readonly environment?: readonly string[];
  readonly namespace?: readonly string[];
  readonly label?: readonly string[];
}

/** One of the list in the secret `SHARDCTL_TOKENS`. */
interface TokenEntry {
  readonly name: string;
  readonly role: Role;
  readonly sha256: string;
  readonly expires?: string;
  readonly environments?: readonly string[];
  readonly namespaces?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

export function defineToken(program: Command, perform: Perform): void {
  const command = program
    .command("token")
    .summary("make a token, and its entry for the Worker")
    .description(
      "Make a token, and the entry with its hash for the Worker's secret SHARDCTL_TOKENS. Nothing is sent or kept. Without an environment, a namespace or a label it holds for everything.",
    )
    .argument("<name>", "who it is for: the history shows it")
    .addOption(new Option("--role <role>", "what it may do").choices(ROLES).default("read"))
    .option(
      "--expires <time>",
      "days such as 30d, a date such as 2027-06-30, or never",
      DAYS_DEFAULT,
    )
    .option("-e, --environment <name>", "only there; as often as there are names", collect)
    .option(
      "--namespace <name>",
      "only for namespaces of this name; as often as there are names",
      collect,
    )
    .option(
      "--label <label=value>",
      "only for namespaces whose merged manifest has it, and those of --namespace; of several labels, all of them",
      collect,
    );
  withHelp(command, [
    ["shardctl token ci --role apply", "for everything, for 90 days"],
    ["shardctl token ana --role apply --namespace orders", "for one namespace"],
    ["shardctl token shop --label team=shop --expires 2027-06-30", "by a label of manifests"],
    ["shardctl token board -e staging --expires never", "for one environment"],
  ]).action((name: string, options: TokenOptions) =>
    perform(options.json === true ? { json: true } : {}, (session) =>
      makeToken(session, name, options),
    ),
  );
}

async function makeToken(
  session: Session,
  name: string,
  options: TokenOptions,
): Promise<CliResult<Outcome>> {
  const { role, environment: environments, namespace: namespaces } = options;
  const expires = readExpiry(options.expires, session.host.now());
  if (!expires.ok) return expires;
  const labels = readLabels(options.label ?? []);
  if (!labels.ok) return labels;
  const token = bytesToHex(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)));
  const entry: TokenEntry = {
    name,
    role,
    sha256: await sha256Hex(token),
    ...(expires.value === null ? {} : { expires: expires.value }),
    ...(environments === undefined ? {} : { environments }),
    ...(namespaces === undefined ? {} : { namespaces }),
    ...(labels.value === null ? {} : { labels: labels.value }),
  };
  session.show(
    [
      `Token, shown only now:\n  ${token}`,
      `Entry for the list in the Worker's secret SHARDCTL_TOKENS:\n  ${JSON.stringify(entry)}`,
      "Put it beside the entries that are there: `wrangler secret put SHARDCTL_TOKENS` replaces the whole list. Send the token as SHARDCTL_TOKEN.",
    ].join("\n\n"),
  );
  return { ok: true, value: { exitCode: EXIT.done, json: { version: 1, token, entry } } };
}

/** As it stands in the entry; null for never. */
function readExpiry(text: string, now: number): CliResult<string | null> {
  if (text === "never") return { ok: true, value: null };
  const days = /^([1-9]\d{0,3})d$/.exec(text)?.[1];
  if (days !== undefined && Number(days) <= DAYS_MAX)
    return { ok: true, value: new Date(now + Number(days) * DAY_MS).toISOString() };
  // A date that does not exist becomes another one, which does not begin with the same text.
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  const isDate = Number.isFinite(at) && new Date(at).toISOString().startsWith(text);
  if (!isDate)
    return fail(
      "usage",
      `--expires must be days from 1d to ${DAYS_MAX}d, a date such as 2027-06-30, or never; not '${text}'.`,
    );
  if (at <= now) return fail("usage", `--expires ${text} is over already: it begins at 00:00 UTC.`);
  return { ok: true, value: text };
}

function readLabels(texts: readonly string[]): CliResult<Readonly<Record<string, string>> | null> {
  const labels = new Map<string, string>();
  for (const text of texts) {
    const [name = "", value] = text.split(/=(.*)/s);
    if (name === "" || value === undefined)
      return fail("usage", `--label must be label=value, not '${text}'.`);
    if ((labels.get(name) ?? value) !== value)
      return fail("usage", `--label gives ${name} two values: no namespace can have both.`);
    labels.set(name, value);
  }
  return { ok: true, value: labels.size === 0 ? null : Object.fromEntries(labels) };
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
