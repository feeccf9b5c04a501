/**
 * Answers of the status page: the whole document, or its main part alone with a tag that a browser
 * may send back.
 */
import { raw } from "hono/html";

import { sha256Hex } from "../../model/canonical.ts";
import { renderDocument } from "../../page/html/frame.ts";
import { type Markup, toText } from "../../page/html/markup.ts";
import { renderLogin, renderMessage } from "../../page/html/message-pages.ts";
import type { Surroundings } from "../../page/page-data.ts";
import type { ApiContext } from "../context.ts";
import { serveAssets } from "../../page/html/assets.ts";

const HTML = "text/html; charset=utf-8";
const ETAG_DIGITS = 32;

export interface Shown {
  readonly title: string;
  readonly main: Markup;
  readonly surroundings: Surroundings;
  readonly canSignOut: boolean;
}

/** True for a request of the page's script. */
export function wantsPart(context: ApiContext): boolean {
  return context.req.query("part") === "main";
}

export async function respondPage(
  context: ApiContext,
  { title, main, surroundings, canSignOut }: Shown,
): Promise<Response> {
  const assets = await serveAssets();
  const text = await toText(main);
  const etag = `"${(await sha256Hex(text)).slice(0, ETAG_DIGITS)}"`;
  const headers = { etag, "cache-control": "no-store", "x-shardctl-build": assets.build };
  if (wantsPart(context)) {
    const isKnown = context.req.header("if-none-match") === etag;
    return isKnown
      ? new Response(null, { status: 304, headers })
      : new Response(text, { headers: { ...headers, "content-type": HTML } });
  }
  const document = await renderDocument(raw(text), {
    title: `${title} · shardctl`,
    assets,
    etag,
    surroundings,
    canSignOut,
  });
  return new Response(document, { headers: { ...headers, "content-type": HTML } });
}

export function respondLogin(
  status: 200 | 401 | 403,
  page: { readonly next: string; readonly problem: string | null; readonly hasAccess: boolean },
): Promise<Response> {
  return respondStill(status, "Sign in", renderLogin(page));
}

export function respondMessage(status: number, title: string, detail: string): Promise<Response> {
  return respondStill(status, title, renderMessage(title, detail));
}

async function respondStill(status: number, title: string, main: Markup): Promise<Response> {
  const assets = await serveAssets();
  const document = await renderDocument(main, {
    title: `${title} · shardctl`,
    assets,
    etag: null,
    surroundings: null,
    canSignOut: false,
  });
  return new Response(document, {
    status,
    headers: { "content-type": HTML, "cache-control": "no-store" },
  });
}
