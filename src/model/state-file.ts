/**
 * The Worker's own state as a file: `shardctl export --state` writes it, `shardctl import --state`
 * reads it. One JSON document, versioned; a later version reads the earlier ones.
 */

/** Says what the document is. Stored in people's backups: never change. */
export const STATE_KIND = "shardctl/state";
export const STATE_VERSION = 1;

/** A row, by column. Values are texts, whole numbers, null, or JSON. */
export type StateRow = Readonly<Record<string, unknown>>;

export interface StateHeader {
  readonly kind: typeof STATE_KIND;
  readonly version: number;
  /** When the export began, in milliseconds since the Unix epoch. */
  readonly exportedAt: number;
  /**
   * The id of the Worker's coordinator: it outlives its storage, and is another one in another
   * deployment. A file without it is of nobody knows which.
   */
  readonly worker?: string;
  /** GitHub's number of the repository that the Worker follows; null without one. */
  readonly repositoryId: string | null;
}

/** `POST /v1/state/imports`. */
export interface ImportRequest extends StateHeader {
  /** True to take over the state of another Worker, or of one that follows no repository. */
  readonly acceptsOther?: boolean;
}

/** The document. `tables` has the rows of each table by its name. */
export interface StateDocument extends StateHeader {
  readonly tables: Readonly<Record<string, readonly StateRow[]>>;
}

/** `GET /v1/state`: the header, and the tables in the order in which they are read. */
export interface StateIndex extends StateHeader {
  readonly names: readonly string[];
}

/** `GET /v1/state/:table`: at most about 2 MiB of rows. */
export interface StatePage {
  readonly rows: readonly StateRow[];
  /** For `?after=` of the next page; null at the end. */
  readonly next: string | null;
}

/** One table of an import: how many rows the file has, and what becomes of them. */
export interface TableReport {
  readonly table: string;
  readonly rows: number;
  /** Rows that are not here. */
  readonly added: number;
  /** Rows that are here, and older. */
  readonly replaced: number;
  /** Rows that stay as they are here: equal, newer, or not to be taken over. */
  readonly kept: number;
}

/**
 * `GET /v1/state/imports/:id`: what the import would do, and after its `apply`, what it has done.
 */
export interface ImportReport {
  readonly id: string;
  readonly exportedAt: number;
  readonly tables: readonly TableReport[];
  /** Everything that is not taken over as it was, each with the next step. */
  readonly notes: readonly string[];
  /** Why it is not applied. */
  readonly obstacles: readonly string[];
  /** Over all of the above: an apply does exactly this, or nothing. */
  readonly fingerprint: string;
  readonly isApplied: boolean;
}
