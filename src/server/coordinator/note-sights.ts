/** Lets others see what reconciliation reads anyway, so that the status page and the history need no call of their own for it. */
import type { LiveAccess } from "../../live/port.ts";
import type { Observation } from "./observation.ts";
import type { PageFacts } from "../../page/page-facts.ts";

export function noteSights(
  live: LiveAccess,
  environment: string,
  page: Pick<PageFacts, "noteLive">,
  observation: Pick<Observation, "noteLive">,
): LiveAccess {
  return {
    ...live,
    async describe(ref) {
      const described = await live.describe(ref);
      if (!described.ok) return described;
      const now = Date.now();
      page.noteLive(described.value, now);
      await observation.noteLive(environment, described.value, (limit) => live.history(ref, limit), now);
      return described;
    },
  };
}
