/**
 * Files that `shardctl init` writes: a config and a first manifest that validate and show the
 * options.
 */
import { DEFAULT_TOKEN_VARIABLE } from "./config-schema.ts";
import { API_VERSION, NAMESPACE_KIND } from "./namespace-schema.ts";
import { DEFAULT_NAMESPACE_SCHEMA, schemaLine } from "./render-manifest.ts";

/**
 * Where editors find the config's schema from the root of a project that has the package installed.
 */
export const DEFAULT_CONFIG_SCHEMA = "./node_modules/shardctl/schemas/config.schema.json";

/**
 * The text of a first `shardctl.yaml`. `worker` is the name of a Worker that there will be, and
 * production then no comment.
 */
export function initialConfig(
  options: { readonly schema?: string; readonly worker?: string } = {},
): string {
  const { worker } = options;
  const mark = worker === undefined ? "# " : "";
  return `${schemaLine(options.schema ?? DEFAULT_CONFIG_SCHEMA)}
apiVersion: ${API_VERSION}
kind: Config
manifests: manifests
environments:
  local:
    endpoint: http://127.0.0.1:8787    # shardctl dev
  ${mark}production:
  ${mark}  endpoint: https://${worker ?? "shardctl"}.example.workers.dev${worker === undefined ? "" : "    # the address that wrangler deploy prints"}
  ${mark}  tokenVariable: ${DEFAULT_TOKEN_VARIABLE}      # the environment variable that holds the token
defaultEnvironment: local
`;
}

export interface FirstManifest {
  readonly schema?: string;
  /** Name of the namespace. Default `example`. */
  readonly name?: string;
  /** Durable Object binding. Default `EXAMPLE`. */
  readonly object?: string;
}

const COMMENT_COLUMN = 31;

/** The text of a first manifest. */
export function initialManifest({
  schema,
  name = "example",
  object = "EXAMPLE",
}: FirstManifest = {}): string {
  const nameLine = `  name: ${plainOrQuoted(name)}`.padEnd(COMMENT_COLUMN);
  const objectLine = `  object: ${plainOrQuoted(object)}`.padEnd(COMMENT_COLUMN);
  return `${schemaLine(schema ?? DEFAULT_NAMESPACE_SCHEMA)}
apiVersion: ${API_VERSION}
kind: ${NAMESPACE_KIND}
metadata:
${nameLine}  # the name of the root object
  # labels: { team: checkout }   # free labels, shown in reports
spec:
${objectLine}  # the Durable Object binding whose class holds this namespace
  strategy: hash                 # hash | range | roundRobin | custom | none (none = unsharded)
  shardKey: id                   # a column, or a path below a JSON column: data.customer.id
  count: 4                       # 1..1000
  policy:
    maxSkew: 1.5                 # max/average rows; above it the namespace has drifted
    selfHeal: alert              # off | alert | apply
    # windows: [{ start: "0 2 * * 1-5", duration: 2h, timezone: Europe/Berlin }]
    # budget: { rows: 5000000 }  # an action above it is blocked, not truncated
  # environments:
  #   staging: { count: 2 }      # merged over spec; null removes an option
`;
}

/** A name that YAML would read as another value. */
function plainOrQuoted(text: string): string {
  return /^(null|true|false)$/i.test(text) ? JSON.stringify(text) : text;
}
