/** Rows on their way into a target: the values that travel together through its functions. */
import type { RowsPart } from "../protocol/messages.ts";
import type { Sql } from "../storage/storage.ts";
import type { MovePlan, MoveTable } from "./move-plan.ts";

/** The target's side of a move, and the source that its rows come from. */
export interface Incoming {
  readonly sql: Sql;
  readonly plan: MovePlan;
  readonly source: string;
}

/** The rows of one table in a message, and the table that they belong into. */
export interface IncomingPart {
  readonly part: RowsPart;
  readonly table: MoveTable;
}
