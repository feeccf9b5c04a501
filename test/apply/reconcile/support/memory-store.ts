/** The state of reconciliation in a map, copied at every read and write, so that nothing is shared that a database would not share. */
import type { EnvironmentState } from "../../../../src/apply/reconcile/environment-state.ts";
import type { NamespaceState } from "../../../../src/apply/reconcile/namespace-state.ts";
import type { ReconcileStore, StoredDigest } from "../../../../src/apply/reconcile/ports.ts";
import type { NamespaceRef } from "../../../../src/core/live.ts";

export class MemoryStore implements ReconcileStore {
  #environment: string | null = null;
  readonly #rows = new Map<string, string>();
  writes = 0;

  readEnvironment(): EnvironmentState | null {
    return this.#environment === null ? null : (JSON.parse(this.#environment) as EnvironmentState);
  }

  writeEnvironment(state: EnvironmentState): void {
    this.#environment = JSON.stringify(state);
  }

  read(ref: NamespaceRef): NamespaceState | null {
    const row = this.#rows.get(keyOf(ref));
    return row === undefined ? null : (JSON.parse(row) as NamespaceState);
  }

  write(states: readonly NamespaceState[]): void {
    for (const state of states) {
      this.writes++;
      this.#rows.set(keyOf(state), JSON.stringify(state));
    }
  }

  remove(ref: NamespaceRef): void {
    this.#rows.delete(keyOf(ref));
  }

  due(pass: number, dueBy: number, dueAfter: number, limit: number): NamespaceState[] {
    return [...this.all()]
      .filter((state) => state.pass < pass && (state.dueAt <= dueBy || state.dueAt > dueAfter))
      .toSorted((left, right) => left.dueAt - right.dueAt || (left.name < right.name ? -1 : 1))
      .slice(0, limit);
  }

  pending(): NamespaceState[] {
    return [...this.all()].filter(({ pending }) => pending !== null);
  }

  digests(): StoredDigest[] {
    return [...this.all()].map(({ name, object, specDigest }) => ({ name, object, specDigest }));
  }

  *all(): Generator<NamespaceState> {
    for (const key of [...this.#rows.keys()].toSorted()) yield JSON.parse(this.#rows.get(key) ?? "") as NamespaceState;
  }

  totals(): { managed: number; rows: number; unreadable: number } {
    const states = [...this.all()];
    const managed = states.filter(({ spec }) => spec !== null);
    return {
      managed: managed.length,
      rows: managed.reduce((sum, { rows }) => sum + rows, 0),
      unreadable: states.filter(({ silences }) => silences > 0).length,
    };
  }
}

function keyOf({ name, object }: NamespaceRef): string {
  return `${name}\n${object}`;
}
