/** The part of the keyspace that one member owns, compared over two layouts. */
import { canonicalJson } from "../canonical.ts";
import type { Layout } from "./layout.ts";

/**
 * True when a member owns the same keys under both layouts, so that it may go from one to the other
 * without having taken part in a move.
 */
export function ownsSamePart(member: string, before: Layout, after: Layout): boolean {
  return canonicalJson(partOf(member, before)) === canonicalJson(partOf(member, after));
}

/** The fields of a layout that decide which keys the member owns; null for one that owns none. */
function partOf(member: string, layout: Layout): unknown {
  if (!layout.members.includes(member)) return null;
  switch (layout.kind) {
    case "none":
      return { kind: layout.kind };
    case "hash":
    case "range":
      return {
        kind: layout.kind,
        shardKey: layout.shardKey,
        pieces: piecesOf<unknown>(member, layout.ranges),
      };
    case "custom":
      return {
        kind: layout.kind,
        shardKey: layout.shardKey,
        members: layout.members,
        partitioner: layout.partitioner,
      };
    case "roundRobin":
      return { kind: layout.kind, shardKey: layout.shardKey, members: layout.members };
  }
}

/** The ends of the member's ranges, each with where it begins; neighbours are one piece. */
function piecesOf<End>(
  member: string,
  ranges: readonly { readonly end: End; readonly member: string }[],
): { readonly from: End | null; readonly end: End }[] {
  const pieces: { from: End | null; end: End }[] = [];
  for (const [index, range] of ranges.entries()) {
    const before = ranges[index - 1];
    const last = pieces.at(-1);
    if (range.member !== member) continue;
    if (last && before?.member === member) last.end = range.end;
    else pieces.push({ from: before?.end ?? null, end: range.end });
  }
  return pieces;
}
