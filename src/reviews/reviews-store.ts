/**
 * Stores the plans that pull requests have been shown, in the coordinator's SQLite. One row a plan,
 * pull request and environment; `place` says which is the newest. All methods are synchronous: the
 * caller decides what is one transaction.
 */
import type { Release, Review } from "../model/review.ts";
import type { ShownFigures } from "../model/count-moved.ts";

export const REVIEW_AGE_MAX_MS = 90 * 24 * 60 * 60 * 1000;
export const REVIEWS_MAX = 10_000;
/** Plans under the newest reviews of so many pull requests outlive the retention of plans. */
const KEPT_PLANS_MAX = 500;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS reviews (environment TEXT, pull INTEGER, fingerprint TEXT, place INTEGER NOT NULL, counts INTEGER NOT NULL,
    headSha TEXT NOT NULL, runUrl TEXT, requestedBy TEXT NOT NULL, reviewedAt INTEGER NOT NULL, release TEXT,
    PRIMARY KEY (environment, pull, fingerprint)) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS reviewsByPlace ON reviews (place);
  CREATE TABLE IF NOT EXISTS reviewFigures (environment TEXT, pull INTEGER, fingerprint TEXT, figures TEXT NOT NULL,
    PRIMARY KEY (environment, pull, fingerprint)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS postedFigures (environment TEXT, pull INTEGER, fingerprint TEXT, figures TEXT NOT NULL,
    PRIMARY KEY (environment, pull, fingerprint)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS orders (environment TEXT, pull INTEGER, fingerprint TEXT, PRIMARY KEY (environment, pull, fingerprint)) WITHOUT ROWID;
`;
const COLUMNS = "environment, pull, fingerprint, headSha, runUrl, requestedBy, reviewedAt, release";

export type NewReview = Omit<Review, "release">;

export interface ReviewFilter {
  readonly environment: string | null;
  readonly pull: number | null;
}

/** A plan that a pull request has shown. */
export type ReviewPlace = Pick<Review, "environment" | "pull" | "fingerprint">;

/** The calls about reviews as they are stored. */
export interface ReviewStoreCalls {
  /** Newest first. */
  list(filter: ReviewFilter, limit: number): Review[];
  /** The plan that a merge of the pull request may apply. */
  newest(environment: string, pull: number): Review | null;
  /** The counts that were shown with the plan; null when nobody knows. */
  figures(place: ReviewPlace): ShownFigures | null;
  /** A pull request that was closed without a merge can no longer be applied. */
  forgetPull(environment: string, pull: number): void;
}

export class ReviewsStore implements ReviewStoreCalls {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  /**
   * Makes this the newest review of its pull request. A release of the same plan stays.
   *
   * @param counts false for what was shown after the merge: it can be released, but a merge alone
   * does not apply it. What has counted before is then left as it is: shown once more by the job
   * that applies, an older plan must not become the newest one.
   */
  put(review: NewReview, counts: boolean): void {
    this.#sql.exec(
      `INSERT INTO reviews SELECT ?1, ?2, ?3, coalesce(max(place), 0) + 1, ?4, ?5, ?6, ?7, ?8, NULL FROM reviews WHERE true
        ON CONFLICT (environment, pull, fingerprint) DO UPDATE SET place = excluded.place, counts = excluded.counts,
          headSha = excluded.headSha, runUrl = excluded.runUrl, requestedBy = excluded.requestedBy, reviewedAt = excluded.reviewedAt
          WHERE excluded.counts >= counts`,
      review.environment,
      review.pull,
      review.fingerprint,
      counts ? 1 : 0,
      review.headSha,
      review.runUrl,
      review.requestedBy,
      review.reviewedAt,
    );
    this.#forgetOld(review.reviewedAt);
  }

  /** False when the plan was never shown there. */
  release({ environment, pull, fingerprint }: ReviewPlace, release: Release): boolean {
    const { rowsWritten } = this.#sql.exec(
      "UPDATE reviews SET release = ? WHERE environment = ? AND pull = ? AND fingerprint = ?",
      JSON.stringify(release),
      environment,
      pull,
      fingerprint,
    );
    return rowsWritten > 0;
  }

  /** Takes note of the counts that were reviewed with the plan, or that a release agreed to. */
  putFigures(place: ReviewPlace, figures: ShownFigures): void {
    this.#putFigures("reviewFigures", place, figures);
  }

  /** Takes note of the counts that the pull request has shown last, whether or not they count. */
  putPosted(place: ReviewPlace, figures: ShownFigures): void {
    this.#putFigures("postedFigures", place, figures);
  }

  #putFigures(
    table: FiguresTable,
    { environment, pull, fingerprint }: ReviewPlace,
    figures: ShownFigures,
  ): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO ${table} VALUES (?, ?, ?, ?)`,
      environment,
      pull,
      fingerprint,
      JSON.stringify(figures),
    );
  }

  /** Null for a review that was stored before counts were, or of which nothing is known. */
  figures(place: ReviewPlace): ShownFigures | null {
    return this.#figures("reviewFigures", place);
  }

  /** Null where the pull request has not shown the plan since counts are stored. */
  posted(place: ReviewPlace): ShownFigures | null {
    return this.#figures("postedFigures", place);
  }

  #figures(
    table: FiguresTable,
    { environment, pull, fingerprint }: ReviewPlace,
  ): ShownFigures | null {
    const row = this.#sql
      .exec<{ figures: string }>(
        `SELECT figures FROM ${table} WHERE environment = ? AND pull = ? AND fingerprint = ?`,
        environment,
        pull,
        fingerprint,
      )
      .toArray()[0];
    return row === undefined ? null : (JSON.parse(row.figures) as ShownFigures);
  }

  /** Of the newest review of the plan in any pull request; null without one. */
  newestFigures(environment: string, fingerprint: string): ShownFigures | null {
    const [newest] = this.#read(
      "WHERE environment = ? AND fingerprint = ? AND counts = 1 ORDER BY place DESC LIMIT 1",
      environment,
      fingerprint,
    );
    return newest === undefined ? null : this.figures(newest);
  }

  /** Takes note that an apply job of the reviewed plan has come, and may only have to wait. */
  order({ environment, pull, fingerprint }: ReviewPlace): void {
    this.#sql.exec("INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", environment, pull, fingerprint);
  }

  /** Somebody has cancelled its run, or released it anew: it is left to the next apply job. */
  takeBack({ environment, pull, fingerprint }: ReviewPlace): void {
    this.#sql.exec(
      "DELETE FROM orders WHERE environment = ? AND pull = ? AND fingerprint = ?",
      environment,
      pull,
      fingerprint,
    );
  }

  /** The reviewed plans of an environment that apply jobs have asked for. */
  ordered(environment: string): ReviewPlace[] {
    return this.#sql
      .exec<{ environment: string; pull: number; fingerprint: string }>(
        "SELECT environment, pull, fingerprint FROM orders WHERE environment = ?",
        environment,
      )
      .toArray();
  }

  isOrdered({ environment, pull, fingerprint }: ReviewPlace): boolean {
    return (
      this.#sql
        .exec(
          "SELECT 1 FROM orders WHERE environment = ? AND pull = ? AND fingerprint = ?",
          environment,
          pull,
          fingerprint,
        )
        .toArray().length > 0
    );
  }

  newest(environment: string, pull: number): Review | null {
    return (
      this.#read(
        "WHERE environment = ? AND pull = ? AND counts = 1 ORDER BY place DESC LIMIT 1",
        environment,
        pull,
      )[0] ?? null
    );
  }

  find({ environment, pull, fingerprint }: ReviewPlace): Review | null {
    return (
      this.#read(
        "WHERE environment = ? AND pull = ? AND fingerprint = ?",
        environment,
        pull,
        fingerprint,
      )[0] ?? null
    );
  }

  list({ environment, pull }: ReviewFilter, limit: number): Review[] {
    return this.#read(
      "WHERE (?1 IS NULL OR environment = ?1) AND (?2 IS NULL OR pull = ?2) ORDER BY place DESC LIMIT ?3",
      environment,
      pull,
      limit,
    );
  }

  /** Plans that are still to be applied, or compared with. */
  keptPlans(): string[] {
    return this.#sql
      .exec<{ fingerprint: string }>(
        `SELECT fingerprint FROM reviews AS newest WHERE place = (SELECT max(place) FROM reviews
           WHERE environment = newest.environment AND pull = newest.pull AND counts = newest.counts)
          ORDER BY place DESC LIMIT ?`,
        KEPT_PLANS_MAX,
      )
      .toArray()
      .map(({ fingerprint }) => fingerprint);
  }

  forgetPull(environment: string, pull: number): void {
    this.#sql.exec("DELETE FROM reviews WHERE environment = ? AND pull = ?", environment, pull);
    for (const table of ["reviewFigures", "postedFigures", "orders"])
      this.#sql.exec(`DELETE FROM ${table} WHERE environment = ? AND pull = ?`, environment, pull);
  }

  #read(condition: string, ...bindings: SqlStorageValue[]): Review[] {
    const rows = this.#sql
      .exec<ReviewRow>(`SELECT ${COLUMNS} FROM reviews ${condition}`, ...bindings)
      .toArray();
    return rows.map(({ release, ...row }) => ({
      ...row,
      release: release === null ? null : (JSON.parse(release) as Release),
    }));
  }

  #forgetOld(now: number): void {
    this.#sql.exec(
      "DELETE FROM reviews WHERE reviewedAt < ? OR place <= (SELECT max(place) FROM reviews) - ?",
      now - REVIEW_AGE_MAX_MS,
      REVIEWS_MAX,
    );
    for (const table of ["reviewFigures", "postedFigures", "orders"])
      this.#sql.exec(
        `DELETE FROM ${table} WHERE (environment, pull, fingerprint) NOT IN (SELECT environment, pull, fingerprint FROM reviews)`,
      );
  }
}

type FiguresTable = "reviewFigures" | "postedFigures";

interface ReviewRow extends Record<string, SqlStorageValue> {
  readonly environment: string;
  readonly pull: number;
  readonly fingerprint: string;
  readonly headSha: string;
  readonly runUrl: string | null;
  readonly requestedBy: string;
  readonly reviewedAt: number;
  readonly release: string | null;
}
