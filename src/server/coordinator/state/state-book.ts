/**
 * The coordinator's state as a file: read in pages for an export, and taken over from one.
 *
 * An import is staged first, page by page. Then it is one transaction: to show what it would do,
 * the transaction is rolled back; to do it, it is kept. So what is shown is what is done, and
 * nothing is half done. It may be asked for again after a lost answer.
 */
import { canonicalJson, sha256Hex } from "../../../model/canonical.ts";
import type { GithubSettings } from "../../../github/settings.ts";
import { formatQuantity } from "../../../model/figures.ts";
import {
  type ImportReport,
  type ImportRequest,
  STATE_KIND,
  STATE_VERSION,
  type StateIndex,
  type StatePage,
  type StateRow,
  type TableReport,
} from "../../../model/state-file.ts";
import type { Reconciliation } from "../../../reconcile/reconciliation.ts";
import { CoordinatorStore } from "../../../runs/store.ts";
import { mergeEnvironments } from "./merge-environments.ts";
import { mergeEvents, recordImport } from "./merge-events.ts";
import { mergePlans, mergeReviews } from "./merge-reviews.ts";
import { mergeRows } from "./merge-rows.ts";
import { mergeRuns } from "./merge-runs.ts";
import { readStatePage } from "./read-state.ts";
import { StagedRows } from "./staged-rows.ts";
import { allTables, DOCUMENTS } from "./state-tables.ts";
import { Tally } from "./tally.ts";

/** The calls about the Worker's own state. */
export interface StateCalls {
  index(): StateIndex;
  /** Null when there is no such table. */
  page(table: string, after: string | null): StatePage | null;
  /** Begins an import under this id, in place of one that was not applied. */
  begin(id: string, request: ImportRequest): void;
  /** Adds rows of one table, checked. False when it is not the import that was begun last. */
  stage(id: string, table: string, rows: readonly StateRow[]): boolean;
  /** Null when it is not the import that was begun last. */
  report(id: string): Promise<ImportReport | null>;
  /**
   * Takes the rows over, exactly as the report of this fingerprint says. Null as above; the report
   * of now, not applied, when it is another by now, or has obstacles.
   */
  apply(id: string, fingerprint: string, by: string): Promise<ImportReport | null>;
}

export interface StateParts {
  readonly storage: DurableObjectStorage;
  /** The id of the object, by which a file is known to be this Worker's. */
  readonly worker: string;
  /** Null when no repository is followed. */
  readonly settings: () => Pick<GithubSettings, "repositoryId" | "environment"> | null;
  /** Told of an import: what it keeps in memory is read anew. */
  readonly reconciliation: Pick<Reconciliation, "environments" | "reload">;
}

/** Digits of an id that tell two Workers of one person apart. */
const ID_SHOWN = 12;
const IF_MEANT =
  "If it is meant, as after a move to a new Worker: `shardctl import --state <file> --from-another-worker`";

/** Takes everything back that a transaction has done. */
class Shown extends Error {}

export class StateBook implements StateCalls {
  readonly #parts: StateParts;
  readonly #staged: StagedRows;

  constructor(parts: StateParts) {
    this.#parts = parts;
    this.#staged = new StagedRows(parts.storage.sql);
  }

  index(): StateIndex {
    return {
      kind: STATE_KIND,
      version: STATE_VERSION,
      exportedAt: Date.now(),
      worker: this.#parts.worker,
      repositoryId: this.#parts.settings()?.repositoryId ?? null,
      names: [...allTables().keys()],
    };
  }

  page(table: string, after: string | null): StatePage | null {
    return readStatePage(this.#parts.storage.sql, table, after);
  }

  begin(id: string, request: ImportRequest): void {
    if (this.#staged.findImport(id) !== null) return;
    this.#parts.storage.transactionSync(() => this.#staged.begin(id, request));
  }

  stage(id: string, table: string, rows: readonly StateRow[]): boolean {
    if (this.#staged.findImport(id) === null) return false;
    this.#parts.storage.transactionSync(() => this.#staged.put(table, rows));
    return true;
  }

  async report(id: string): Promise<ImportReport | null> {
    const known = this.#staged.findImport(id);
    if (known === null) return null;
    if (known.report?.isApplied) return known.report;
    let merged: Merged | null = null;
    this.#keepUnlessShown(() => {
      merged = this.#merge(known.request);
      throw new Shown();
    });
    const report = await this.#reportOf(id, known.request, requireMerged(merged));
    this.#staged.show(report);
    return report;
  }

  async apply(id: string, fingerprint: string, by: string): Promise<ImportReport | null> {
    const known = this.#staged.findImport(id);
    const shown = known?.report ?? null;
    if (known === null || shown?.isApplied) return shown;
    if (shown?.fingerprint !== fingerprint) return this.report(id);
    if (shown.obstacles.length > 0) return shown;
    const report: ImportReport = { ...shown, isApplied: true };
    const isDone = this.#keepUnlessShown(() => {
      const merged = this.#merge(known.request);
      if (factsOf(merged) !== factsOf(shown)) throw new Shown();
      this.#record(merged, report, by);
      this.#staged.finish(report);
    });
    if (!isDone) return this.report(id);
    this.#parts.reconciliation.reload();
    return report;
  }

  /** One transaction. False when it was only shown, and is as if it had not been. */
  #keepUnlessShown(write: () => void): boolean {
    try {
      this.#parts.storage.transactionSync(write);
      return true;
    } catch (error) {
      if (error instanceof Shown) return false;
      throw error;
    }
  }

  #merge(request: ImportRequest): Merged {
    const { sql } = this.#parts.storage;
    const staged = this.#staged;
    const now = Date.now();
    const tally = new Tally();
    const store = new CoordinatorStore(sql);
    const nextEvent = mergeEvents(sql, staged, tally);
    const { exportedAt } = request;
    const notes = [
      ...(request.acceptsOther === true ? this.#foreign(request) : []),
      ...mergeEnvironments(sql, staged, tally),
      ...mergeReviews(sql, staged, tally, exportedAt, now),
      ...mergeRuns(staged, tally, store, now),
    ];
    mergePlans(sql, staged, tally, store);
    mergeRows(sql, staged, tally, now);
    const tables = [...allTables().keys()]
      .filter((table) => table !== DOCUMENTS)
      .map((table): TableReport => ({ table, rows: staged.count(table), ...tally.of(table) }));
    return { tables, notes, nextEvent };
  }

  async #reportOf(
    id: string,
    request: ImportRequest,
    { tables, notes }: Merged,
  ): Promise<ImportReport> {
    const obstacles = this.#obstacles(request);
    const { exportedAt } = request;
    const fingerprint = await sha256Hex(canonicalJson({ exportedAt, tables, notes, obstacles }));
    return { id, exportedAt, tables, notes, obstacles, fingerprint, isApplied: false };
  }

  #obstacles(request: ImportRequest): string[] {
    const own = this.#parts.settings();
    const { repositoryId } = request;
    if (own !== null && repositoryId !== null && repositoryId !== own.repositoryId)
      return [
        `the file is of a Worker that follows repository ${repositoryId}, and this one follows ${own.repositoryId}: reviews of its pull requests prove nothing here`,
      ];
    const foreign = request.acceptsOther === true ? [] : this.#foreign(request);
    if (foreign.length > 0) return foreign.map((reason) => `${reason}. ${IF_MEANT}`);
    if (own === null) return [];
    const theirs = this.#staged.environments();
    if (theirs.length === 0 || theirs.includes(own.environment)) return [];
    return [
      `the file tells of ${theirs.join(", ")}, and this Worker is ${own.environment}: import it where it comes from`,
    ];
  }

  /** How the file is not of this Worker, where that may be meant. */
  #foreign({ worker, repositoryId }: ImportRequest): string[] {
    const own = this.#parts.worker;
    const followed = this.#parts.settings()?.repositoryId ?? null;
    if (worker === undefined) return ["the file does not say which Worker it is of"];
    if (worker !== own)
      return [
        `the file is of another Worker (${worker.slice(0, ID_SHOWN)}), and this one is ${own.slice(0, ID_SHOWN)}: what it tells of pull requests, runs and namespaces may not be so here`,
      ];
    if (repositoryId === followed) return [];
    const words = [repositoryId, followed].map((id) =>
      id === null ? "no repository" : `repository ${id}`,
    );
    return [
      `the file is of a Worker that follows ${words[0] ?? ""}, and this one follows ${words[1] ?? ""}`,
    ];
  }

  #record({ tables, nextEvent }: Merged, { exportedAt }: ImportReport, by: string): void {
    const { sql } = this.#parts.storage;
    const sum = (field: "added" | "replaced"): number =>
      tables.reduce((total, table) => total + table[field], 0);
    if (sum("added") + sum("replaced") === 0) return;
    const summary = `the Worker's state of ${new Date(exportedAt).toISOString()} was imported: ${formatQuantity(sum("added"), "row")} added, ${sum("replaced")} replaced`;
    const known = sql
      .exec<{ environment: string }>("SELECT DISTINCT environment FROM events ORDER BY environment")
      .toArray()
      .map(({ environment }) => environment);
    const environments = [
      ...new Set([...this.#parts.reconciliation.environments(), ...known]),
    ].toSorted();
    recordImport(sql, nextEvent, environments, { at: Date.now(), actor: by, summary });
  }
}

interface Merged {
  readonly tables: readonly TableReport[];
  readonly notes: readonly string[];
  readonly nextEvent: number | null;
}

/** All that was shown of a merge. */
function factsOf({ tables, notes }: Pick<ImportReport, "tables" | "notes">): string {
  return canonicalJson({ tables, notes });
}

function requireMerged(merged: Merged | null): Merged {
  if (merged === null) throw new Error("A merge that was shown has a result");
  return merged;
}
