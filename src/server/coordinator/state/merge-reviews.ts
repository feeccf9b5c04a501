/**
 * Takes over what pull requests were shown, with the plans under it.
 *
 * A review is proof of what was shown, and its plan names the epochs that it was made for: an old
 * one can start nothing twice. A release and an order of an apply job are leave to start. Whether
 * they were used or taken back since the export, the file cannot tell, so no leave is taken over: a
 * release comes back as one that has expired, an order not at all.
 */
import type { Release } from "../../../model/review.ts";
import { ReviewsStore } from "../../../reviews/reviews-store.ts";
import type { Plan } from "../../../model/plan.ts";
import { PolicyStore } from "../../../runs/policy-store.ts";
import { type CoordinatorStore } from "../../../runs/store.ts";
import type { StagedRows } from "./staged-rows.ts";
import { stagedText } from "./staged-text.ts";
import type { Tally } from "./tally.ts";

interface ReviewRow extends Record<string, unknown> {
  readonly environment: string;
  readonly pull: number;
  readonly fingerprint: string;
  readonly place: number;
  readonly counts: number;
  readonly headSha: string;
  readonly runUrl: string | null;
  readonly requestedBy: string;
  readonly reviewedAt: number;
  readonly release: Release | null;
}

interface Place extends Record<string, SqlStorageValue> {
  readonly environment: string;
  readonly pull: number;
  readonly fingerprint: string;
}

export function mergeReviews(
  sql: SqlStorage,
  staged: StagedRows,
  tally: Tally,
  exportedAt: number,
  now: number,
): string[] {
  let ended = 0;
  for (const row of staged.all<ReviewRow>("reviews")) {
    const known = sql
      .exec<{ reviewedAt: number; counts: number }>(
        "SELECT reviewedAt, counts FROM reviews WHERE environment = ? AND pull = ? AND fingerprint = ?",
        row.environment,
        row.pull,
        row.fingerprint,
      )
      .toArray()[0];
    if (known && !isBetter(row, known)) {
      tally.note("reviews", "kept");
      continue;
    }
    if (row.release !== null && row.release.expiresAt > now) ended++;
    const release =
      row.release === null
        ? null
        : JSON.stringify({
            ...row.release,
            expiresAt: Math.min(row.release.expiresAt, exportedAt, now),
          });
    // A release that is here was given after the file's: it stays.
    sql.exec(
      `INSERT INTO reviews VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (environment, pull, fingerprint) DO UPDATE SET
        counts = excluded.counts, headSha = excluded.headSha, runUrl = excluded.runUrl,
        requestedBy = excluded.requestedBy, reviewedAt = excluded.reviewedAt, release = coalesce(release, excluded.release)`,
      row.environment,
      row.pull,
      row.fingerprint,
      row.place,
      row.counts,
      row.headSha,
      row.runUrl,
      row.requestedBy,
      row.reviewedAt,
      release,
    );
    // Counts are of the review that they were shown with.
    if (known)
      sql.exec(
        "DELETE FROM reviewFigures WHERE environment = ? AND pull = ? AND fingerprint = ?",
        row.environment,
        row.pull,
        row.fingerprint,
      );
    tally.note("reviews", known ? "replaced" : "added");
  }
  if (tally.of("reviews").added > 0 || tally.of("reviews").replaced > 0) renumber(sql);
  mergeFigures(sql, staged, tally);
  tally.note("orders", "kept", staged.count("orders"));
  return notesOf(ended, staged.count("orders"));
}

/**
 * True when the file's review takes the place of the one that is here. One that counts is left in
 * its place by one that was shown after the merge, and the other way round it takes the place.
 */
function isBetter(
  theirs: Pick<ReviewRow, "counts" | "reviewedAt">,
  ours: Pick<ReviewRow, "counts" | "reviewedAt">,
): boolean {
  return theirs.counts === ours.counts
    ? theirs.reviewedAt > ours.reviewedAt
    : theirs.counts > ours.counts;
}

/** The newest review of a pull request counts: by when it was shown, wherever it was kept. */
function renumber(sql: SqlStorage): void {
  const rows = sql
    .exec<Place>(
      "SELECT environment, pull, fingerprint FROM reviews ORDER BY reviewedAt, place, fingerprint",
    )
    .toArray();
  for (const [index, { environment, pull, fingerprint }] of rows.entries())
    sql.exec(
      "UPDATE reviews SET place = ? WHERE environment = ? AND pull = ? AND fingerprint = ?",
      index + 1,
      environment,
      pull,
      fingerprint,
    );
}

/** Call after the reviews are there: counts come with the file's review, and with no other. */
function mergeFigures(sql: SqlStorage, staged: StagedRows, tally: Tally): void {
  for (const row of staged.all<Place & { readonly figures: unknown }>("reviewFigures")) {
    const { environment, pull, fingerprint } = row;
    const review = staged.find<ReviewRow>("reviews", environment, pull, fingerprint);
    const { rowsWritten } = sql.exec(
      `INSERT OR IGNORE INTO reviewFigures SELECT environment, pull, fingerprint, ?1 FROM reviews
        WHERE environment = ?2 AND pull = ?3 AND fingerprint = ?4 AND reviewedAt = ?5`,
      JSON.stringify(row.figures),
      environment,
      pull,
      fingerprint,
      review?.reviewedAt ?? null,
    );
    tally.note("reviewFigures", rowsWritten > 0 ? "added" : "kept");
  }
}

function notesOf(releases: number, orders: number): string[] {
  return [
    ...(releases === 0
      ? []
      : [
          `${releases} ${releases === 1 ? "release ends" : "releases end"}: whether it was used since the export, the file cannot tell. Release again what is still to be applied.`,
        ]),
    ...(orders === 0
      ? []
      : [
          `${orders} ${orders === 1 ? "order of an apply job is" : "orders of apply jobs are"} not taken over: run the job again for what is still to be applied.`,
        ]),
  ];
}

/** Plans that reviews, or what was applied last, speak of. Call after the reviews are there. */
export function mergePlans(
  sql: SqlStorage,
  staged: StagedRows,
  tally: Tally,
  store: CoordinatorStore,
): void {
  const kept = [
    ...new ReviewsStore(sql).keptPlans(),
    ...[...staged.all<{ readonly fingerprint: string }>("plans")].map((row) => row.fingerprint),
  ];
  for (const row of staged.all<{
    readonly fingerprint: string;
    readonly environment: string;
    readonly storedAt: number;
  }>("plans")) {
    const { fingerprint, environment, storedAt } = row;
    const body = stagedText(staged, "plan", fingerprint);
    const desired = stagedText(staged, "desired", fingerprint);
    if (store.environmentOfPlan(fingerprint) !== null || body === null || desired === null) {
      tally.note("plans", "kept");
      continue;
    }
    const encoder = new TextEncoder();
    store.putPlan(
      { fingerprint, environment, body: encoder.encode(body), desired: encoder.encode(desired) },
      kept,
      storedAt,
    );
    // The file cannot tell if another policy was applied since: its reviews count for none.
    const { policies = [] } = JSON.parse(body) as Plan;
    new PolicyStore(sql).passOver(environment, policies);
    tally.note("plans", "added");
  }
  for (const { environment, fingerprint } of staged.all<Place>("applied")) {
    const { rowsWritten } = sql.exec(
      "INSERT OR IGNORE INTO applied VALUES (?, ?)",
      environment,
      fingerprint,
    );
    if (rowsWritten > 0) {
      // Several applies, each of some namespaces, have left this declared.
      const whole = stagedText(staged, "applied", environment);
      if (whole !== null)
        store.rememberApplied(environment, fingerprint, new TextEncoder().encode(whole));
    }
    tally.note("applied", rowsWritten > 0 ? "added" : "kept");
  }
}
