/**
 * Waits for namespaces that are still counting their rows: a plan of one that is large takes
 * minutes the first time, in which it serves. Says how far they are.
 */
import { formatCount } from "../model/figures.ts";
import type { Plan } from "../model/plan.ts";
import type { ApiClient } from "./api-client.ts";
import type { Session } from "./session.ts";

/** A count of 10 GB takes some minutes; one that takes longer is told as it is. */
const WAIT_MS_MAX = 30 * 60_000;
/** The Worker itself waits for a count for 20 s before it answers how far it is. */
const PAUSE_MS = 1_000;

/** The same client, whose plans are made again until nothing is being counted. */
export function awaitingCounts(session: Session, api: ApiClient): ApiClient {
  const { host } = session;
  return {
    ...api,
    async createPlan(request) {
      const until = host.now() + WAIT_MS_MAX;
      for (;;) {
        const planned = await api.createPlan(request);
        const counting = planned.ok ? describeCounting(planned.value) : [];
        if (counting.length === 0 || host.now() >= until) return planned;
        for (const line of counting) host.stderr.write(`${line}\n`);
        await host.sleep(PAUSE_MS);
      }
    },
  };
}

function describeCounting({ blocks }: Plan): string[] {
  return blocks.flatMap(({ namespace, counted }) =>
    counted === undefined
      ? []
      : [`${namespace ?? "?"}: counting its rows, ${formatCount(counted)} so far`],
  );
}
