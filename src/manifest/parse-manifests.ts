/**
 * Parses manifests into the desired state of one environment, or every error of every file.
 *
 * Pure: no I/O, no clock. Never throws, whatever the files hold; nothing in them is executed,
 * included or expanded.
 */
import { compareText } from "../model/compare-text.ts";
import type { DesiredState, NamespaceSpec } from "../model/spec.ts";
import { buildSpec } from "./build-spec.ts";
import { checkSet } from "./check-set.ts";
import {
  type ManifestError,
  type ManifestFile,
  NAMESPACES_MAX,
  STRANGER_TOKENS_MAX,
  sortErrors,
} from "./manifest-error.ts";
import { type Declaration, readDeclaration } from "./read-declaration.ts";
import { readText } from "./read-text.ts";
import { capErrors, readYaml } from "./read-yaml.ts";
import { errorAt, valueOffset } from "./yaml-node.ts";

export interface ParseOptions {
  /**
   * Environment whose overrides apply. Null: none, and the state's environment is `default`. One
   * that no manifest names has no overrides.
   */
  readonly environment: string | null;
  /** Commit of the manifests, when known. */
  readonly commit?: string | null;
  /**
   * The environments of the config: an override for any other is an error. Left out: any may be
   * overridden.
   */
  readonly knownEnvironments?: readonly string[];
  /**
   * Paths of files by somebody who may not write here. All of them together may have 65,536 tokens,
   * the files of writers one for each byte.
   */
  readonly strangers?: readonly string[];
}

export interface ParsedManifests {
  /** Null when there is any error. */
  readonly desired: DesiredState | null;
  /**
   * Sorted by file, line, column. The overrides of all environments are checked, not only those of
   * the one asked for.
   */
  readonly errors: readonly ManifestError[];
  /** Every environment that a manifest overrides, sorted. */
  readonly environments: readonly string[];
}

/** Name of `environment: null` in a desired state. */
export const DEFAULT_ENVIRONMENT = "default";

/**
 * Parses and checks a set of manifests, at most 50,000 namespaces in files of at most 1 MiB.
 *
 * Each file holds one or many YAML documents; empty ones are skipped. Errors are values, 1-based
 * positions pointing at the offending key or value.
 */
export function parseManifests(
  files: readonly ManifestFile[],
  options: ParseOptions,
): ParsedManifests {
  const {
    declarations,
    errors: readErrors,
    complete,
  } = readFiles(files, new Set(options.strangers));
  const setErrors = checkSet(declarations, complete, options.knownEnvironments ?? null);
  const errors = sortErrors([...readErrors, ...setErrors]);
  const environments = new Set(
    declarations.flatMap(({ environments: overrides }) => [...overrides.keys()]),
  );
  return {
    desired: errors.length > 0 ? null : buildState(declarations, options),
    errors,
    environments: [...environments].toSorted(compareText),
  };
}

interface ReadFiles {
  readonly declarations: readonly Declaration[];
  readonly errors: readonly ManifestError[];
  /** False when a document may declare something that is not among the declarations. */
  readonly complete: boolean;
}

function readFiles(files: readonly ManifestFile[], strangers: ReadonlySet<string>): ReadFiles {
  let strangerTokens = STRANGER_TOKENS_MAX;
  const declarations: Declaration[] = [];
  const errors: ManifestError[] = [];
  let complete = true;
  for (const file of files) {
    const text = readText(file);
    if (!text.ok) {
      errors.push(text.error);
      complete = false;
      continue;
    }
    const isStranger = strangers.has(file.path);
    const yaml = isStranger
      ? readYaml(file.path, text.text, strangerTokens, STRANGERS_TOO_LONG)
      : readYaml(file.path, text.text);
    if (isStranger) strangerTokens = Math.max(0, strangerTokens - yaml.tokens);
    if (yaml.errors.length > 0) complete = false;
    const found: ManifestError[] = [...yaml.errors];
    for (const document of yaml.documents) {
      const { declaration, errors: documentErrors } = readDeclaration(document);
      found.push(...documentErrors);
      if (declaration === null) {
        complete = false;
        continue;
      }
      if (declarations.length === NAMESPACES_MAX) {
        const limit = NAMESPACES_MAX.toLocaleString("en-US");
        const message = `The manifests declare more than ${limit} namespaces; reading stopped here. Split the set.`;
        const offset = valueOffset(document, ["metadata", "name"]);
        return {
          declarations,
          errors: [...errors, errorAt(document, offset, "limit", message)],
          complete: false,
        };
      }
      declarations.push(declaration);
    }
    errors.push(...capErrors(sortErrors(found)));
  }
  return { declarations, errors, complete };
}

const STRANGERS_TOO_LONG = `The files from a fork have more than ${STRANGER_TOKENS_MAX.toLocaleString("en-US")} tokens (names, values and punctuation) together; reading stopped here. Somebody with write access can propose them from a branch of the repository.`;

function buildState(
  declarations: readonly Declaration[],
  { environment, commit = null }: ParseOptions,
): DesiredState {
  const namespaces = declarations.map((declaration) => buildNamespace(declaration, environment));
  return {
    environment: environment ?? DEFAULT_ENVIRONMENT,
    commit,
    namespaces: namespaces.toSorted((left, right) => compareText(left.name, right.name)),
  };
}

function buildNamespace(
  { document, name, labels, base, environments }: Declaration,
  environment: string | null,
): NamespaceSpec {
  if (name === null) throw new Error("A declaration without errors must have a name");
  const { options } = (environment === null ? undefined : environments.get(environment)) ?? base;
  const place = document.placeAt(valueOffset(document, ["metadata", "name"]));
  return buildSpec(name, labels, options, { file: document.file, ...place });
}
