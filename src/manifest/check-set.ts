/**
 * Checks the rules between the declarations of a set: unique names, and dependencies that exist
 * and form no cycle.
 */
import { compareText } from "../model/compare-text.ts";
import { formatPath, quoteValue } from "./describe-value.ts";
import type { ManifestError } from "./manifest-error.ts";
import { normalizeName } from "./normalize-name.ts";
import { type Declaration, specPath } from "./read-declaration.ts";
import { suggestWord } from "../model/suggest.ts";
import { errorAt, hasPath, keyOffset, valueOffset } from "./yaml-node.ts";

/** Names that unknown ones are compared with in one set: above it, an error suggests nothing. */
const COMPARISONS_MAX = 100_000;

type Named = Declaration & { readonly name: string };

/**
 * Checks a whole set. `complete` is false when some document could not be read: a dependency may
 * then be in it, and is not called unknown. `knownEnvironments` null means that any may be
 * overridden.
 */
export function checkSet(
  declarations: readonly Declaration[],
  complete: boolean,
  knownEnvironments: readonly string[] | null,
): ManifestError[] {
  const errors: ManifestError[] = [];
  const byName = new Map<string, Named>();
  const byForm = new Map<string, Named>();
  for (const declaration of declarations) {
    if (!isNamed(declaration)) continue;
    const first = byForm.get(normalizeName(declaration.name));
    if (first === undefined) {
      byName.set(declaration.name, declaration);
      byForm.set(normalizeName(declaration.name), declaration);
    } else errors.push(duplicateError(first, declaration));
  }
  const isComplete = complete && declarations.every(isNamed);
  const names = [...byName.keys()];
  let comparisons = COMPARISONS_MAX;
  const suggest = (word: string): string | null => {
    comparisons -= names.length;
    return comparisons < 0 ? null : suggestWord(word, names);
  };
  for (const declaration of declarations) {
    for (const environment of [null, ...declaration.environments.keys()]) {
      if (isComplete) errors.push(...checkDependencies(declaration, environment, byName, suggest));
      if (
        environment !== null &&
        knownEnvironments !== null &&
        !knownEnvironments.includes(environment)
      ) {
        errors.push(environmentError(declaration, environment, knownEnvironments));
      }
    }
  }
  return [...errors, ...checkCycles(byName)];
}

function isNamed(declaration: Declaration): declaration is Named {
  return declaration.name !== null;
}

function nameOffset(declaration: Declaration): number {
  return valueOffset(declaration.document, ["metadata", "name"]);
}

function duplicateError(first: Named, second: Named): ManifestError {
  const { file, placeAt } = first.document;
  const place = `${file}:${placeAt(nameOffset(first)).line}`;
  const form = first.name === second.name ? "" : " in another form, which people cannot tell apart";
  const message = `The namespace ${quoteValue(second.name)} is already declared at ${place}${form}. Keep one of the two.`;
  return errorAt(second.document, nameOffset(second), "duplicateNamespace", message);
}

function checkDependencies(
  declaration: Declaration,
  environment: string | null,
  byName: ReadonlyMap<string, Named>,
  suggest: (name: string) => string | null,
): ManifestError[] {
  const { document } = declaration;
  const path = [...specPath(environment), "dependsOn"];
  if (!hasPath(document, path)) return [];
  const errors: ManifestError[] = [];
  for (const [index, name] of dependenciesOf(declaration, environment).entries()) {
    if (byName.has(name)) continue;
    const near = suggest(name);
    const hint =
      near === null ? "Declare it, or remove it here." : `Did you mean ${quoteValue(near)}?`;
    const message = `${formatPath([...path, index])} names ${quoteValue(name)}, which no manifest declares. ${hint}`;
    errors.push(errorAt(document, valueOffset(document, [...path, index]), "dependsOn", message));
  }
  return errors;
}

function environmentError(
  declaration: Declaration,
  environment: string,
  known: readonly string[],
): ManifestError {
  const { document } = declaration;
  const near = suggestWord(environment, known);
  const hint = near === null ? "" : ` Did you mean ${quoteValue(near)}?`;
  const list = known.length === 0 ? "It has no environments." : `Known: ${known.join(", ")}.`;
  const message = `The config has no environment ${quoteValue(environment)}.${hint} ${list}`;
  return errorAt(document, keyOffset(document, specPath(environment)), "environment", message);
}

function dependenciesOf(declaration: Declaration, environment: string | null): readonly string[] {
  const view =
    environment === null
      ? declaration.base
      : (declaration.environments.get(environment) ?? declaration.base);
  return view.options.dependsOn ?? [];
}

/** Each of them is a search through the whole set. */
const ORDERED_ENVIRONMENTS_MAX = 100;

/** Cycles of the base, then those that only an environment has. */
function checkCycles(byName: ReadonlyMap<string, Named>): ManifestError[] {
  const overriding = new Set<string>();
  for (const { document, environments } of byName.values()) {
    for (const name of environments.keys()) {
      if (!hasPath(document, [...specPath(name), "dependsOn"])) continue;
      overriding.add(name);
      if (overriding.size > ORDERED_ENVIRONMENTS_MAX) {
        const offset = keyOffset(document, specPath(name));
        const message = `The manifests override dependsOn in more than ${ORDERED_ENVIRONMENTS_MAX} environments; its cycles were not looked for.`;
        return [errorAt(document, offset, "limit", message)];
      }
    }
  }
  const known = new Set<string>();
  const errors: ManifestError[] = [];
  for (const environment of [null, ...[...overriding].toSorted(compareText)]) {
    for (const cycle of findCycles(byName, environment)) {
      const shown = showCycle(cycle);
      if (environment === null) known.add(shown);
      else if (known.has(shown)) continue;
      errors.push(cycleError(byName, cycle, environment, shown));
    }
  }
  return errors;
}

/**
 * Names of one cycle, each depending on the next and the last on the first. Begins with the
 * smallest name.
 */
type Cycle = readonly string[];

/** One cycle for each dependency that closes one, found depth-first without recursion. */
function findCycles(byName: ReadonlyMap<string, Named>, environment: string | null): Cycle[] {
  const cycles: Cycle[] = [];
  const done = new Set<string>();
  for (const start of [...byName.keys()].toSorted(compareText)) {
    if (done.has(start)) continue;
    const path: { readonly name: string; readonly next: readonly string[]; at: number }[] = [];
    const depths = new Map<string, number>();
    const enter = (name: string): void => {
      const declaration = byName.get(name);
      depths.set(name, path.length);
      path.push({
        name,
        next: declaration === undefined ? [] : dependenciesOf(declaration, environment),
        at: 0,
      });
    };
    enter(start);
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.next[top.at++];
      if (next === undefined) {
        done.add(top.name);
        depths.delete(top.name);
        path.pop();
        continue;
      }
      const depth = depths.get(next);
      if (depth !== undefined) cycles.push(rotate(path.slice(depth).map((step) => step.name)));
      else if (!done.has(next)) enter(next);
    }
  }
  return cycles;
}

function rotate(names: readonly string[]): Cycle {
  const smallest = names.toSorted(compareText)[0] ?? "";
  const at = names.indexOf(smallest);
  return [...names.slice(at), ...names.slice(0, at)];
}

const CYCLE_NAMES_SHOWN_MAX = 10;

function showCycle(cycle: Cycle): string {
  const names = cycle.map((name) => (/^[\w.-]{1,60}$/u.test(name) ? name : quoteValue(name)));
  const shown =
    names.length > CYCLE_NAMES_SHOWN_MAX
      ? [...names.slice(0, CYCLE_NAMES_SHOWN_MAX), `… (${names.length} names)`]
      : names;
  return [...shown, names[0] ?? ""].join(" → ");
}

/** Stands at the dependency of the first name that states it in this environment. */
function cycleError(
  byName: ReadonlyMap<string, Named>,
  cycle: Cycle,
  environment: string | null,
  shown: string,
): ManifestError {
  const stated = cycle.flatMap((name, index) => {
    const declaration = byName.get(name);
    if (declaration === undefined) return [];
    const at = dependenciesOf(declaration, environment).indexOf(
      cycle[(index + 1) % cycle.length] ?? "",
    );
    const path = [...specPath(environment), "dependsOn", at];
    return hasPath(declaration.document, path) ? [{ declaration, path }] : [];
  })[0];
  if (stated === undefined)
    throw new Error("A cycle of dependsOn must be stated by one of its manifests");
  const { document } = stated.declaration;
  const prefix = environment === null ? "" : `In environment ${environment}: `;
  const [only] = cycle;
  const said =
    cycle.length === 1
      ? `${quoteValue(only ?? "")} depends on itself. Remove it here.`
      : `dependsOn makes a cycle: ${shown}. Remove one of these.`;
  return errorAt(document, valueOffset(document, stated.path), "dependsOn", prefix + said);
}
