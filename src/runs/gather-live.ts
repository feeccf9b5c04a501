/**
 * Reads the live side of a plan: every desired namespace and every other that is known, each asked
 * once.
 *
 * It only reads, and a namespace that could not be read stays in the result as the failure it is.
 */
import { ASKED_AGE_MAX_MS } from "../live/counts-age.ts";
import { compareText } from "../model/compare-text.ts";
import type { NamespaceRef } from "../model/live.ts";
import type { Plan } from "../model/plan.ts";
import { decideNamespace, type LiveEntry, type LiveState } from "../planning/decide-namespace.ts";
import type { DesiredState, NamespaceSpec } from "../model/spec.ts";
import type { LiveReader } from "../live/port.ts";
import { runBounded } from "../model/run-bounded.ts";

/** Namespaces that are asked at the same time. */
export const READS_MAX = 16;

/**
 * Entries are sorted by name, then by object; each desired namespace has one, whatever is known.
 *
 * @param knownRefs namespaces of the environment that were live once; the ones without a manifest
 * come back as unmanaged.
 * @param basis the earlier plan that the new one will be built on, or null.
 * @param isExact counts every row now: no kept count, and no sample.
 */
export async function gatherLive(
  reader: LiveReader,
  desired: DesiredState,
  knownRefs: readonly NamespaceRef[],
  basis: Plan | null = null,
  isExact = false,
): Promise<LiveState> {
  const wanted = new Map<
    string,
    { readonly ref: NamespaceRef; readonly spec: NamespaceSpec | null }
  >();
  for (const ref of knownRefs) wanted.set(refKey(ref), { ref, spec: null });
  for (const spec of desired.namespaces) {
    const ref = { name: spec.name, object: spec.object };
    wanted.set(refKey(ref), { ref, spec });
  }
  const sorted = [...wanted]
    .toSorted(([left], [right]) => compareText(left, right))
    .map(([, entry]) => entry);
  return {
    namespaces: await runBounded(sorted, READS_MAX, ({ ref, spec }) =>
      readEntry(reader, ref, spec, { basis, isExact }),
    ),
  };
}

async function readEntry(
  reader: LiveReader,
  ref: NamespaceRef,
  spec: NamespaceSpec | null,
  { basis, isExact }: { readonly basis: Plan | null; readonly isExact: boolean },
): Promise<LiveEntry> {
  const namespace = await reader.describe(ref, isExact ? 0 : ASKED_AGE_MAX_MS);
  const decided = spec === null ? null : decideNamespace(spec, namespace, basis);
  const request = decided?.kind === "decided" ? decided.request : null;
  return {
    ref,
    namespace,
    decided,
    distribution: request === null ? null : await reader.distribute(ref, request, isExact),
  };
}

function refKey({ name, object }: NamespaceRef): string {
  return JSON.stringify([name, object]);
}
