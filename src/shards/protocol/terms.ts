/** Names an operation, a row or a page in requests and replies alike. */
/**
 * Fields of every engine message: a member refuses a message that is older than what it has seen.
 */
export interface OfOperation {
  readonly operation: number;
  /**
   * Tells the operation from another of the same number, as a root begins that was restored.
   * Absent from a root of an older library.
   */
  readonly token?: string;
  /** The epoch of the root's registry, when the root sends. */
  readonly registryEpoch?: number;
}

/** A row as the directory names it: its primary key as text. */
export interface RowId {
  readonly table: string;
  readonly id: string;
}

/** The last page that a source has sent to a target. */
export interface PageFloor {
  readonly source: string;
  readonly target: string;
  readonly sequence: number;
}
