/**
 * The state of reconciliation in a map, copied at every read and write, so that nothing is shared
 * that a database would not share.
 */
import type { EnvironmentState } from "../../../src/reconcile/environment-state.ts";
import type { NamespaceState } from "../../../src/reconcile/namespace-state.ts";
import type { ReconcileStore, StoredDigest } from "../../../src/reconcile/ports.ts";
import type { NamespaceRef } from "../../../src/model/live.ts";

interface Row extends Pick<
  NamespaceState,
  "name" | "object" | "dueAt" | "pass" | "specDigest" | "silences" | "rows"
> {
  readonly isPending: boolean;
  readonly isAwaiting: boolean;
  readonly body: string;
}

export class MemoryStore implements ReconcileStore {
  #environment: string | null = null;
  readonly #rows = new Map<string, Row>();
  writes = 0;
  /** States that were read by name. */
  reads = 0;

  readEnvironment(): EnvironmentState | null {
    return this.#environment === null ? null : (JSON.parse(this.#environment) as EnvironmentState);
  }

  writeEnvironment(state: EnvironmentState): void {
    this.#environment = JSON.stringify(state);
  }

  read(ref: NamespaceRef): NamespaceState | null {
    const row = this.#rows.get(keyOf(ref));
    return row === undefined ? null : bodyOf(row);
  }

  readDeclared(name: string): NamespaceState | null {
    this.reads++;
    const row = this.#find((one) => one.name === name && one.specDigest !== null)[0];
    return row === undefined ? null : bodyOf(row);
  }

  write(states: readonly NamespaceState[]): void {
    for (const state of states) {
      this.writes++;
      const { name, object, dueAt, pass, specDigest, silences, rows } = state;
      const row = {
        name,
        object,
        dueAt,
        pass,
        specDigest,
        silences,
        rows,
        isPending: state.pending !== null,
        isAwaiting: state.held?.isApplied === false,
      };
      this.#rows.set(keyOf(state), { ...row, body: JSON.stringify(state) });
    }
  }

  remove(ref: NamespaceRef): void {
    this.#rows.delete(keyOf(ref));
  }

  due(pass: number, dueBy: number, dueAfter: number, limit: number): NamespaceState[] {
    return this.#find((row) => row.pass < pass && (row.dueAt <= dueBy || row.dueAt > dueAfter))
      .toSorted((left, right) => left.dueAt - right.dueAt || (left.name < right.name ? -1 : 1))
      .slice(0, limit)
      .map(bodyOf);
  }

  pending(): NamespaceState[] {
    return this.#find(({ isPending }) => isPending)
      .toSorted((left, right) => (left.name < right.name ? -1 : 1))
      .map(bodyOf);
  }

  hasAwaiting(): boolean {
    return this.#find(({ isAwaiting }) => isAwaiting).length > 0;
  }

  digests(): StoredDigest[] {
    return [...this.#rows.values()].map((row) => ({
      name: row.name,
      object: row.object,
      specDigest: row.specDigest,
      labels: bodyOf(row).spec?.labels ?? null,
    }));
  }

  *all(): Generator<NamespaceState> {
    for (const key of [...this.#rows.keys()].toSorted()) {
      const row = this.#rows.get(key);
      if (row) yield bodyOf(row);
    }
  }

  totals(): { managed: number; rows: number; unreadable: number } {
    const managed = this.#find(({ specDigest }) => specDigest !== null);
    return {
      managed: managed.length,
      rows: managed.reduce((sum, { rows }) => sum + rows, 0),
      unreadable: this.#find(({ silences }) => silences > 0).length,
    };
  }

  #find(isWanted: (row: Row) => boolean): Row[] {
    return [...this.#rows.values()].filter((row) => isWanted(row));
  }
}

function bodyOf({ body }: Row): NamespaceState {
  return JSON.parse(body) as NamespaceState;
}

function keyOf({ name, object }: NamespaceRef): string {
  return `${name}\n${object}`;
}
