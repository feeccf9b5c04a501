/**
 * The first phase of a pass: what the default branch declares now, against what is followed.
 *
 * | the reading             | what is followed                         | and                                     |
 * |-------------------------|------------------------------------------|-----------------------------------------|
 * | unchanged               | as before                                |                                         |
 * | desired                 | the new manifests                        | what changed is looked at in this pass  |
 * | desired, but nothing    | the last good state, nothing is applied  | drift `manifests`, unless nothing was   |
 * | invalid, absent         | the last good state, nothing is applied  | drift `manifests`                       |
 * | given up                | the last good state, nothing is applied  | drift `manifests`                       |
 * | failed                  | the last good state                      | drift `manifests` after a while         |
 * | failed, never read yet  | nothing                                  | drift `manifests`                       |
 */
import { canonicalJson } from "../model/canonical.ts";
import { formatQuantity } from "../model/figures.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { DesiredState } from "../model/spec.ts";
import { followApplied, followSpec } from "./follow-policies.ts";
import type { EnvironmentState, ManifestsProblem } from "./environment-state.ts";
import {
  declaredSpec,
  digestShape,
  digestSpec,
  newNamespaceState,
  type NamespaceState,
} from "./namespace-state.ts";
import type { ManifestReading, ReconcilePorts } from "./ports.ts";
import { retryDelayMs } from "./schedule.ts";
import { type FoundDrift, trackDrifts } from "./track-drifts.ts";

/** Silence of GitHub that nobody needs to hear of. */
export const SILENCE_MS_MAX = 15 * 60_000;
/** Errors that an alert repeats; the pull request's check has all. */
const ERRORS_MAX = 5;
/** States that are written in one transaction. */
const WRITES_MAX = 500;

/**
 * Reads the manifests and takes over what changed. Written in parts; the environment last, so that
 * a killed pass reads them again.
 */
export async function adoptManifests(
  env: EnvironmentState,
  ports: ReconcilePorts,
): Promise<EnvironmentState> {
  const now = ports.now();
  const waits =
    env.silence !== null &&
    env.silence.nextTryAt > now &&
    env.silence.nextTryAt - now < SILENCE_MS_MAX * 4;
  const reading: ManifestReading = waits
    ? { kind: "failed", message: env.silence.message, retryAt: env.silence.nextTryAt, requests: 0 }
    : await ports.manifests.read(knownTree(env));
  const requests = env.pass.figures.requests + reading.requests;
  if (reading.kind === "incomplete")
    return { ...env, pass: { ...env.pass, figures: { ...env.pass.figures, requests } } };
  const read = await follow(env, reading, ports);
  followApplied(ports);
  // Without manifests every namespace would look like one that nobody declares.
  if (read.silence === null && read.manifestsProblem === null) rememberUnmanaged(ports);
  const found = findManifestsDrift(read, ports.now());
  const drifts = trackDrifts(env.drifts, found, {
    environment: env.environment,
    namespace: null,
    object: null,
    pass: env.pass.number,
    commit: read.commit,
    now: ports.now(),
    record: ports.record,
  });
  return {
    ...read,
    drifts,
    pass: { ...env.pass, phase: "look", figures: { ...env.pass.figures, requests } },
  };
}

/**
 * Returns the tree that need not be read again. Manifests that come back after an absence are read
 * again: they may be the ones refused before.
 */
function knownTree({ treeSha, manifestsProblem }: EnvironmentState): string | null {
  return manifestsProblem?.kind === "absent" ? null : treeSha;
}

async function follow(
  env: EnvironmentState,
  reading: Exclude<ManifestReading, { kind: "incomplete" }>,
  ports: ReconcilePorts,
): Promise<EnvironmentState> {
  switch (reading.kind) {
    case "unchanged":
      return { ...env, silence: null };
    case "failed":
      return { ...env, silence: lengthenSilence(env, reading, ports) };
    case "absent":
      return {
        ...env,
        silence: null,
        manifestsProblem: { kind: "absent", reason: reading.message, detail: null },
      };
    case "invalid":
      return {
        ...env,
        silence: null,
        treeSha: reading.treeSha,
        manifestsProblem: explainInvalid(reading.errors),
      };
    case "givenUp":
      return {
        ...env,
        silence: null,
        treeSha: reading.treeSha,
        manifestsProblem: {
          kind: "givenUp",
          reason: "reading the manifests on the default branch was given up",
          detail: "The Worker tried twice to read them, and was terminated both times",
        },
      };
    case "desired":
      return followDesired(env, reading, ports);
  }
}

async function followDesired(
  env: EnvironmentState,
  { commit, treeSha, desired }: Extract<ManifestReading, { kind: "desired" }>,
  ports: ReconcilePorts,
): Promise<EnvironmentState> {
  const { managed } = ports.store.totals();
  if (desired.namespaces.length === 0 && managed > 0) {
    const reason = "no manifest declares a namespace any more";
    const detail = `${formatQuantity(managed, "namespace is", "namespaces are")} still followed as last declared`;
    return { ...env, silence: null, treeSha, manifestsProblem: { kind: "empty", reason, detail } };
  }
  const followedAt = ports.now();
  await adoptSpecs(desired, env.treeSha === null ? null : followedAt, ports);
  // The same tree comes once more after an absence, and nobody has merged anything.
  const since = treeSha === env.treeSha ? {} : { followedAt };
  return { ...env, silence: null, commit, treeSha, ...since, manifestsProblem: null };
}

/**
 * Writes the specs that are new or changed, and takes away those that are gone; the others are not
 * touched.
 *
 * @param at when they are followed; null for the first ones, which may be older than anything else.
 */
async function adoptSpecs(
  desired: DesiredState,
  at: number | null,
  ports: ReconcilePorts,
): Promise<void> {
  const { store, policies, now } = ports;
  const known = new Map(store.digests().map((stored) => [refKey(stored), stored]));
  const declared = new Set<string>();
  let changed: NamespaceState[] = [];
  const flush = (max: number): void => {
    if (changed.length <= max) return;
    store.write(changed);
    changed = [];
  };
  for (const spec of desired.namespaces) {
    const key = refKey(spec);
    declared.add(key);
    const specDigest = await digestSpec(spec, policies.floors);
    const stored = known.get(key);
    if (stored?.specDigest !== specDigest)
      changed.push(
        await withSpec(
          store.read(spec) ?? newNamespaceState(spec, now()),
          followSpec(spec, ports),
          specDigest,
          at,
        ),
      );
    else if (canonicalJson(stored.labels) !== canonicalJson(spec.labels)) {
      // Tokens hold for labels: other ones count at once, and nothing has to be looked at for them.
      const state = store.read(spec);
      if (state) changed.push({ ...state, ...followSpec(spec, ports) });
    }
    flush(WRITES_MAX);
  }
  for (const ref of store.digests()) {
    if (ref.specDigest === null || declared.has(refKey(ref))) continue;
    const state = store.read(ref);
    if (state) changed.push(await withSpec(state, { spec: null, held: null }, null, at));
    flush(WRITES_MAX);
  }
  flush(0);
}

/**
 * The next look compares with the new spec; what was decided under the old one is forgotten, but
 * not a run that is under way.
 */
async function withSpec(
  { isEven: _isEven, ...state }: NamespaceState,
  followed: Pick<NamespaceState, "spec" | "held">,
  specDigest: string | null,
  at: number | null,
): Promise<NamespaceState> {
  const { spec } = followed;
  const isOther = at !== null && manifestOf(state) !== manifestOf(followed);
  const shapeDigest = spec === null ? null : await digestShape(spec);
  return {
    ...state,
    ...followed,
    ...(isOther ? { declaredAt: at } : {}),
    specDigest,
    shapeDigest,
    pending: null,
    dueAt: 0,
    attempts: null,
    heals: [],
  };
}

/** The manifest that was followed, without its labels and place; other floors make none. */
function manifestOf({ spec, held }: Pick<NamespaceState, "spec" | "held">): string {
  if (spec === null) return "";
  const { labels: _labels, source: _source, ...declared } = declaredSpec({ held }, spec);
  return canonicalJson(declared);
}

/** Namespaces that were live once and that no manifest declares: looked at, and reported. */
function rememberUnmanaged({ store, unseenRefs, now }: ReconcilePorts): void {
  const unseen = unseenRefs();
  if (unseen.length > 0) store.write(unseen.map((ref) => newNamespaceState(ref, now())));
}

function lengthenSilence(
  { silence }: EnvironmentState,
  { message, retryAt, requests }: Extract<ManifestReading, { kind: "failed" }>,
  { now, random }: ReconcilePorts,
): EnvironmentState["silence"] {
  const at = now();
  if (silence !== null && requests === 0 && silence.nextTryAt > at) return silence;
  const failures = (silence?.failures ?? 0) + 1;
  // A clock that went back must not make a silence look shorter than nothing.
  const since = Math.min(silence?.since ?? at, at);
  return {
    failures,
    since,
    message,
    nextTryAt: Math.max(retryAt ?? 0, at + retryDelayMs(failures, random) / 2),
  };
}

function explainInvalid(errors: readonly string[]): ManifestsProblem {
  const hidden = errors.length - ERRORS_MAX;
  const listed = errors.slice(0, ERRORS_MAX).join("; ");
  return {
    kind: "invalid",
    reason: "the manifests on the default branch are not valid",
    detail: `${listed}${hidden > 0 ? `; and ${hidden} more` : ""}`,
  };
}

const REMEDIES: Readonly<Record<ManifestsProblem["kind"], string>> = {
  invalid:
    "Correct them: `shardctl validate` shows every error. Until then the last valid state is followed and nothing is applied.",
  givenUp:
    "Make the manifests that were merged last smaller or simpler, or take them back: they are read again when others are merged, or after a day. Until then the last valid state is followed and nothing is applied.",
  absent:
    "Restore the folder or correct the Worker's options. Until then the last valid state is followed and nothing is applied.",
  empty:
    "Restore the manifests, or unshard a namespace by declaring `strategy: none`. Until then the last state is followed and nothing is applied.",
};

function findManifestsDrift(
  { manifestsProblem, silence, treeSha }: EnvironmentState,
  now: number,
): FoundDrift[] {
  if (manifestsProblem) {
    const { kind, reason, detail } = manifestsProblem;
    return [{ kind: "manifests", reason, detail, remedy: REMEDIES[kind] }];
  }
  if (silence === null) return [];
  // Before the first reading it is the setup that is wrong, and somebody waits for it.
  if (treeSha !== null && now - silence.since < SILENCE_MS_MAX) return [];
  return [
    {
      kind: "manifests",
      reason: "the manifests cannot be read from GitHub",
      detail: `${silence.message} (${formatQuantity(silence.failures, "try", "tries")})`,
      remedy:
        "Check githubstatus.com and the Worker's credentials. Until then the last state is followed.",
    },
  ];
}

function refKey({ name, object }: NamespaceRef): string {
  return JSON.stringify([name, object]);
}
