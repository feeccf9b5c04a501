/**
 * Eight writers that put cities of their own all the time, each one after the other, and again
 * until the runtime has acknowledged it. What is acknowledged must be there at the end.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { City } from "./cities.ts";
import type { DemoRuntime } from "./runtime.ts";
import { putThing } from "./things.ts";

const WRITERS = 8;
/** Between two writes of a writer. */
const EVERY_MS = 100;
const AGAIN_MS = 50;
/** The runtime is back so soon after a kill. */
const RESTART_MS = 5_000;
/** Shard keys of the rekey, some of which are on each shard. */
const COUNTRIES = ["DE", "FR", "US", "IN", "BR", "JP", "NG", "MX", "IT", "PL"];

export interface Written {
  /** Acknowledged, each once. */
  readonly cities: readonly City[];
  /** The longest write while the runtime was up, from its first try, in milliseconds. */
  readonly longestMs: number;
  /** The longest that was under way, or begun, while the runtime was killed and came back. */
  readonly longestKilledMs: number;
}

export interface Writers {
  /** Ends each writer after the write that it is about. */
  stop(): Promise<Written>;
}

export function startWriters(runtime: DemoRuntime): Writers {
  const stop = { isStopped: false };
  const cities: City[] = [];
  const longest = { up: 0, killed: 0 };
  const write = async (writer: number): Promise<void> => {
    for (let count = 0; !stop.isStopped; count++) {
      const country = COUNTRIES[(writer + count) % COUNTRIES.length] ?? "";
      const id = `written-${writer}-${String(count).padStart(5, "0")}`;
      const city = { id, record: { country, name: `City ${count} of writer ${writer}` } };
      const startedAt = Date.now();
      while (!(await isAcknowledged(runtime.endpoint, city))) await sleep(AGAIN_MS);
      const tookMs = Date.now() - startedAt;
      const kind = runtime.killedAt.some((at) => at >= startedAt - RESTART_MS) ? "killed" : "up";
      longest[kind] = Math.max(longest[kind], tookMs);
      cities.push(city);
      await sleep(EVERY_MS);
    }
  };
  const running = Array.from({ length: WRITERS }, (_, writer) => write(writer));
  return {
    stop: async () => {
      stop.isStopped = true;
      await Promise.all(running);
      return { cities, longestMs: longest.up, longestKilledMs: longest.killed };
    },
  };
}

/** False when nobody knows whether it was written: the runtime was killed, or starts again. */
async function isAcknowledged(endpoint: string, city: City): Promise<boolean> {
  try {
    await putThing(endpoint, city);
    return true;
  } catch {
    return false;
  }
}
