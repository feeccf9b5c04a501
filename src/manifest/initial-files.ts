/** What `shardctl init` writes: a config and a first manifest that validate and show the options. */
import { DEFAULT_TOKEN_VARIABLE } from "./config-schema.ts";
import { API_VERSION, NAMESPACE_KIND } from "./namespace-schema.ts";
import { DEFAULT_NAMESPACE_SCHEMA, schemaLine } from "./render-manifest.ts";

/** Where editors find the config's schema from the root of a project that has the package installed. */
export const DEFAULT_CONFIG_SCHEMA = "./node_modules/shardctl/schemas/config.schema.json";

/** The text of a first `shardctl.yaml`. */
export function initialConfig(options: { readonly schema?: string } = {}): string {
  return `${schemaLine(options.schema ?? DEFAULT_CONFIG_SCHEMA)}
apiVersion: ${API_VERSION}
kind: Config
manifests: manifests
environments:
  local:
    endpoint: http://127.0.0.1:8787    # shardctl dev
  # production:
  #   endpoint: https://shardctl.example.workers.dev
  #   tokenVariable: ${DEFAULT_TOKEN_VARIABLE}      # the environment variable that holds the token
defaultEnvironment: local
`;
}

/** The text of a first manifest. */
export function initialManifest(options: { readonly schema?: string } = {}): string {
  return `${schemaLine(options.schema ?? DEFAULT_NAMESPACE_SCHEMA)}
apiVersion: ${API_VERSION}
kind: ${NAMESPACE_KIND}
metadata:
  name: example                  # the name of the root object
  # labels: { team: checkout }   # free labels, shown in reports
spec:
  object: EXAMPLE                # the Durable Object binding whose class holds this namespace
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
