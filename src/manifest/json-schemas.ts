/**
 * JSON Schemas for editors, made from the schemas that the parser uses. Rules that tie options
 * together are the parser's alone.
 */
import * as z from "zod";

import { configSchema } from "./config-schema.ts";
import { namespaceSchema } from "./namespace-schema.ts";

export interface JsonSchemaFile {
  /** File name below `schemas/`. */
  readonly name: string;
  /** JSON text that ends with a line break. */
  readonly text: string;
}

/** The schema files, as they must stand in `schemas/`. Draft 7, which editors know best. */
export function jsonSchemas(): readonly JsonSchemaFile[] {
  return [
    { name: "config.schema.json", text: toText(configSchema) },
    { name: "namespace.schema.json", text: toText(namespaceSchema) },
  ];
}

function toText(schema: z.ZodType): string {
  return `${JSON.stringify(z.toJSONSchema(schema, { target: "draft-7", io: "input", unrepresentable: "any" }), null, 2)}\n`;
}
