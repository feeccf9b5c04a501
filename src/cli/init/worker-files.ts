/**
 * The texts that `init --worker` writes: wrangler config, entry file, a first class, tsconfig, and
 * the list of secrets. Pure. The same pieces are what a project with a config of its own is told to
 * add.
 */
import { relative } from "node:path";

import {
  COORDINATOR_BINDING,
  COORDINATOR_CLASS,
  type WorkerObject,
  type WorkerRequest,
} from "./worker-request.ts";

/** The runtime finds a class's own binding from 2025-11-17 on. */
const COMPATIBILITY_DATE = "2026-10-01";
/** Runs go on by alarm, and the tick compares: every minute is right. */
export const CRON = "* * * * *";
export const ENTRY_PATH = "src/index.ts";

export interface Secret {
  readonly name: string;
  readonly required: boolean;
  readonly what: string;
}

export const SECRETS: readonly Secret[] = [
  {
    name: "SHARDCTL_TOKENS",
    required: true,
    what: "who may ask: a list of names, roles and hashes",
  },
  {
    name: "GITHUB_TOKEN",
    required: false,
    what: "a fine-grained token for the repository, or instead the next two",
  },
  { name: "GITHUB_APP_ID", required: false, what: "the number of a GitHub App" },
  { name: "GITHUB_APP_PRIVATE_KEY", required: false, what: "its key, as PKCS#8 PEM" },
  {
    name: "GITHUB_WEBHOOK_SECRET",
    required: false,
    what: "the secret of the repository's webhook, 16 characters or more",
  },
  { name: "ALERT_WEBHOOK_URL", required: false, what: "a Slack-compatible address for alerts" },
];

export interface ConfiguredBinding {
  readonly name: string;
  readonly class_name: string;
  readonly script_name?: string;
}

/** The Durable Object bindings of the Worker: the user's classes, then the coordinator. */
export function bindingsOf({ objects, script }: WorkerRequest): readonly ConfiguredBinding[] {
  return [
    ...objects.map(({ binding, className }) => ({
      name: binding,
      class_name: className,
      ...(script === null ? {} : { script_name: script }),
    })),
    { name: COORDINATOR_BINDING, class_name: COORDINATOR_CLASS },
  ];
}

/** The classes that this Worker itself exports. */
export function ownClassesOf({ objects, script }: WorkerRequest): readonly string[] {
  return [...(script === null ? objects.map(({ className }) => className) : []), COORDINATOR_CLASS];
}

/** One line of JSON with spaces, as people write it: `{ "name": "ORDERS" }`. */
export function inlineJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inlineJson).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(
    ([name, field]) => `${JSON.stringify(name)}: ${inlineJson(field)}`,
  );
  return `{ ${fields.join(", ")} }`;
}

/** `wrangler.jsonc`. */
export function wranglerConfigText(request: WorkerRequest): string {
  const up = relative(request.folder, ".");
  const schema = `${up === "" ? "." : up.replaceAll("\\", "/")}/node_modules/wrangler/config-schema.json`;
  const bindings = bindingsOf(request).map((binding) => `      ${inlineJson(binding)}`);
  return `{
  "$schema": ${JSON.stringify(schema)},
  "name": ${JSON.stringify(request.name)},
  "main": ${JSON.stringify(ENTRY_PATH)},
  "compatibility_date": "${COMPATIBILITY_DATE}",
  "durable_objects": {
    "bindings": [
${bindings.join(",\n")}
    ]
  },
  // Never change a tag that is deployed: add a new tag below it for a new class.
  "migrations": [{ "tag": "v1", "new_sqlite_classes": ${inlineJson(ownClassesOf(request))} }],
  // Resumes what was interrupted, and compares what is live with the repository.
  "triggers": { "crons": ["${CRON}"] },
  "observability": { "enabled": true }
}
`;
}

/** The entry file. */
export function entryText(request: WorkerRequest): string {
  const isOwn = request.script === null;
  const imports = isOwn
    ? request.objects.map(
        ({ className }) => `import { ${className} } from "./${moduleName(className)}";\n`,
      )
    : [];
  return `import { createReconciler } from "shardctl/worker";
${imports.length === 0 ? "" : `\n${imports.join("")}`}
interface Env {
${request.objects.map(({ binding, className }) => `  readonly ${binding}: DurableObjectNamespace${isOwn ? `<${className}>` : ""};`).join("\n")}
  readonly ${COORDINATOR_BINDING}: DurableObjectNamespace;
  readonly SHARDCTL_TOKENS?: string; // this secret and the others: .dev.vars.example
}

${reconcilerText(request, isOwn ? "control" : "worker")}

export { ${[...ownClassesOf(request)].toSorted().join(", ")} };

${isOwn ? OWN_HANDLERS : "export default worker;\n"}`;
}

/** The call of `createReconciler`, with the repository or a place for it. */
export function reconcilerText({ objects, github }: WorkerRequest, rest: string): string {
  const names = objects.map(({ binding }) => `${binding}: env.${binding}`);
  return `const { ${COORDINATOR_CLASS}, ...${rest} } = createReconciler<Env>({
  objects: (env) => ({ ${names.join(", ")} }), // the names that manifests give as spec.object
  coordinator: (env) => env.${COORDINATOR_BINDING},
${github === null ? GITHUB_PLACE : githubText(github)}
});`;
}

const OWN_HANDLERS = `export default {
  async fetch(request, env, context) {
    // Add your own routes here. shardctl answers the rest: its API, its webhook, its pages.
    return control.fetch(request, env, context);
  },
  scheduled: control.scheduled,
} satisfies ExportedHandler<Env>;
`;

const GITHUB_PLACE = `  // To follow the default branch of a repository and answer its pull requests:
  // github: () => ({
  //   repository: "owner/name",
  //   repositoryId: 0, // gh api repos/owner/name --jq .id
  //   ownerId: 0, // gh api repos/owner/name --jq .owner.id
  //   environment: "production", // the environment of the manifests that this Worker holds
  // }),`;

function githubText({
  repository,
  repositoryId,
  ownerId,
}: NonNullable<WorkerRequest["github"]>): string {
  return `  github: () => ({
    repository: ${JSON.stringify(repository)},
    repositoryId: ${repositoryId},
    ownerId: ${ownerId},
    environment: "production", // the environment of the manifests that this Worker holds
  }),`;
}

/** `OrderLines` → `order-lines`. */
export function moduleName(className: string): string {
  return className.replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2").toLowerCase();
}

/** A first class, which fits the first manifest. */
export function classText({ className }: WorkerObject): string {
  return `import { ShardedObject } from "shardctl/durable-object";

export interface Item {
  readonly id: string;
  readonly data: string;
}

/** The root and every shard of the namespace are objects of this class. */
export class ${className} extends ShardedObject {
  readonly shards = this.createHost({
    tables: [{ name: "items" }], // the tables whose rows are sharded; each has the shard key as a column
  });

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, data TEXT NOT NULL)");
  }

  put(item: Item): void {
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO items (id, data) VALUES (?, ?)", item.id, item.data);
  }

  find(id: string): Item | null {
    const rows = this.ctx.storage.sql.exec<{ id: string; data: string }>("SELECT id, data FROM items WHERE id = ?", id).toArray();
    return rows[0] ?? null;
  }
}
`;
}

export const TSCONFIG_TEXT = `{
  "compilerOptions": {
    "target": "es2024",
    "lib": ["es2024"],
    "module": "preserve",
    "moduleResolution": "bundler",
    "types": ["@cloudflare/workers-types"],
    "strict": true,
    "noEmit": true
  },
  "include": ["src"]
}
`;

/** `.dev.vars.example`: every secret, with what it is for. */
export const SECRETS_TEXT = `# The secrets of the Worker. On your machine: copy this file to .dev.vars, which stays out of Git, and fill it in.
# On Cloudflare, for each that you use: npx wrangler secret put <NAME>

# Required: who may ask. The Worker knows hashes only; the roles are read, plan and apply.
#   TOKEN=$(openssl rand -hex 32); echo $TOKEN; printf %s "$TOKEN" | sha256sum     (macOS: shasum -a 256)
SHARDCTL_TOKENS='[{"name":"me","role":"apply","sha256":"<64 hex digits>"}]'

# For a repository (github in the entry file): contents read; pull requests, checks and issues write.
# A fine-grained token:
# GITHUB_TOKEN=
# Or a GitHub App, which comes first. Its key as PKCS#8: openssl pkcs8 -topk8 -nocrypt -in app.pem
# GITHUB_APP_ID=
# GITHUB_APP_PRIVATE_KEY="-----BEGIN PRIVATE KEY-----\\n...\\n-----END PRIVATE KEY-----\\n"
# The secret of the repository's webhook, 16 characters or more. Without it every webhook is refused.
# GITHUB_WEBHOOK_SECRET=

# Where alerts go besides the issue: an address that takes Slack's JSON.
# ALERT_WEBHOOK_URL=
`;
