/**
 * Bodies and query parameters → checked values, or a refusal that names what is wrong and where.
 */
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import type * as z from "zod";

import { problemResponse } from "./problems.ts";
import { RefusedRequest } from "../model/refused-request.ts";

/** Largest body of the API. */
const BODY_BYTES_MAX = 8 * 1024 * 1024;

/** Problems listed in one refusal. */
const ERRORS_MAX = 100;

/** Refuses larger bodies before they are read to the end. */
export function limitBody(maxBytes: number = BODY_BYTES_MAX): ReturnType<typeof bodyLimit> {
  return bodyLimit({
    maxSize: maxBytes,
    onError: () =>
      problemResponse(
        "tooLarge",
        `The body is larger than ${maxBytes} bytes (${maxBytes / 1024 / 1024} MiB).`,
      ),
  });
}

/**
 * The JSON body, checked.
 *
 * @param fallback the value of an empty body; without one an empty body is refused.
 */
export async function readBody<Value>(
  context: Context,
  schema: z.ZodType<Value>,
  fallback?: Value,
): Promise<Value> {
  const text = await readText(context);
  if (text.trim() === "") {
    if (fallback !== undefined) return fallback;
    throw new RefusedRequest("invalid", "The body is empty; this call needs JSON.");
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new RefusedRequest(
      "invalid",
      `The body is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const errors = issues
    .slice(0, ERRORS_MAX)
    .map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  const first = errors[0];
  const where = first
    ? `${first.path === "" ? "the body" : first.path}: ${first.message}`
    : "it has the wrong shape";
  const more = issues.length > 1 ? `, and ${issues.length - 1} more` : "";
  throw new RefusedRequest("invalid", `The body is not valid: ${where}${more}.`, errors);
}

/** A whole number from the query, or the default. */
export function readNumber(
  context: Context,
  name: string,
  range: { min: number; max: number; fallback: number },
): number {
  const text = context.req.query(name);
  if (text === undefined) return range.fallback;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= range.min && value <= range.max) return value;
  throw new RefusedRequest(
    "invalid",
    `?${name}= must be a whole number from ${range.min} to ${range.max}.`,
  );
}

async function readText(context: Context): Promise<string> {
  const bytes = await context.req.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new RefusedRequest("invalid", "The body is not UTF-8 text.");
  }
}
