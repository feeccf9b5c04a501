/**
 * Parses `shardctl.yaml` into a config, or every error in it. Never repeats text that may be a
 * secret.
 */
import {
  CONFIG_KIND,
  DEFAULT_MANIFESTS_FOLDER,
  DEFAULT_TOKEN_VARIABLE,
  type RawConfig,
  configSchema,
  endpointAddress,
  relativeFolder,
} from "./config-schema.ts";
import { quoteValue } from "./describe-value.ts";
import { checkHeader, explainIssues } from "./explain-issues.ts";
import {
  CONFIG_TOKENS_MAX,
  type ManifestError,
  type ManifestFile,
  sortErrors,
} from "./manifest-error.ts";
import { API_VERSION } from "./namespace-schema.ts";
import { readText } from "./read-text.ts";
import { capErrors, readYaml } from "./read-yaml.ts";
import { suggestWord } from "../model/suggest.ts";
import { type NodePath, type YamlDocument, errorAt, valueOffset } from "./yaml-node.ts";

export interface ConfigEnvironment {
  /** Without a trailing slash. */
  readonly endpoint: string;
  /** Name of the environment variable that holds the token. */
  readonly tokenVariable: string;
}

export interface Config {
  /** Folder relative to the config, without a trailing slash; `.` is the config's own. */
  readonly manifests: string;
  readonly environments: Readonly<Record<string, ConfigEnvironment>>;
  /** The one stated, else the only one, else null. */
  readonly defaultEnvironment: string | null;
}

export interface ParsedConfig {
  /** Null when there is any error. */
  readonly config: Config | null;
  readonly errors: readonly ManifestError[];
}

const TOO_LONG = `The config has more than ${CONFIG_TOKENS_MAX.toLocaleString("en-US")} tokens (names, values and punctuation); reading stopped here.`;

/** Parses and checks a config: one YAML document. Never throws. */
export function parseConfig(file: ManifestFile): ParsedConfig {
  const text = readText(file);
  if (!text.ok) return { config: null, errors: [text.error] };
  const { documents, errors } = readYaml(file.path, text.text, CONFIG_TOKENS_MAX, TOO_LONG);
  if (errors.length > 0) return { config: null, errors: capErrors(errors) };
  const [document, second] = documents;
  if (document === undefined) {
    const message = `The config is empty. Begin it with "apiVersion: ${API_VERSION}" and "kind: ${CONFIG_KIND}".`;
    return {
      config: null,
      errors: [{ file: file.path, line: 1, column: 1, message, kind: "missing" }],
    };
  }
  if (second !== undefined) {
    return {
      config: null,
      errors: [
        errorAt(
          second,
          second.root.offset,
          "limit",
          "A config is one document: remove this second one.",
        ),
      ],
    };
  }
  return readConfig(document);
}

function readConfig(document: YamlDocument): ParsedConfig {
  const header = checkHeader(document, API_VERSION, CONFIG_KIND);
  if (header.length > 0) return { config: null, errors: sortErrors(header) };
  const parsed = configSchema.safeParse(document.root.value);
  const errors = parsed.success
    ? []
    : [...explainIssues(document, configSchema, parsed.error.issues, isSecret).errors];
  errors.push(...checkDefault(document));
  if (!parsed.success || errors.length > 0)
    return { config: null, errors: capErrors(sortErrors(errors)) };
  return { config: buildConfig(parsed.data), errors: [] };
}

/** People paste tokens into the one, and addresses with passwords into the other. */
function isSecret(path: NodePath): boolean {
  return path[0] === "environments" && (path[2] === "tokenVariable" || path[2] === "endpoint");
}

function checkDefault(document: YamlDocument): ManifestError[] {
  const { defaultEnvironment, environments } = document.root.value as {
    readonly defaultEnvironment: unknown;
    readonly environments: unknown;
  };
  const isMap =
    typeof environments === "object" && environments !== null && !Array.isArray(environments);
  if (typeof defaultEnvironment !== "string" || (environments !== undefined && !isMap)) return [];
  const known = isMap ? Object.keys(environments) : [];
  if (known.includes(defaultEnvironment)) return [];
  const near = suggestWord(defaultEnvironment, known);
  const hint = near === null ? "" : ` Did you mean ${quoteValue(near)}?`;
  const list =
    known.length === 0
      ? " There are none."
      : ` Known: ${known.map((name) => quoteValue(name).slice(1, -1)).join(", ")}.`;
  const message = `defaultEnvironment names ${quoteValue(defaultEnvironment)}, which is not among environments.${hint}${list}`;
  return [errorAt(document, valueOffset(document, ["defaultEnvironment"]), "environment", message)];
}

function buildConfig(raw: RawConfig): Config {
  const environments = Object.entries(raw.environments ?? {}).map(
    ([name, { endpoint, tokenVariable }]): [string, ConfigEnvironment] => [
      name,
      {
        endpoint: endpointAddress(endpoint) ?? endpoint,
        tokenVariable: tokenVariable ?? DEFAULT_TOKEN_VARIABLE,
      },
    ],
  );
  const [only] = environments;
  return {
    manifests:
      relativeFolder(raw.manifests ?? DEFAULT_MANIFESTS_FOLDER) ?? DEFAULT_MANIFESTS_FOLDER,
    environments: Object.fromEntries(environments),
    defaultEnvironment:
      raw.defaultEnvironment ?? (environments.length === 1 ? (only?.[0] ?? null) : null),
  };
}
