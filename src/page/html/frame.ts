/**
 * The whole document around a page's main part. The main part alone is what the page's script asks
 * for again and again, so that nothing in it may depend on the time of day: moments stand as
 * moments, and what they are ago the script says.
 */
import { overviewAddress } from "./addresses.ts";
import { type Markup, markup, toText } from "./markup.ts";
import type { Surroundings } from "../page-data.ts";

export interface Assets {
  readonly stylesheet: string;
  readonly script: string;
  /** Changes when either does: a page of another build loads itself anew. */
  readonly build: string;
}

export interface FrameOptions {
  readonly title: string;
  readonly assets: Assets;
  /** Null for pages that stand still. */
  readonly etag: string | null;
  readonly surroundings: Pick<Surroundings, "environment" | "environments"> | null;
  /** Set when the caller came by a token that the browser keeps. */
  readonly canSignOut: boolean;
}

/** Without JavaScript the page loads itself so often. */
const RELOAD_S = 30;
const BARS = "M1 9h4v6H1zm5-5h4v11H6zm5-3h4v14h-4z";
const ICON = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%23f60' d='${BARS}'/%3E%3C/svg%3E`;

const BRAND = markup`<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${BARS}"/></svg>`;

/** @param main text that `toText` gave of a `<main>`. */
export async function renderDocument(main: Markup, options: FrameOptions): Promise<string> {
  const { title, assets, etag, surroundings, canSignOut } = options;
  const live =
    etag === null
      ? null
      : markup`<script src="${assets.script}" defer></script>
<noscript><meta http-equiv="refresh" content="${RELOAD_S}"></noscript>
`;
  const rendered = markup`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="${ICON}">
<link rel="stylesheet" href="${assets.stylesheet}">
${live}</head>
<body${etag === null ? null : markup` data-etag="${etag}"`} data-build="${assets.build}">
<a class="skip" href="#main">Skip to the content</a>
<header>
<a class="brand" href="/">${BRAND}shardctl</a>
${surroundings === null ? null : environmentLinks(surroundings)}
${canSignOut ? markup`<form method="post" action="/logout"><button>Sign out</button></form>` : null}
</header>
<p id="connection" role="status"></p>
${main}
</body>
</html>
`;
  return `<!doctype html>\n${await toText(rendered)}`;
}

function environmentLinks({
  environment,
  environments,
}: Pick<Surroundings, "environment" | "environments">): Markup | null {
  if (environments.length < 2) return null;
  const links = environments.map((one) => {
    const current = one === environment ? markup` aria-current="page"` : null;
    return markup`<li><a href="${overviewAddress({ environment: one })}"${current}>${one}</a></li>`;
  });
  return markup`<nav aria-label="Environments"><ul>${links}</ul></nav>`;
}
