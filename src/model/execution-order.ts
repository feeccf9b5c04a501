/**
 * The order in which namespaces change: dependencies first, and by name among those that are ready.
 */
import type { NamespaceSpec } from "./spec.ts";

export interface ExecutionOrder {
  /** Names of the namespaces, each after all that it depends on. */
  readonly names: readonly string[];
  /** Reason that keeps a namespace out of the order: an undeclared dependency, or a cycle. */
  readonly faults: ReadonlyMap<string, string>;
}

/**
 * Orders by Kahn's algorithm, taking the smallest ready name each time, so that one set of specs
 * has one order.
 */
export function orderByDependency(specs: readonly NamespaceSpec[]): ExecutionOrder {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const waiting = new Map<string, number>();
  const dependents = new Map<string, string[]>();
  const faults = new Map<string, string>();
  for (const spec of specs) {
    const known = new Set(spec.dependsOn.filter((name) => byName.has(name)));
    const unknown = spec.dependsOn.filter((name) => !byName.has(name));
    if (unknown.length > 0)
      faults.set(
        spec.name,
        `spec.dependsOn names ${unknown.join(", ")}, which no manifest declares: declare it or remove it`,
      );
    waiting.set(spec.name, known.size);
    for (const name of known) dependents.set(name, [...(dependents.get(name) ?? []), spec.name]);
  }
  const ready = new NameHeap([...waiting].flatMap(([name, count]) => (count === 0 ? [name] : [])));
  const names: string[] = [];
  for (let name = ready.take(); name !== undefined; name = ready.take()) {
    names.push(name);
    for (const dependent of dependents.get(name) ?? []) {
      const left = (waiting.get(dependent) ?? 0) - 1;
      waiting.set(dependent, left);
      if (left === 0) ready.add(dependent);
    }
  }
  for (const [name, left] of waiting) {
    if (left > 0)
      faults.set(
        name,
        "spec.dependsOn goes round in a circle, or leads into one: remove one dependency",
      );
  }
  return { names, faults };
}

/** A binary heap of names, smallest first. */
class NameHeap {
  readonly #names: string[];

  constructor(names: string[]) {
    // A sorted list is a heap already.
    this.#names = names.toSorted();
  }

  add(name: string): void {
    let at = this.#names.push(name) - 1;
    for (
      let parent = (at - 1) >> 1;
      at > 0 && this.#at(at) < this.#at(parent);
      parent = (at - 1) >> 1
    ) {
      this.#swap(at, parent);
      at = parent;
    }
  }

  take(): string | undefined {
    const smallest = this.#names[0];
    const last = this.#names.pop();
    if (last === undefined || this.#names.length === 0) return smallest;
    this.#names[0] = last;
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#names.length && this.#at(child) < this.#at(least)) least = child;
      }
      if (least === at) return smallest;
      this.#swap(at, least);
      at = least;
    }
  }

  #at(index: number): string {
    return this.#names[index] ?? "";
  }

  #swap(left: number, right: number): void {
    [this.#names[left], this.#names[right]] = [this.#at(right), this.#at(left)];
  }
}
