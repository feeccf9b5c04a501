/**
 * `shardctl/manifest`: schemas and parser of manifests, for shardctl and for people's own tooling.
 * Pure: takes text, gives values.
 */
export {
  type Config,
  type ConfigEnvironment,
  type ParsedConfig,
  parseConfig,
} from "./parse-config.ts";
export {
  ERROR_FORMATS,
  type ErrorFormat,
  type ErrorReport,
  formatErrors,
} from "./format-errors.ts";
export { DEFAULT_CONFIG_SCHEMA, initialConfig, initialManifest } from "./initial-files.ts";
export { type JsonSchemaFile, jsonSchemas } from "./json-schemas.ts";
export {
  FILE_BYTES_MAX,
  type ManifestError,
  type ManifestErrorKind,
  type ManifestFile,
  NAMESPACES_MAX,
  NESTING_MAX,
  type SourcePlace,
} from "./manifest-error.ts";
export { CONFIG_KIND, configSchema } from "./config-schema.ts";
export { API_VERSION, NAMESPACE_KIND, namespaceSchema } from "./namespace-schema.ts";
export {
  DEFAULT_ENVIRONMENT,
  type ParseOptions,
  type ParsedManifests,
  parseManifests,
} from "./parse-manifests.ts";
export { DEFAULT_NAMESPACE_SCHEMA, type RenderOptions, renderManifest } from "./render-manifest.ts";
export type { DesiredState, NamespaceSpec, Policy, SourcePosition, Window } from "../model/spec.ts";
