/** Addresses of the page's own routes. */
import type { NamespaceRef } from "../../model/live.ts";
import type { StateFilter } from "../page-data.ts";

export function namespaceAddress(
  { object, name }: NamespaceRef,
  environment: string | null,
): string {
  return `/namespaces/${encodeURIComponent(object)}/${encodeURIComponent(name)}${queryOf({ environment })}`;
}

export function overviewAddress(query: {
  readonly environment: string | null;
  readonly search?: string;
  readonly state?: StateFilter | null;
  readonly page?: number;
}): string {
  const { environment, search = "", state = null, page = 1 } = query;
  const shownPage = page === 1 ? null : String(page);
  return `/${queryOf({ environment, search: search === "" ? null : search, state, page: shownPage })}`;
}

function queryOf(parameters: Readonly<Record<string, string | null>>): string {
  const given = Object.entries(parameters).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given).toString()}`;
}
