/**
 * `shardctl import`: writes manifests for what is live, so that you can manage it from Git.
 * Changes nothing that is live. With `--state` it is another thing: see `import-state.ts`.
 */
import { join, relative } from "node:path";

import type { Command } from "commander";

import type { NamespaceReport } from "../../model/api.ts";
import type { LiveNamespace } from "../../model/live.ts";
import { describeDisorder, repairCommand } from "../../model/disorder.ts";
import { formatQuantity } from "../../model/figures.ts";
import { renderManifest } from "../../manifest/index.ts";
import type { ApiClient } from "../api-client.ts";
import { type CommonOptions, type Perform, withHelp, withServerOptions } from "../command.ts";
import { connectApi } from "../connect-api.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { importState } from "../import-state.ts";
import { importFileNames } from "../import-names.ts";
import { specOfLive } from "../live-spec.ts";
import { loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { type NewFile, writeNewFiles } from "../write-new-files.ts";

interface ImportOptions extends CommonOptions {
  readonly namespace?: string;
  readonly object?: string;
  readonly out?: string;
  readonly force?: boolean;
  readonly state?: string;
  readonly autoApprove?: boolean;
  readonly fromAnotherWorker?: boolean;
}

export function defineImport(program: Command, perform: Perform): void {
  const command = program
    .command("import")
    .summary("write manifests for what is live")
    .description(
      "Write a manifest for each live namespace. A plan of these manifests changes no layout. Policies that were applied are not in them.",
    )
    .option(
      "--namespace <name>",
      "only this one; with --object, even one that the reconciler has never seen",
    )
    .option("--object <binding>", "only namespaces of this Durable Object binding")
    .option("--out <folder>", "where to write (default: the first manifests folder of the config)")
    .option("--force", "overwrite existing manifests")
    .option(
      "--state <file>",
      "take over the Worker's own state from a file of `export --state`; shows it and asks first",
    )
    .option("--auto-approve", "with --state: do not ask")
    .option(
      "--from-another-worker",
      "with --state: take over the file of another Worker, as after a move",
    );
  withHelp(withServerOptions(command), [
    ["shardctl import", "all that the reconciler knows"],
    ["shardctl import --namespace orders --object ORDERS", "one"],
    ["shardctl import --out imported", "next to the existing manifests, to compare"],
    ["shardctl import --state state.json", "the Worker's own state, after it was lost"],
  ]).action((options: ImportOptions) =>
    perform(options, (session) => importLive(session, options)),
  );
}

async function importLive(session: Session, options: ImportOptions): Promise<CliResult<Outcome>> {
  const project = await loadProject(session.host, options);
  if (!project.ok) return project;
  const api = connectApi(session, project.value);
  if (!api.ok) return api;
  if (options.state !== undefined)
    return importState(session, api.value, options.state, {
      isApproved: options.autoApprove === true,
      acceptsOther: options.fromAnotherWorker === true,
    });
  const reports = await findLive(api.value, options);
  if (!reports.ok) return reports;
  const out = options.out ?? project.value.manifests[0] ?? "manifests";
  const found: LiveNamespace[] = [];
  const unreadable: string[] = [];
  for (const report of reports.value) {
    if (report.kind === "failed") {
      unreadable.push(`  ${report.name} (${report.object}): ${report.failure.message}`);
      continue;
    }
    const { name, object, disorder } = report.namespace;
    // A manifest of what a lost registry says would be applied one day.
    if (disorder) {
      unreadable.push(
        `  ${name} (${object}): ${describeDisorder(disorder)}; see: ${repairCommand(name)}`,
      );
      continue;
    }
    found.push(report.namespace);
  }
  if (unreadable.length > 0)
    return fail(
      "server",
      `Nothing was written: ${formatQuantity(unreadable.length, "namespace")} cannot be read.\n${unreadable.join("\n")}`,
    );
  const shared = explainShared(found);
  if (shared !== null)
    return fail("server", shared, "Import one of the two with --object, into a folder of its own.");
  const names = importFileNames(found.map(({ name }) => name));
  const files = found.map((namespace, index): NewFile => {
    const path = relative(session.host.cwd, join(session.host.cwd, out, names[index] ?? ""));
    return { path, text: renderManifest(specOfLive(namespace, path)) };
  });
  if (files.length === 0)
    return fail(
      "notFound",
      `${api.value.endpoint} knows no live namespace to import.`,
      "Name one: shardctl import --namespace <name> --object <binding>",
    );
  const written = await writeNewFiles(
    session.host.cwd,
    files,
    options.force === true,
    "Overwrite with --force, or write elsewhere with --out.",
  );
  if (!written.ok) return written;
  session.show(
    `${files.map((file) => `Wrote ${file.path}`).join("\n")}\n\nCheck that they match what is live: shardctl plan`,
  );
  return {
    ok: true,
    value: { exitCode: EXIT.done, json: { written: files.map((file) => file.path) } },
  };
}

/** Manifests declare each name once. Null when no two namespaces share one. */
function explainShared(found: readonly LiveNamespace[]): string | null {
  const objects = new Map<string, string>();
  for (const { name, object } of found) {
    const first = objects.get(name);
    if (first !== undefined)
      return `Nothing was written: the name ${JSON.stringify(name)} is live in ${first} and in ${object}, and manifests declare each name once.`;
    objects.set(name, object);
  }
  return null;
}

async function findLive(
  api: ApiClient,
  options: ImportOptions,
): Promise<CliResult<readonly NamespaceReport[]>> {
  if (options.namespace !== undefined && options.object !== undefined) {
    const report = await api.namespace(options.namespace, options.object);
    return report.ok ? { ok: true, value: [report.value] } : report;
  }
  return api.namespaces({
    ...(options.namespace === undefined ? {} : { name: options.namespace }),
    ...(options.object === undefined ? {} : { object: options.object }),
  });
}
