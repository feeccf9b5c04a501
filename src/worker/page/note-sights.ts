/** Lets the status page see what reconciliation reads anyway, so that a look at the page needs no call of its own. */
import type { LiveNamespace } from "../../core/live.ts";
import type { LiveAccess } from "../../live/port.ts";

export function noteSights(live: LiveAccess, note: (live: LiveNamespace) => void): LiveAccess {
  return {
    ...live,
    async describe(ref) {
      const described = await live.describe(ref);
      if (described.ok) note(described.value);
      return described;
    },
  };
}
