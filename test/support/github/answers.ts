/** Answers of the REST API: bodies, GitHub's error shapes, and pages with their Link header. */

export interface Answer {
  readonly status: number;
  /** An object is sent as JSON, bytes and text as they are, `null` as nothing. */
  readonly body: object | string | Uint8Array | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface FieldError {
  readonly resource: string;
  readonly field: string;
  readonly code:
    | "missing"
    | "missing_field"
    | "invalid"
    | "already_exists"
    | "unprocessable"
    | "custom";
  readonly message?: string;
  readonly value?: unknown;
}

const PAGE_ITEMS_DEFAULT = 30;
export const PAGE_ITEMS_MAX = 100;
const DOCS = "https://docs.github.com/rest";

export function answer(
  status: number,
  body: Answer["body"],
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, body, headers };
}

export function refuse(status: number, message: string, docs = "", more: object = {}): Answer {
  return answer(status, {
    message,
    ...more,
    documentation_url: docs.startsWith("http") ? docs : `${DOCS}${docs}`,
    status: String(status),
  });
}

export function notFound(docs = ""): Answer {
  return refuse(404, "Not Found", docs);
}

export function badCredentials(): Answer {
  return refuse(401, "Bad credentials");
}

/** 422 as Rails models answer it. */
export function invalidFields(errors: readonly FieldError[], docs = ""): Answer {
  return refuse(422, "Validation Failed", docs, { errors });
}

/** 422 as the JSON schema in front of newer endpoints answers it, checks among them. */
export function invalidRequest(problem: string, docs = ""): Answer {
  return refuse(422, `Invalid request.\n\n${problem}`, docs);
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly headers: Readonly<Record<string, string>>;
}

/** `page` from 1, `per_page` up to 100; the Link header names what exists. */
export function paginate<Item>(items: readonly Item[], url: URL): Page<Item> {
  const perPage = Math.min(
    PAGE_ITEMS_MAX,
    positive(url.searchParams.get("per_page"), PAGE_ITEMS_DEFAULT),
  );
  const page = positive(url.searchParams.get("page"), 1);
  const last = Math.max(1, Math.ceil(items.length / perPage));
  const links: string[] = [];
  const add = (rel: string, to: number) => {
    const target = new URL(url);
    target.searchParams.set("page", String(to));
    links.push(`<${target.href}>; rel="${rel}"`);
  };
  if (page > 1) add("prev", page - 1);
  if (page < last) {
    add("next", page + 1);
    add("last", last);
  }
  if (page > 1) add("first", 1);
  return {
    items: items.slice((page - 1) * perPage, page * perPage),
    headers: links.length === 0 ? {} : { link: links.join(", ") },
  };
}

function positive(text: string | null, otherwise: number): number {
  const value = Number(text);
  return Number.isInteger(value) && value > 0 ? value : otherwise;
}
