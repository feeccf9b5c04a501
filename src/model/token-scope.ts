/**
 * The environments and namespaces that a token holds for, and how these travel to stores that list
 * what somebody may see. Pure.
 */
import type { NamespaceRef } from "./live.ts";

/** Of one token; a part that is null leaves that side open. */
export interface TokenScope {
  readonly environments: readonly string[] | null;
  /** By name, whatever their binding; null together with `labels` for all. */
  readonly namespaces: readonly string[] | null;
  /** Namespaces whose merged manifest has all of these labels. */
  readonly labels: Readonly<Record<string, string>> | null;
}

/** A namespace as an environment declares it. */
export interface DeclaredRef extends NamespaceRef {
  readonly environment: string;
}

/** A namespace that a list may show. */
export interface VisibleRef extends DeclaredRef {
  /**
   * True where its environment knows another namespace of this name, behind another binding, that
   * may not be shown: what tells of a name alone may be about that one.
   */
  readonly isShared: boolean;
}

/** Namespaces that a list may show: JSON-safe, labels resolved to namespaces. */
export interface VisibleNames {
  /** Null for all. */
  readonly environments: readonly string[] | null;
  /** Null for all; else these, in any environment above, and those of `declared`. */
  readonly names: readonly string[] | null;
  readonly declared: readonly VisibleRef[];
}

/** The same of one environment. */
export interface VisibleThere {
  /** Behind any binding. */
  readonly names: readonly string[];
  readonly refs: readonly NamespaceRef[];
}

export function isVisibleEnvironment(
  visible: Pick<VisibleNames, "environments"> | null,
  environment: string,
): boolean {
  return visible === null || (visible.environments?.includes(environment) ?? true);
}

/** @param ref null for what concerns the environment as a whole. */
export function isVisible(
  visible: VisibleNames | null,
  environment: string,
  ref: NamespaceRef | null,
): boolean {
  if (visible === null) return true;
  if (!isVisibleEnvironment(visible, environment)) return false;
  if (visible.names === null) return true;
  if (ref === null) return false;
  const { name, object } = ref;
  const { names, declared } = setsOf(visible);
  return names.has(name) || declared.has(JSON.stringify([environment, name, object]));
}

/** The same to look up in: a report asks for each of thousands of namespaces. */
interface VisibleSets {
  readonly names: ReadonlySet<string>;
  readonly declared: ReadonlySet<string>;
}

const SETS = new WeakMap<VisibleNames, VisibleSets>();

function setsOf(visible: VisibleNames): VisibleSets {
  const known = SETS.get(visible);
  if (known !== undefined) return known;
  const sets = {
    names: new Set(visible.names),
    declared: new Set(
      visible.declared.map(({ environment, name, object }) =>
        JSON.stringify([environment, name, object]),
      ),
    ),
  };
  SETS.set(visible, sets);
  return sets;
}

/** Returns the namespaces of one environment that may be shown; null for all. */
export function visibleIn(visible: VisibleNames | null, environment: string): VisibleThere | null {
  if (visible === null || visible.names === null) return null;
  const refs = visible.declared.filter((one) => one.environment === environment);
  return { names: visible.names, refs: refs.map(({ name, object }) => ({ name, object })) };
}
