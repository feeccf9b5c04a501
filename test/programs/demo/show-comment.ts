/**
 * A comment as a person reads it on GitHub, for a terminal: details stay folded, entities are
 * characters, tags are gone.
 */
import pc from "picocolors";

import { say } from "./say.ts";

/** Prints the comment between two lines, with what it is titled. */
export function showComment(title: string, body: string): void {
  const text = body
    .replace(/<details><summary>(.*?)<\/summary>[\s\S]*?<\/details>/g, "▸ $1")
    .replace(/<\/?(?:code|sub|details|summary)>/g, "")
    .replace(/&#(\d+);/g, (_, code: string) =>
      code === "8203" ? "" : String.fromCodePoint(Number(code)),
    )
    .replace(/\n{3,}/g, "\n\n")
    .trim();
  say(pc.cyan(`┌─ ${title}`));
  for (const line of text.split("\n")) say(`${pc.cyan("│")} ${line}`);
  say(pc.cyan("└─"));
}
