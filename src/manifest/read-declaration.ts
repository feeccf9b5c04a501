/**
 * Reads one `Namespace` document: its name, its base options and the merged options of each
 * environment, with all errors.
 */
import { mergeOverride } from "./build-spec.ts";
import { type SpecFault, type SpecView, checkSpec } from "./check-spec.ts";
import { checkHeader, explainIssues } from "./explain-issues.ts";
import { nameFault } from "./fields.ts";
import type { ManifestError } from "./manifest-error.ts";
import { API_VERSION, NAMESPACE_KIND, namespaceSchema } from "./namespace-schema.ts";
import {
  type NodePath,
  type YamlDocument,
  errorAt,
  hasPath,
  keyOffset,
  valueOffset,
} from "./yaml-node.ts";

export interface Declaration {
  readonly document: YamlDocument;
  /** Null when the document has no usable name. */
  readonly name: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly base: SpecView;
  readonly environments: ReadonlyMap<string, SpecView>;
}

export interface ReadDeclaration {
  /** Null when the document is no namespace at all. */
  readonly declaration: Declaration | null;
  readonly errors: readonly ManifestError[];
}

/** Where `spec` begins, or the override of an environment. */
export function specPath(environment: string | null): NodePath {
  return environment === null ? ["spec"] : ["spec", "environments", environment];
}

export function readDeclaration(document: YamlDocument): ReadDeclaration {
  const header = checkHeader(document, API_VERSION, NAMESPACE_KIND);
  if (header.length > 0) return { declaration: null, errors: header };
  const { value } = document.root;
  const parsed = namespaceSchema.safeParse(value);
  const { errors, broken } = parsed.success
    ? NOTHING_WRONG
    : explainIssues(document, namespaceSchema, parsed.error.issues);
  const { metadata, spec } = value as { readonly metadata: unknown; readonly spec: unknown };
  const base = viewOf(spec, broken, ["spec"]);
  const environments = new Map<string, SpecView>();
  const found = [...errors, ...explainFaults(document, null, checkSpec(base))];
  const known = new Set(checkSpec(base).map((fault) => fault.message));
  for (const [name, override] of Object.entries(mapOf(mapOf(spec)["environments"]))) {
    const merged = mergeOverride(base, viewOf(override, broken, specPath(name)));
    environments.set(name, merged);
    const faults = checkSpec(merged).filter((fault) => !known.has(fault.message));
    found.push(...explainFaults(document, name, faults));
  }
  const { name, labels } = mapOf(metadata);
  const usable = typeof name === "string" && nameFault(name) === null;
  const declaration: Declaration = {
    document,
    name: usable ? name : null,
    labels: mapOf(labels) as Readonly<Record<string, string>>,
    base,
    environments,
  };
  return { declaration, errors: found };
}

const NOTHING_WRONG: {
  readonly errors: readonly ManifestError[];
  readonly broken: readonly NodePath[];
} = {
  errors: [],
  broken: [],
};

/** The options at a path that have no error of their own. */
function viewOf(value: unknown, brokenPaths: readonly NodePath[], at: NodePath): SpecView {
  const broken = new Set<string>();
  for (const path of brokenPaths) {
    const option = path[at.length];
    if (
      option !== undefined &&
      option !== "environments" &&
      at.every((part, index) => path[index] === part)
    )
      broken.add(String(option));
  }
  const options = Object.entries(mapOf(value)).filter(
    ([key]) => key !== "environments" && !broken.has(key),
  );
  return { options: Object.fromEntries(options), broken };
}

function mapOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** Places faults of a spec; of an environment, at the override's own position. */
function explainFaults(
  document: YamlDocument,
  environment: string | null,
  faults: readonly SpecFault[],
): ManifestError[] {
  const root = specPath(environment);
  return faults.map((fault) => {
    const path = fault.paths
      .map((below) => [...root, ...below])
      .find((candidate) => hasPath(document, candidate));
    const atKey = fault.atKey || path === undefined;
    const offset = atKey ? keyOffset(document, path ?? root) : valueOffset(document, path);
    const prefix = environment === null ? "" : `In environment ${environment}: `;
    return errorAt(
      document,
      offset,
      fault.kind,
      prefix + fault.message + inheritedHint(document, environment, fault),
    );
  });
}

/** Split points that an environment inherits cannot be left out there: only null removes them. */
function inheritedHint(
  document: YamlDocument,
  environment: string | null,
  fault: SpecFault,
): string {
  const isInherited =
    environment !== null &&
    fault.kind === "splitPoints" &&
    !hasPath(document, [...specPath(environment), "splitPoints"]);
  return isInherited ? " Those of spec are inherited: set splitPoints here too, or to null." : "";
}
