/**
 * An object's storage in Node, for tests of what needs no runtime: everything is durable at once.
 */
import { type RunAlone, Sql } from "../../../src/shards/storage/storage.ts";
import { SimStorage } from "../../sim/storage.ts";

export function openStorage(): SimStorage {
  const storage: SimStorage = new SimStorage({
    changed: () => undefined,
    flushNow: () => storage.flush(),
    settled: () => Promise.resolve(),
    turn: () => 0,
    full: () => undefined,
    broken: () => undefined,
  });
  return storage;
}

export function openSql(): Sql {
  return new Sql(openStorage());
}

/** For objects to which nothing is delivered but what a test calls itself. */
export const runAlone: RunAlone = (work) => work(() => Promise.resolve());
