/**
 * Errors of manifests, and the limits that a manifest set must keep. Errors are values: they are
 * collected over all files and sorted, never thrown. A message names the value found, what is
 * allowed, and the way out; it never carries more than a few dozen characters of the file.
 */
import { compareText } from "../model/compare-text.ts";

/**
 * A file as read: its path as people know it (relative to the repository), and its text or bytes.
 */
export interface ManifestFile {
  readonly path: string;
  readonly text: string | Uint8Array;
}

/**
 * Stable words for programs.
 *
 * `binary` not UTF-8 text · `limit` too large, too deep or too many · `syntax` not YAML ·
 * `unsupported` YAML that is refused (tags, merge keys, cyclic aliases), and a path with control
 * characters · `duplicateKey` ·
 * `unknownKey` · `missing` · `invalid` a value out of its range or type · `version` wrong
 * `apiVersion` or `kind` · `strategy` an option that does not fit the strategy · `splitPoints` ·
 * `duplicateNamespace` · `dependsOn` · `environment` an override for an environment that the config
 * does not know.
 */
export type ManifestErrorKind =
  | "binary"
  | "limit"
  | "syntax"
  | "unsupported"
  | "duplicateKey"
  | "unknownKey"
  | "missing"
  | "invalid"
  | "version"
  | "strategy"
  | "splitPoints"
  | "duplicateNamespace"
  | "dependsOn"
  | "environment";

/** A place in a file, 1-based; columns count UTF-16 units, as editors do. */
export interface SourcePlace {
  readonly line: number;
  readonly column: number;
}

/** One error. `line` and `column` are 1-based and point at the offending key or value. */
export interface ManifestError extends SourcePlace {
  readonly file: string;
  readonly message: string;
  readonly kind: ManifestErrorKind;
}

/** Largest file, in bytes of UTF-8. */
export const FILE_BYTES_MAX = 1_048_576;
/** Most namespaces in one set of manifests. */
export const NAMESPACES_MAX = 50_000;
/** Deepest nesting of lists and maps. */
export const NESTING_MAX = 32;
/**
 * Most tokens of one file, one for each of its bytes: scalars and punctuation, the space between
 * them too.
 */
export const FILE_TOKENS_MAX = 1_048_576;
/** Most tokens of one document, which is held whole: a map of 20 environments has some 1,000. */
export const DOCUMENT_TOKENS_MAX = 262_144;
/** Most tokens of all the files together that somebody has written who may not write here. */
export const STRANGER_TOKENS_MAX = 65_536;
/** Most tokens of a config. */
export const CONFIG_TOKENS_MAX = 65_536;
/** Most errors of syntax after which a file is still read on. */
export const SYNTAX_ERRORS_MAX = 100;
/** Most values that aliases may add to one document. */
export const ALIASED_VALUES_MAX = 10_000;
/** Most errors listed of one file; one more line says how many are not listed. */
export const FILE_ERRORS_MAX = 1_000;

/** Order of report: file, line, column, message. */
function compareErrors(left: ManifestError, right: ManifestError): number {
  return (
    compareText(left.file, right.file) ||
    left.line - right.line ||
    left.column - right.column ||
    compareText(left.message, right.message)
  );
}

/** Sorts, and drops what would be read twice: the same message at the same place. */
export function sortErrors(errors: readonly ManifestError[]): ManifestError[] {
  const sorted = errors.toSorted(compareErrors);
  return sorted.filter((error, index) => {
    const previous = sorted[index - 1];
    return previous === undefined || compareErrors(previous, error) !== 0;
  });
}
