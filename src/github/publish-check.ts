/**
 * Publishes the check run of a plan on one commit: created once for a name and an external id,
 * then updated.
 *
 * GitHub only ever adds annotations to a run, 50 at a time. So only those that it does not show yet
 * are sent; and when it shows one that is no longer true, a new run of the same name takes its
 * place. A credential that cannot create check runs is no reason to stop.
 */
import { compareText } from "../model/compare-text.ts";
import { success } from "../model/result.ts";
import type { Annotation, Check, CheckRef, GithubResult, GithubWriter } from "./port.ts";

export type CheckOutcome =
  | { readonly kind: "created" | "updated" | "unchanged"; readonly id: number }
  /**
   * The credential may not write check runs, such as a personal token; the message says what to do.
   */
  | { readonly kind: "notAllowed"; readonly message: string };

/**
 * More annotations than this are counted, not sent: at 50 a request, they would take longer than
 * anybody reads.
 */
export const ANNOTATIONS_MAX = 500;

const LEVELS: readonly Annotation["level"][] = ["failure", "warning", "notice"];

export async function publishCheck(
  writer: GithubWriter,
  check: Check,
): Promise<GithubResult<CheckOutcome>> {
  const wanted = limitAnnotations(check);
  const known = await writer.checks(check.headSha, check.name);
  if (!known.ok)
    return known.failure.kind === "forbidden"
      ? success({ kind: "notAllowed", message: known.failure.message })
      : known;
  const run = known.value.find(({ externalId }) => externalId === check.externalId);
  if (run === undefined) return createRun(writer, wanted);
  const shown = run.annotationCount === 0 ? success([]) : await writer.checkAnnotations(run.id);
  if (!shown.ok) return shown;
  const wantedKeys = new Set(wanted.annotations.map((annotation) => keyOf(annotation)));
  const shownKeys = new Set(shown.value.map((annotation) => keyOf(annotation)));
  if (shown.value.some((annotation) => !wantedKeys.has(keyOf(annotation))))
    return createRun(writer, wanted);
  const fresh = wanted.annotations.filter((annotation) => !shownKeys.has(keyOf(annotation)));
  if (fresh.length === 0 && isSame(run, wanted)) return success({ kind: "unchanged", id: run.id });
  const updated = await writer.updateCheck(run.id, { ...wanted, annotations: fresh });
  return updated.ok ? success({ kind: "updated", id: updated.value.id }) : updated;
}

async function createRun(writer: GithubWriter, check: Check): Promise<GithubResult<CheckOutcome>> {
  const created = await writer.createCheck(check);
  if (created.ok) return success({ kind: "created", id: created.value.id });
  if (created.failure.kind !== "forbidden") return created;
  const hint =
    "Check runs are written by Apps and by the token of a workflow only. The comment says the same.";
  return success({ kind: "notAllowed", message: `${created.failure.message} ${hint}` });
}

function isSame(run: CheckRef, check: Check): boolean {
  return (
    run.conclusion === check.conclusion &&
    run.title === check.title &&
    run.summary === check.summary &&
    run.text === check.text
  );
}

/** The worst first, each once, in the order of the files. */
function limitAnnotations(check: Check): Check {
  const unique = new Map(check.annotations.map((annotation) => [keyOf(annotation), annotation]));
  const sorted = [...unique.values()].toSorted(compareAnnotations);
  const left = sorted.length - ANNOTATIONS_MAX;
  if (left <= 0) return { ...check, annotations: sorted };
  const [most, more] = [ANNOTATIONS_MAX, left].map((count) => count.toLocaleString("en-US"));
  const note = `The ${most} most severe annotations are shown, ${more} more are left out.`;
  return {
    ...check,
    summary: `${note}\n\n${check.summary}`,
    annotations: sorted.slice(0, ANNOTATIONS_MAX),
  };
}

function compareAnnotations(left: Annotation, right: Annotation): number {
  return (
    LEVELS.indexOf(left.level) - LEVELS.indexOf(right.level) ||
    compareText(left.path, right.path) ||
    left.line - right.line ||
    (left.column ?? 0) - (right.column ?? 0) ||
    compareText(left.message, right.message)
  );
}

function keyOf({ path, line, column, level, title, message }: Annotation): string {
  return JSON.stringify([path, line, column, level, title, message]);
}
