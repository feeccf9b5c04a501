/**
 * The stored plans as the coordinator reads and writes them: decoded, and the first sight of each
 * told to the history.
 */
import { compareText } from "../model/compare-text.ts";
import type { Run } from "../model/api.ts";
import { figuresOf, type ShownFigures } from "../model/count-moved.ts";
import type { NamespaceRef } from "../model/live.ts";
import { isEmptyPlan, type Plan } from "../model/plan.ts";
import {
  guardPolicy,
  policyAfter,
  policyBefore,
  type PolicyChange,
  type PolicyFloors,
  samePolicy,
  stricterPolicy,
} from "../model/policy.ts";
import {
  DEFAULT_POLICY,
  type DesiredState,
  type NamespaceSpec,
  type Policy,
} from "../model/spec.ts";
import { takeChanges, takeHeld, type TextUse } from "./applied-state.ts";
import { PlanTexts } from "./plan-texts.ts";
import type { AppliedRow, PolicyStore } from "./policy-store.ts";
import { findOtherTexts, renewPlan } from "./renew-plan.ts";
import { type CoordinatorStore, decodeJson, encodeJson, type StoredPlan } from "./store.ts";

/** The desired state that a workflow or a person applied last. */
export interface AppliedState {
  /** Of this very state: another one under the same fingerprint has another. */
  readonly id: string;
  readonly desired: DesiredState;
}

/** Somebody who applies a plan. */
export interface Applier {
  /** Name of their token. */
  readonly actor: string;
  /** Names of all namespaces that it holds for; absent for all. */
  readonly holdsFor?: readonly string[];
}

/** The policies that hold beside those that manifests declare. */
export interface PolicyStanding {
  readonly applied: readonly AppliedRow[];
  readonly floors: PolicyFloors;
}

/** A namespace as the merged manifests have it. */
export interface Followed {
  /** As it is declared; null when no manifest declares it. */
  readonly declared: NamespaceSpec | null;
  /** The policy that guards judge by: declared or applied, the stricter value of each field. */
  readonly guarding: Policy | null;
  /**
   * When its own one was last another than before, or came or went, in milliseconds since the Unix
   * epoch; null where nobody knows.
   */
  readonly declaredAt: number | null;
}

/** A stored plan, as steps of its run ask about it. */
export interface OpenPlan {
  readonly plan: Plan;
  /** Null for a namespace that it does not change. */
  readonly guarded: (namespace: string) => NamespaceSpec | null;
}

/** The policies of a run that has succeeded. */
export interface RunPolicies {
  readonly applied: readonly PolicyChange[];
  /** Other manifests were merged meanwhile, and declare something else. */
  readonly takenBack: readonly PolicyChange[];
}

/** A namespace that was read for a plan. */
export interface SeenNamespace extends NamespaceRef {
  /** True when it is or ever was sharded: then its environment remembers it. */
  readonly wasSharded: boolean;
  /** True when the plan declares it; others were read because they were remembered. */
  readonly isDeclared: boolean;
}

/** The calls about stored plans. */
export interface PlanCalls {
  /**
   * A plan that is stored already stays as people were shown it; only its counts are renewed.
   *
   * @param seen what the plan has read: the environment remembers what is or was sharded, and
   * forgets the rest.
   * @param actor who asked for the plan, for the history.
   * @param use for whose applies the desired state counts; `none` by default.
   * @returns the namespaces for which nothing was stored: somebody who may apply everything has had
   * the plan made already, of the same commit and with other labels or files of these.
   */
  put(
    stored: StoredPlan,
    seen: readonly SeenNamespace[],
    actor: string,
    use?: TextUse,
  ): readonly string[];
  /** The plan as UTF-8 JSON; null when it is not stored, or no longer. */
  readBody(fingerprint: string): Uint8Array | null;
  /** The desired state under a stored plan, as UTF-8 JSON. */
  readDesiredBody(fingerprint: string): Uint8Array | null;
  /** The namespaces of the desired state that counts for an apply of this caller. */
  textRefs(fingerprint: string, actor: string): NamespaceRef[];
  /** The same specs with the policies that guards judge the plan by now, as UTF-8 JSON. */
  readGuardedBody(fingerprint: string): Uint8Array | null;
  /** The policies that a plan of the environment is compared with. */
  policies(environment: string): PolicyStanding;
  /** Null when the plan is not stored, or no longer. */
  environmentOf(fingerprint: string): string | null;
  /** Namespaces of one environment, or of all: remembered or declared; sorted by name. */
  listNamespaces(environment: string | null): NamespaceRef[];
}

export interface PlanBookParts {
  readonly storage: DurableObjectStorage;
  readonly store: CoordinatorStore;
  readonly policies: PolicyStore;
  /** The owner's. */
  readonly floors: () => PolicyFloors;
  /** Plans that stay however old they are. */
  readonly keptPlans: () => readonly string[];
  /** Namespaces that the followed manifests of an environment, or of all, declare. */
  readonly declared: (environment: string | null) => readonly NamespaceRef[];
  /** Null for an environment that follows no repository. */
  readonly followed: (environment: string, namespace: string) => Followed | null;
  /**
   * When the environment last followed other manifests than before, in milliseconds since the Unix
   * epoch; null for never.
   */
  readonly followedAt: (environment: string) => number | null;
  /** Told of each plan that is new. */
  readonly onPlan: (plan: Plan, actor: string, now: number) => void;
  /** Told of each plan that is stored where there was none, or another one, and of its basis. */
  readonly onStored: (plan: Plan, desired: DesiredState) => void;
}

/** The counts with which a plan was stored first are everybody's who was shown none since. */
const FIRST = "";

export class PlanBook implements PlanCalls {
  readonly #parts: PlanBookParts;
  readonly #texts: PlanTexts;

  constructor(parts: PlanBookParts) {
    this.#parts = parts;
    this.#texts = new PlanTexts(parts.store);
  }

  /** Null when it is not stored, or no longer. */
  read(fingerprint: string): Plan | null {
    const body = this.readBody(fingerprint);
    return body ? (decodeJson(body) as Plan) : null;
  }

  readBody(fingerprint: string): Uint8Array | null {
    return this.#parts.store.getPlan(fingerprint);
  }

  /** The desired state that the plan was made from. */
  readDesired(fingerprint: string): DesiredState | null {
    const body = this.readDesiredBody(fingerprint);
    return body ? (decodeJson(body) as DesiredState) : null;
  }

  readDesiredBody(fingerprint: string): Uint8Array | null {
    return this.#parts.store.getDesired(fingerprint);
  }

  readGuardedBody(fingerprint: string): Uint8Array | null {
    const specs = this.readGuarded(fingerprint);
    return specs && encodeJson(specs);
  }

  /** The specs under the plan as its guards judge them now; see `open`. */
  readGuarded(fingerprint: string): readonly NamespaceSpec[] | null {
    const opened = this.open(fingerprint);
    const desired = this.readDesired(fingerprint);
    if (opened === null || desired === null) return null;
    return desired.namespaces.map((spec) => opened.guarded(spec.name) ?? spec);
  }

  /**
   * The plan, decoded once, with the specs of what it changes as its guards judge them at the
   * moment of each question: what the plan loosens counts as before, also once it was applied, and
   * what was merged or applied since counts where it is stricter.
   */
  open(fingerprint: string): OpenPlan | null {
    const plan = this.read(fingerprint);
    if (plan === null) return null;
    const changed = new Set(plan.changes.map(({ namespace }) => namespace));
    const specs = new Map(
      this.readDesired(fingerprint)
        ?.namespaces.filter(({ name }) => changed.has(name))
        .map((spec) => [spec.name, spec]),
    );
    const own = new Map(plan.policies?.map((change) => [change.namespace, change]));
    return {
      plan,
      guarded: (namespace) => {
        const spec = specs.get(namespace);
        return spec ? this.#guard(plan.environment, spec, own.get(namespace) ?? null) : null;
      },
    };
  }

  #guard(environment: string, spec: NamespaceSpec, change: PolicyChange | null): NamespaceSpec {
    const { policies, floors, followed } = this.#parts;
    const hasBefore = change !== null && !change.isNew;
    const before = hasBefore ? policyBefore(change, spec.policy) : spec.policy;
    const applied = policies.read(environment, spec.name);
    const judged = stricterPolicy(spec.policy, before);
    const standing = guardPolicy(judged, applied?.policy ?? null, floors());
    const merged = followed(environment, spec.name)?.guarding ?? standing;
    return { ...spec, policy: stricterPolicy(standing, merged) };
  }

  /**
   * Applies the policies of a run that has succeeded: what was reviewed with its changes, but for
   * what a merge has taken back while it ran.
   */
  applyPolicies(run: Run): RunPolicies {
    const { fingerprint, environment } = run;
    const { policies, followedAt } = this.#parts;
    const changes = this.read(fingerprint)?.policies ?? [];
    const mergedAt = changes.length === 0 ? null : followedAt(environment);
    const takenBack = changes.filter((change) => this.#isTakenBack(run, change, mergedAt));
    const standing = changes.filter((change) => !takenBack.includes(change));
    return { applied: policies.apply(environment, standing), takenBack };
  }

  /**
   * True when manifests that were merged since say otherwise. Older ones may precede the plan. What
   * a pull request has shown was merged before its run; what somebody applies by hand, beside what
   * is merged, is taken back only by a merge that touches the namespace's manifest.
   *
   * @param mergedAt when the environment last followed other manifests; null for never.
   */
  #isTakenBack(
    { environment, origin, startedAt }: Run,
    change: PolicyChange,
    mergedAt: number | null,
  ): boolean {
    const { policies, followed } = this.#parts;
    const merged = followed(environment, change.namespace);
    if (merged === null) return false;
    const isMerged = (origin?.pull ?? null) !== null;
    // Of a name that was dropped since, nothing is known but when anything was merged.
    const ownAt = merged.declared === null ? (merged.declaredAt ?? mergedAt) : merged.declaredAt;
    if (((isMerged ? mergedAt : ownAt) ?? 0) <= startedAt) return false;
    const before = policies.read(environment, change.namespace)?.policy ?? DEFAULT_POLICY;
    return (
      merged.declared === null || !samePolicy(merged.declared.policy, policyAfter(change, before))
    );
  }

  policies(environment: string): PolicyStanding {
    const { policies, floors } = this.#parts;
    return { applied: policies.list(environment), floors: floors() };
  }

  environmentOf(fingerprint: string): string | null {
    return this.#parts.store.environmentOfPlan(fingerprint);
  }

  listNamespaces(environment: string | null): NamespaceRef[] {
    const { store, declared } = this.#parts;
    const refs = [...store.listNamespaces(environment), ...declared(environment)];
    return [
      ...new Map(refs.map((ref) => [JSON.stringify([ref.name, ref.object]), ref])).values(),
    ].toSorted(
      (left, right) => compareText(left.name, right.name) || compareText(left.object, right.object),
    );
  }

  put(
    stored: StoredPlan,
    seen: readonly SeenNamespace[],
    actor: string,
    use: TextUse = "none",
  ): readonly string[] {
    const { storage, store, keptPlans, onPlan, onStored } = this.#parts;
    const now = Date.now();
    return storage.transactionSync(() => {
      const known = this.read(stored.fingerprint);
      const plan = decodeJson(stored.body) as Plan;
      const others = known === null || use === "worker" ? [] : this.#findOtherTexts(known, stored);
      if (others.length > 0) return others;
      // The same plan made again is no news.
      if (known === null) onPlan(plan, actor, now);
      const figures = figuresOf(plan.changes);
      if (known === null) store.putShown(stored.fingerprint, FIRST, figures);
      if (plan.changes.length > 0) store.putShown(stored.fingerprint, actor, figures);
      const kept = this.#keepShown(known, plan, stored);
      store.putPlan(kept, keptPlans(), now);
      this.#texts.keep(plan, stored, kept.desired, { actor, use });
      if (known === null || isEmptyPlan(known))
        onStored(plan, decodeJson(stored.desired) as DesiredState);
      // The plan reads others because they are remembered already: one that no longer is was
      // forgotten meanwhile.
      store.rememberNamespaces(
        stored.environment,
        seen.filter((ref) => ref.wasSharded && ref.isDeclared),
      );
      store.forgetNamespaces(
        stored.environment,
        seen.filter((ref) => !ref.wasSharded),
      );
      return [];
    });
  }

  /** One who may only plan keeps nobody else from planning. */
  #findOtherTexts(known: Plan, { fingerprint, desired }: StoredPlan): readonly string[] {
    const before = isEmptyPlan(known) ? null : this.#texts.standing(fingerprint);
    return before === null
      ? []
      : findOtherTexts(known, before, decodeJson(desired) as DesiredState);
  }

  textRefs(fingerprint: string, actor: string): NamespaceRef[] {
    return this.#texts.refs(fingerprint, actor);
  }

  /** Of an empty plan nothing can be started: it is only what was compared last. */
  #keepShown(known: Plan | null, again: Plan, stored: StoredPlan): StoredPlan {
    if (known === null || isEmptyPlan(known)) return stored;
    const { fingerprint } = stored;
    return {
      ...stored,
      body: encodeJson(renewPlan(known, again)),
      desired: this.readDesiredBody(fingerprint) ?? stored.desired,
    };
  }

  /** The same for a plan that was made here; one that is stored stays as it is. */
  putOwn(plan: Plan, desired: DesiredState, actor: string): void {
    const { fingerprint, environment } = plan;
    if (this.environmentOf(fingerprint) !== null) return;
    this.put(
      { fingerprint, environment, body: encodeJson(plan), desired: encodeJson(desired) },
      [],
      actor,
    );
  }

  /**
   * The counts of the plan as it was made last for this caller. Null when it was only made for
   * others.
   */
  shownTo(fingerprint: string, actor: string): ShownFigures | null {
    return this.#parts.store.getShown(fingerprint, actor);
  }

  /** The counts with which the plan was stored first; null when nobody knows. */
  firstShown(fingerprint: string): ShownFigures | null {
    return this.#parts.store.getShown(fingerprint, FIRST);
  }

  /**
   * Somebody applies the plan: it says what the environment is meant to be. See
   * `applied-state.ts`.
   */
  noteApplied(plan: Plan, { actor, holdsFor }: Applier): void {
    const { environment, fingerprint } = plan;
    const before = this.#appliedDesired(environment);
    const stored = this.readDesired(fingerprint);
    if (stored === null) throw new Error(`Plan ${fingerprint} has lost what it was made from`);
    const text = this.#texts.find(fingerprint, actor) ?? takeChanges(plan, stored, before);
    const desired = holdsFor === undefined ? text : takeHeld(text, before, holdsFor);
    this.#parts.store.rememberApplied(environment, fingerprint, encodeJson(desired));
  }

  /** Environments that somebody applied something to, sorted. */
  appliedEnvironments(): readonly string[] {
    return this.#parts.store.listApplied().map(({ environment }) => environment);
  }

  /**
   * Returns the state that somebody applied last to the environment: the one it is meant to have.
   *
   * @param knownId of the state that is followed.
   */
  newestApplied(environment: string, knownId: string | null): AppliedState | "unchanged" | null {
    const id = this.#parts.store.appliedId(environment);
    if (id === null) return null;
    if (id === knownId) return "unchanged";
    const desired = this.#appliedDesired(environment);
    return desired ? { id, desired } : null;
  }

  #appliedDesired(environment: string): DesiredState | null {
    const body = this.#parts.store.getAppliedDesired(environment);
    return body && (decodeJson(body) as DesiredState);
  }
}
