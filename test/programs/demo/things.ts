/**
 * The cities in the runtime: putting them in by the development data API, and reading every one
 * back to compare.
 */
import { canonicalText } from "./canonical-text.ts";
import type { City } from "./cities.ts";
import { openProgress } from "./say.ts";

const PATH = "/data/CITIES/cities/things";
const BATCH_CITIES = 5_000;
const MISTAKES_SHOWN = 5;

interface Thing {
  readonly id: string;
  readonly data: unknown;
}

export async function loadCities(endpoint: string, cities: readonly City[]): Promise<void> {
  const progress = openProgress("Loading cities", cities.length);
  for (let start = 0; start < cities.length; start += BATCH_CITIES) {
    const batch = cities.slice(start, start + BATCH_CITIES);
    const things = batch.map(({ id, record }) => ({ id, data: record }));
    await request(endpoint + PATH, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(things),
    });
    progress.update(start + batch.length);
  }
}

/** @throws Error when it was not acknowledged. */
export async function putThing(endpoint: string, { id, record }: City): Promise<void> {
  await request(endpoint + PATH, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify([{ id, data: record }]),
  });
}

/** Throws unless the runtime holds exactly the cities, each once and byte for byte. */
export async function verifyCities(endpoint: string, cities: readonly City[]): Promise<void> {
  const expected = new Map(cities.map(({ id, record }) => [id, canonicalText(record)]));
  const mistakes: string[] = [];
  const seen = new Set<string>();
  let read = 0;
  for await (const thing of readThings(endpoint)) {
    read++;
    if (seen.has(thing.id)) mistakes.push(`${thing.id} is there twice`);
    seen.add(thing.id);
    const text = expected.get(thing.id);
    if (text === undefined) mistakes.push(`${thing.id} is no city of the file`);
    else if (text !== canonicalText(thing.data))
      mistakes.push(`${thing.id} is ${canonicalText(thing.data)}, was ${text}`);
  }
  for (const { id } of cities) if (!seen.has(id)) mistakes.push(`${id} is missing`);
  if (mistakes.length > 0) {
    throw new Error(
      `${mistakes.length} mistakes, the first of them: ${mistakes.slice(0, MISTAKES_SHOWN).join("; ")}`,
    );
  }
}

async function* readThings(endpoint: string): AsyncGenerator<Thing> {
  let after: string | null = null;
  for (;;) {
    const query: string = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    const page = (await (
      await request(`${endpoint}${PATH}?limit=${BATCH_CITIES}${query}`)
    ).json()) as readonly Thing[];
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.id;
  }
}

async function request(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, init);
  if (response.ok) return response;
  throw new Error(
    `${init.method ?? "GET"} ${url} was answered with ${response.status}: ${(await response.text()).slice(0, 500)}`,
  );
}
