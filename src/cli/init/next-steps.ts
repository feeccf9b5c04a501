/**
 * Writes the text that `init --worker` prints: what it wrote and kept, what must be added by hand,
 * the secrets, and the steps to a deployed Worker. Pure.
 */
import { join } from "node:path";

import { ENTRY_PATH, SECRETS, moduleName, reconcilerText } from "./worker-files.ts";
import { COORDINATOR_CLASS, type WorkerRequest } from "./worker-request.ts";
import { type Additions, type FoundConfig, describeAdditions } from "./wrangler-config.ts";

export interface InitResult {
  readonly request: WorkerRequest;
  readonly written: readonly string[];
  readonly kept: readonly string[];
  readonly ignored: readonly string[];
  readonly found: FoundConfig | null;
  readonly additions: Additions | null;
}

/** Describes what was done, and what a file that was left unchanged still lacks. */
export function describeRest(result: InitResult): string {
  const { request, written, kept, ignored, found } = result;
  const done = [
    ...written.map((path) => `Wrote ${path}`),
    ...kept.map((path) => `Kept ${path}, which already exists`),
    ...(ignored.length === 0 ? [] : [`Added ${ignored.join(", ")} to .gitignore`]),
  ].join("\n");
  const entry = found?.config?.main === undefined ? ENTRY_PATH : found.config.main;
  const keptEntry = found !== null || kept.includes(join(request.folder, ENTRY_PATH));
  const parts = [
    done,
    ...configPart(result),
    ...(keptEntry ? [entryPart(request, join(request.folder, entry))] : []),
  ];
  return parts.join("\n\n");
}

function configPart({ found, additions }: InitResult): string[] {
  if (found === null || additions === null) return [];
  const lines = describeAdditions(additions, found.path);
  const unknown = found.config === null ? ", except what it has already" : "";
  return [
    lines === null
      ? `${found.path} has all that shardctl needs.`
      : `Add to ${found.path}${unknown}:\n\n${lines}`,
    ...additions.warnings.map((warning) => `Warning: ${warning}`),
  ];
}

function entryPart(request: WorkerRequest, path: string): string {
  const lines = [
    `import { createReconciler } from "shardctl/worker";`,
    "",
    ...reconcilerText(request, "control").split("\n"),
    `export { ${COORDINATOR_CLASS} };`,
    "",
    "// in fetch, for what your own routes do not answer:",
    "return control.fetch(request, env, context);",
    "// in scheduled:",
    "await control.scheduled(controller, env, context);",
  ];
  return `Add to ${path}, the entry file, unless it has it already:\n\n${lines.map((line) => (line === "" ? "" : `  ${line}`)).join("\n")}`;
}

/** The secrets, and the steps from here. */
export function describeNextSteps({ request, found }: InitResult): string {
  const config = found?.path ?? join(request.folder, "wrangler.jsonc");
  const flag = request.folder === "." ? "" : ` -c ${config}`;
  const width = Math.max(...SECRETS.map(({ name }) => name.length));
  const secrets = SECRETS.map(
    ({ name, required, what }) =>
      `  ${name.padEnd(width)}   ${required ? "required: " : ""}${what}`,
  );
  const classFiles = request.objects
    .map(({ className }) => join(request.folder, "src", `${moduleName(className)}.ts`))
    .join(", ");
  const edit =
    request.script !== null
      ? `Deploy ${request.script} first: its ${request.objects.map(({ className }) => className).join(", ")} must use shardctl/durable-object.`
      : found === null
        ? `Edit ${classFiles} and the manifests: your tables, your methods, your shard key.`
        : `Give your class shardctl/durable-object, and edit its manifest: its name, its shard key.`;
  const steps = [
    "npm install --save-dev wrangler typescript @cloudflare/workers-types",
    edit,
    `npx wrangler deploy --dry-run${flag}`,
    `Copy ${join(request.folder, ".dev.vars.example")} to ${join(request.folder, ".dev.vars")}, fill in the hash of a token, and set SHARDCTL_TOKEN to the token.`,
    request.script === null
      ? `npx shardctl dev --config ${config}`
      : `npx wrangler dev${flag} -c <the config of ${request.script}>`,
    `npx wrangler deploy${flag}, then npx wrangler secret put <NAME>${flag} for each secret that you use`,
    "Set environments.production.endpoint in shardctl.yaml to the address that it prints, and: npx shardctl plan -e production",
  ];
  return [
    "Secrets of the Worker:",
    ...secrets,
    "",
    "Next steps:",
    ...steps.map((step, index) => `  ${index + 1}. ${step}`),
  ].join("\n");
}
