/**
 * Stylesheet and script under names that hold their hash, so that browsers may keep them for ever.
 */
import { sha256Hex } from "../../model/canonical.ts";
import type { Assets } from "./frame.ts";
import { SCRIPT } from "./script.ts";
import { STYLESHEET } from "./stylesheet.ts";

const DIGITS = 16;

export interface ServedAssets extends Assets {
  /** By path. */
  readonly files: ReadonlyMap<string, { readonly type: string; readonly text: string }>;
}

let served: Promise<ServedAssets> | null = null;

/** Computed once: the texts are part of the program. */
export function serveAssets(): Promise<ServedAssets> {
  served ??= nameAssets();
  return served;
}

async function nameAssets(): Promise<ServedAssets> {
  const [style, code] = await Promise.all([sha256Hex(STYLESHEET), sha256Hex(SCRIPT)]);
  const stylesheet = `/assets/${style.slice(0, DIGITS)}.css`;
  const script = `/assets/${code.slice(0, DIGITS)}.js`;
  return {
    stylesheet,
    script,
    build: style.slice(0, DIGITS / 2) + code.slice(0, DIGITS / 2),
    files: new Map([
      [stylesheet, { type: "text/css; charset=utf-8", text: STYLESHEET }],
      [script, { type: "text/javascript; charset=utf-8", text: SCRIPT }],
    ]),
  };
}
