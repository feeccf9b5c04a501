/**
 * Decides which manifests an environment follows after an import: those that were read last, whole.
 * A declaration of one side beside those of the other would bring back what Git has removed.
 *
 * | the file's look | here           | in the file    | then follows the manifests of |
 * |-----------------|----------------|----------------|-------------------------------|
 * | newer           | anything       | some declared  | the file                      |
 * | newer           | anything       | none declared  | here                          |
 * | older           | some declared  | anything       | here                          |
 * | older           | none declared  | anything       | the file                      |
 *
 * In the last row those at the head could not be followed: the last good state is the file's.
 */
import type { NamespaceRef } from "../../../model/live.ts";
import type { NamespaceState } from "../../../reconcile/namespace-state.ts";
import type { StateStore } from "../../../reconcile/state-store.ts";

type Declaration = Pick<NamespaceState, "spec" | "held" | "specDigest" | "shapeDigest">;

const NOT_DECLARED: Declaration = { spec: null, held: null, specDigest: null, shapeDigest: null };

export class FollowedSpecs {
  readonly #store: StateStore;
  readonly #theirs: ReadonlySet<string>;
  readonly #isTheirs: boolean;

  /**
   * Call before a row of the environment is written.
   *
   * @param theirs namespaces that manifests in the file declare.
   * @param isNewer true when the file's look at the environment is the newer one.
   */
  constructor(store: StateStore, theirs: readonly NamespaceRef[], isNewer: boolean) {
    this.#store = store;
    this.#theirs = new Set(theirs.map(keyOf));
    this.#isTheirs = isNewer ? theirs.length > 0 : store.declared().length === 0;
  }

  /** The state with what is followed of the namespace. */
  apply(
    state: NamespaceState,
    ours: NamespaceState | null,
    theirs: NamespaceState,
  ): NamespaceState {
    return follow(state, this.#isTheirs ? theirs : (ours ?? NOT_DECLARED));
  }

  /** Call when all rows of the file are there. */
  end(): void {
    if (!this.#isTheirs) return;
    for (const ref of this.#store.declared()) {
      const state = this.#theirs.has(keyOf(ref)) ? null : this.#store.read(ref);
      if (state !== null) this.#store.write([follow(state, NOT_DECLARED)]);
    }
    // Manifests that could not be followed are read once more, though nothing has moved.
    const environment = this.#store.readEnvironment();
    if (environment !== null && this.#theirs.size > 0)
      this.#store.writeEnvironment({ ...environment, treeSha: null });
  }
}

/** Forgets decisions made under another declaration, as when manifests change. */
function follow(
  state: NamespaceState,
  { spec, held = null, specDigest, shapeDigest }: Declaration,
): NamespaceState {
  const followed = { ...state, spec, held, specDigest, shapeDigest };
  return state.specDigest === specDigest
    ? followed
    : { ...followed, pending: null, dueAt: 0, attempts: null, heals: [] };
}

function keyOf({ name, object }: NamespaceRef): string {
  return JSON.stringify([name, object]);
}
