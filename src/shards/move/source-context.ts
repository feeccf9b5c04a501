/** Context that the parts of a source need from the object they run in. */
import type { MovePlan } from "./move-plan.ts";
import type { Ask } from "../protocol/messages.ts";
import type { Runtime, Sql } from "../storage/storage.ts";

export interface SourceContext {
  readonly sql: Sql;
  readonly self: string;
  readonly runtime: Runtime;
  /** The start of this life of the object, in milliseconds since the Unix epoch: it names it. */
  readonly life: number;
  /** The plan of the running move; throws when `operation` is not the one that runs. */
  plan(operation: number): MovePlan;
  readonly ask: Ask;
}
