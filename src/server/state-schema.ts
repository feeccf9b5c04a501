/**
 * The schemas of an exported state and of its rows, from the columns of its tables: what an import
 * is checked by, and `schemas/state.schema.json`.
 */
import * as z from "zod";

import { STATE_KIND, STATE_VERSION } from "../model/state-file.ts";
import { allTables, type Column } from "./coordinator/state/state-tables.ts";

/** Rows of one request: their text is bounded by the body's limit. */
const ROWS_MAX = 10_000;

const ABOUT: Readonly<Record<string, string>> = {
  reviews: "Plans that pull requests were shown, with their releases",
  reviewFigures: "Counts that were shown with them",
  orders: "Reviewed plans that an apply job was given. Not taken over by an import",
  applied: "The plan that was applied last in each environment",
  plans: "Plans that reviews, or what was applied last, speak of. Their bodies are documents",
  runs: "Runs. Their bodies are documents",
  leases: "The last token of the runs of each environment",
  namespaces: "Namespaces that each environment remembers, since they are or were sharded",
  claims: "Namespaces that each environment declares or has declared, or has run a change of",
  registries: "The highest epoch of each namespace that was seen, and its members",
  reconcileDocuments: "Each environment as the last tick left it, and the switch that pauses",
  reconciledNames: "Each namespace as the last look left it",
  watchedOperations: "The last operation of each namespace that the history has told of",
  alerts: "The alert of each environment, and what was told where",
  pulls: "Digests of what was posted in pull requests",
  once: "Tokens of workflows that have changed something, and may not do so again",
  events: "The history, by number",
  documents: "Bodies of plans and runs as JSON text, in pieces that follow one another",
};

const header = {
  kind: z.literal(STATE_KIND).describe("Says what this document is"),
  version: z.literal(STATE_VERSION).describe("Version of this format"),
  exportedAt: z
    .int()
    .min(0)
    .describe("When the export began, in milliseconds since the Unix epoch"),
  worker: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe("The id of the Worker's coordinator, which outlives its storage")
    .exactOptional(),
  repositoryId: z
    .string()
    .nullable()
    .describe("GitHub's number of the repository that the Worker follows; null without one"),
};

/** The header of an import, and whether it may be another Worker's. */
export const importRequestSchema = z.strictObject({
  ...header,
  acceptsOther: z.boolean().exactOptional(),
});

/** Rows of one table; null when there is no such table. */
export function stateRowsSchema(table: string): z.ZodType<Record<string, unknown>[]> | null {
  const found = allTables().get(table);
  return found ? z.array(rowSchema(found.columns)).max(ROWS_MAX) : null;
}

/** The whole document, as JSON Schema. */
export function stateJsonSchema(): { readonly name: string; readonly text: string } {
  const tables = [...allTables()].map(([name, { columns }]) => [
    name,
    z.array(rowSchema(columns)).describe(ABOUT[name] ?? name),
  ]);
  const document = z.strictObject({
    ...header,
    tables: z
      .strictObject(Object.fromEntries(tables) as Record<string, z.ZodType>)
      .describe("The rows of each table, by its name"),
  });
  const json = z.toJSONSchema(document, { target: "draft-7", io: "input", unrepresentable: "any" });
  return { name: "state.schema.json", text: `${JSON.stringify(json, null, 2)}\n` };
}

function rowSchema(columns: Readonly<Record<string, Column>>): z.ZodType<Record<string, unknown>> {
  return z.strictObject(
    Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, cellSchema(column)])),
  );
}

function cellSchema({ kind, isNullable }: Column): z.ZodType {
  const cell = {
    text: z.string(),
    int: z.int(),
    json: z.union([z.record(z.string(), z.unknown()), z.array(z.unknown())]),
  }[kind];
  return isNullable ? cell.nullable() : cell;
}
