/**
 * Holds a caller to the scope of its token. Each route says how its scope is judged: the whole
 * Worker, the namespace in its path, or by its handler, which asks here. A handler that asks
 * nothing answers no token that has a scope.
 */
import type { Run } from "../../model/api.ts";
import type { NamespaceRef } from "../../model/live.ts";
import type { Plan } from "../../model/plan.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import {
  isVisibleEnvironment,
  type TokenScope,
  type VisibleNames,
} from "../../model/token-scope.ts";
import type { RemoteCoordinator } from "../coordinator/coordinator-api.ts";
import { hasLabels, type KnownRef } from "../coordinator/scope-facts.ts";
import type { PlanScope, RunScope } from "../coordinator/scope-names.ts";

/**
 * `everything`: only for tokens without a scope. `namespace`: about the one in the path.
 * `checked`: the handler asks the caller's scope.
 */
export type RouteScope = "everything" | "namespace" | "checked";

/** Namespaces of which one call asks what is known. */
const KNOWN_AT_ONCE = 2000;

type Facts = Pick<RemoteCoordinator, "scopes">;

export class CallerScope {
  readonly #name: string;
  readonly #scope: TokenScope | null;
  readonly #facts: Facts;
  #visible: Promise<VisibleNames | null> | null = null;
  /** True once somebody has asked. */
  wasAsked = false;

  /** @param scope null for everything. */
  constructor(name: string, scope: TokenScope | null, facts: Facts) {
    this.#name = name;
    this.#scope = scope;
    this.#facts = facts;
  }

  /** True for a caller that may be shown everything. */
  get isEverything(): boolean {
    this.wasAsked = true;
    return this.#scope === null;
  }

  /** True when it holds for all namespaces of its environments. */
  get isWholeEnvironment(): boolean {
    this.wasAsked = true;
    return this.#scope === null || isOpen(this.#scope);
  }

  /** @throws RefusedRequest `forbidden` for a token with a scope. */
  requireEverything(): void {
    if (this.isEverything) return;
    throw this.#refuse("this call, which is about more than that");
  }

  holdsEnvironment(environment: string): boolean {
    this.wasAsked = true;
    return isVisibleEnvironment(this.#scope, environment);
  }

  /** @throws RefusedRequest `forbidden` */
  requireEnvironment(environment: string): void {
    if (!this.holdsEnvironment(environment)) throw this.#refuse(`environment '${environment}'`);
  }

  /** @throws RefusedRequest `forbidden`, whether the namespace is known or not. */
  async require(ref: NamespaceRef, environment: string | null = null): Promise<void> {
    if ((await this.filter([ref], environment)).length === 0)
      throw this.#refuse(`namespace '${ref.name}'`);
  }

  /**
   * @param names all that are known of this name, behind any binding; a handler refuses a name that
   * is not known.
   * @throws RefusedRequest `forbidden` unless it holds for each of them.
   */
  async requireName(name: string, names: readonly NamespaceRef[]): Promise<void> {
    this.wasAsked = true;
    const held = await this.filter(names);
    const isUnknown = names.length === 0 && (this.#scope?.namespaces?.includes(name) ?? false);
    if (this.#scope === null || isUnknown || (names.length > 0 && held.length === names.length))
      return;
    throw this.#refuse(`namespace '${name}'`);
  }

  /**
   * The namespaces that it holds for.
   *
   * @param environment what it is asked in; null for wherever they are known.
   */
  async filter<Ref extends NamespaceRef>(
    refs: readonly Ref[],
    environment: string | null = null,
  ): Promise<Ref[]> {
    const isHeld = await this.#judge(refs);
    return refs.filter((ref) => isHeld(ref, environment));
  }

  /** True for each plan that is about nothing else than it holds for; false for one not stored. */
  async seesPlans(fingerprints: readonly string[]): Promise<boolean[]> {
    this.wasAsked = true;
    if (this.#scope === null) return fingerprints.map(() => true);
    const seen: boolean[] = [];
    while (seen.length < fingerprints.length) {
      const plans = await this.#facts.scopes.plans(fingerprints.slice(seen.length));
      const isHeld = await this.#judge(plans.flatMap((plan) => (plan ? concernOf(plan) : [])));
      seen.push(
        ...plans.map(
          (plan) =>
            plan !== null &&
            this.holdsEnvironment(plan.environment) &&
            concernOf(plan).every((ref) => isHeld(ref, plan.environment)),
        ),
      );
    }
    return seen;
  }

  /**
   * Names beside what it is about may be somebody else's: whoever has the same changes planned
   * first can add any.
   *
   * @throws RefusedRequest `forbidden` unless it holds for all that the plan is about. One that is
   * not stored is left to the handler.
   */
  async requirePlan(fingerprint: string): Promise<void> {
    this.wasAsked = true;
    if (this.#scope === null) return;
    const [plan] = await this.#facts.scopes.plans([fingerprint]);
    if (plan && !(await this.#holdsAll(concernOf(plan), plan.environment)))
      throw this.#refuse(`all namespaces of plan ${fingerprint}`);
  }

  /** The plan without what it tells of other namespaces; see `requirePlan`. */
  async showPlan(plan: Plan): Promise<Plan> {
    const { environment } = plan;
    const isHeld = await this.#judge(plan.inSync.map(refOf));
    const inSync = plan.inSync.filter((one) => isHeld(refOf(one), environment));
    const shown = new Set([...plan.changes, ...inSync].map(({ namespace }) => namespace));
    return { ...plan, inSync, notices: plan.notices.filter((one) => shown.has(one.namespace)) };
  }

  /**
   * The names of the plan's namespaces that it holds for; null for all.
   *
   * @throws RefusedRequest `forbidden` unless all that the plan changes are among them.
   */
  async requireChanges(fingerprint: string): Promise<readonly string[] | null> {
    this.wasAsked = true;
    if (this.#scope === null) return null;
    const [plan] = await this.#facts.scopes.plans([fingerprint]);
    if (!plan) return [];
    this.requireEnvironment(plan.environment);
    if (!(await this.#holdsAll(changesOf(plan), plan.environment)))
      throw this.#refuse(`all that plan ${fingerprint} changes`);
    return (await this.filter(plan.refs, plan.environment)).map(({ name }) => name);
  }

  /** True for each run that has an action which it holds for. */
  async seesRuns(runs: readonly RunScope[]): Promise<boolean[]> {
    const isHeld = await this.#judge(runs.flatMap(({ refs }) => refs));
    return runs.map(({ refs, environment }) => refs.some((ref) => isHeld(ref, environment)));
  }

  /** The runs with the actions that it holds for, without those that have none. */
  async showRuns(runs: readonly Run[]): Promise<Run[]> {
    if (this.isEverything) return [...runs];
    const isHeld = await this.#judge(runs.flatMap(refsOf));
    return runs.flatMap((run) => {
      const actions = run.actions.filter(({ namespace: name, object }) =>
        isHeld({ name, object }, run.environment),
      );
      return actions.length === 0 ? [] : [{ ...run, actions }];
    });
  }

  /** @throws RefusedRequest `forbidden` unless it holds for all that the run is about. */
  async requireRun(run: Run): Promise<void> {
    this.wasAsked = true;
    if (this.isEverything) return;
    const refs = refsOf(run);
    // A run of policies alone has no action: what it changes stands in its plan.
    const [plan] = refs.length > 0 ? [] : await this.#facts.scopes.plans([run.fingerprint]);
    const changed = refs.length > 0 ? refs : plan && changesOf(plan);
    if (changed && (await this.#holdsAll(changed, run.environment))) return;
    throw this.#refuse(`all namespaces of run ${run.id}`);
  }

  /** For stores that list by it. */
  visible(): Promise<VisibleNames | null> {
    this.wasAsked = true;
    this.#visible ??= this.#resolve();
    return this.#visible;
  }

  /** A refusal that says what the token holds for, and nothing of what it was asked about. */
  refuse(what: string): RefusedRequest {
    return this.#refuse(what);
  }

  async #resolve(): Promise<VisibleNames | null> {
    const scope = this.#scope;
    if (scope === null) return null;
    const { environments, labels } = scope;
    const declared = labels === null ? [] : await this.#facts.scopes.labelled(labels);
    const names = isOpen(scope) ? null : (scope.namespaces ?? []);
    return { environments, names, declared };
  }

  /** Asks the coordinator page by page: what is known of many is much. */
  async #judge(
    refs: readonly NamespaceRef[],
  ): Promise<(ref: NamespaceRef, environment: string | null) => boolean> {
    this.wasAsked = true;
    const scope = this.#scope;
    if (scope === null) return () => true;
    const isByNameAlone = scope.environments === null && scope.labels === null;
    const wanted = new Map(
      refs.map(({ name, object }) => [keyOf({ name, object }), { name, object }]),
    );
    const asked = isByNameAlone ? [] : [...wanted.values()];
    const found: KnownRef[] = [];
    for (let at = 0; at < asked.length; at += KNOWN_AT_ONCE)
      found.push(...(await this.#facts.scopes.known(asked.slice(at, at + KNOWN_AT_ONCE))));
    const known = Map.groupBy(found, keyOf);
    return (ref, environment) => holds(scope, ref, environment, known.get(keyOf(ref)) ?? []);
  }

  async #holdsAll(refs: readonly NamespaceRef[], environment: string): Promise<boolean> {
    if (!this.holdsEnvironment(environment)) return false;
    return (await this.filter(refs, environment)).length === refs.length;
  }

  #refuse(what: string): RefusedRequest {
    return new RefusedRequest(
      "forbidden",
      `Token '${this.#name}' does not hold for ${what}. It holds for ${describeScope(this.#scope)}.`,
    );
  }
}

/** True for a scope that names environments only. */
function isOpen({ namespaces, labels }: TokenScope): boolean {
  return namespaces === null && labels === null;
}

/**
 * True when the scope holds for the namespace in each environment that claims it: it is one set of
 * objects, whichever environment declares it. Where none does, those count that have planned it.
 *
 * @param known what is known of this very namespace.
 */
function holds(
  scope: TokenScope,
  { name }: NamespaceRef,
  environment: string | null,
  known: readonly KnownRef[],
): boolean {
  const claims = known.filter((one) => one.isClaimed);
  // A plan can have any environment remember a name. No token loses the name by that.
  const places = new Set((claims.length > 0 ? claims : known).map((one) => one.environment));
  if (environment !== null) places.add(environment);
  if (scope.environments !== null) {
    if (places.size === 0) return false;
    if (![...places].every((place) => isVisibleEnvironment(scope, place))) return false;
  }
  if (isOpen(scope) || scope.namespaces?.includes(name)) return true;
  const { labels } = scope;
  const declared = known.filter((one) => one.labels !== null);
  return (
    labels !== null && declared.length > 0 && declared.every((one) => hasLabels(one.labels, labels))
  );
}

function keyOf({ name, object }: NamespaceRef): string {
  return JSON.stringify([name, object]);
}

/** Namespaces that a plan is about: for an empty one all that it was compared with. */
function concernOf(plan: PlanScope): readonly NamespaceRef[] {
  return plan.changes.length === 0 ? plan.refs : changesOf(plan);
}

/** Namespaces that it changes, or that a guard of it is about. */
function changesOf({ refs, changes }: PlanScope): NamespaceRef[] {
  return changes.flatMap((place) => refs[place] ?? []);
}

function refOf({
  namespace: name,
  object,
}: {
  readonly namespace: string;
  readonly object: string;
}): NamespaceRef {
  return { name, object };
}

function refsOf({ actions }: Run): NamespaceRef[] {
  return actions.map(refOf);
}

function describeScope(scope: TokenScope | null): string {
  if (scope === null) return "everything";
  const { environments, namespaces, labels } = scope;
  const parts = [
    ...(namespaces === null ? [] : [`namespaces ${namespaces.join(", ") || "none"}`]),
    ...(labels === null
      ? []
      : [
          `namespaces with ${Object.entries(labels)
            .map(([name, value]) => `${name}=${value}`)
            .join(", ")}`,
        ]),
    ...(environments === null ? [] : [`environments ${environments.join(", ")}`]),
  ];
  return parts.join("; ");
}
