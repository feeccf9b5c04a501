/**
 * Replaces split points by numbers in answers to callers without the role `apply`: they are keys of
 * rows. A plan must keep them, since it will cut at them.
 */
import type { ApiContext } from "./context.ts";
import { type Caller, hasRole } from "./access/tokens.ts";

export async function hideSplitPoints(context: ApiContext): Promise<void> {
  const caller = context.var.caller as Caller | undefined;
  if (caller === undefined || hasRole(caller.role, "apply")) return;
  const { res } = context;
  if (!res.headers.get("content-type")?.startsWith("application/json")) return;
  const text = await res.clone().text();
  if (!text.includes('"ranges":') && !text.includes('"splitPoints":')) return;
  context.res = new Response(JSON.stringify(JSON.parse(text, hide)), res);
}

/** For `JSON.parse`. The number of a point says which it is, not where it is. */
function hide(name: string, value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  if (name === "splitPoints") return value.map((_, index) => ({ hidden: index + 1 }));
  // The ranges of a hash layout end at slots.
  if (name !== "ranges" || !value.every(isKeyRange)) return value;
  return value.map((range, index) =>
    range.end === null ? range : { ...range, end: { hidden: index + 1 } },
  );
}

interface AnyRange {
  readonly end: object | null;
}

function isKeyRange(range: unknown): range is AnyRange {
  return (
    typeof range === "object" &&
    range !== null &&
    "end" in range &&
    (typeof range.end === "object" || range.end === null)
  );
}
