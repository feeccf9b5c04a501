/** Lets others see what reconciliation reads anyway, so that the status page and the history need no call of their own for it. */
import type { LiveNamespace } from "../../core/live.ts";
import type { LiveAccess } from "../../live/port.ts";
import type { ReadHistory } from "../history/watched-operations.ts";

export function noteSights(live: LiveAccess, note: (seen: LiveNamespace, readHistory: ReadHistory) => Promise<void>): LiveAccess {
  return {
    ...live,
    async describe(ref) {
      const described = await live.describe(ref);
      if (described.ok) await note(described.value, (limit) => live.history(ref, limit));
      return described;
    },
  };
}
