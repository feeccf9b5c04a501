/**
 * The one alarm that the runtime gives an object, whoever has put other functions in its place on
 * `ctx.storage` since.
 *
 * Taken before the first replacement and remembered for each storage: a second host of the same
 * object must not take the user's alarm, as the first has put it there, for the real one.
 */
import type { AlarmOptions } from "../storage/storage.ts";

export interface RealAlarm {
  getAlarm(options?: AlarmOptions): Promise<number | null>;
  setAlarm(scheduledTimeMs: number, options?: AlarmOptions): Promise<void>;
  deleteAlarm(options?: AlarmOptions): Promise<void>;
}

const known = new WeakMap<object, RealAlarm>();

export function realAlarmOf(storage: DurableObjectStorage): RealAlarm {
  const found = known.get(storage) ?? alarmOf(storage);
  known.set(storage, found);
  return found;
}

/** The alarm functions that an object has now. */
export function alarmOf(storage: DurableObjectStorage | DurableObjectTransaction): RealAlarm {
  // Taken now: the storage's own may be others later.
  const getAlarm = storage.getAlarm.bind(storage);
  const setAlarm = storage.setAlarm.bind(storage);
  const deleteAlarm = storage.deleteAlarm.bind(storage);
  return {
    getAlarm: (options) => getAlarm(options),
    setAlarm: (scheduledTimeMs, options) => setAlarm(scheduledTimeMs, options),
    deleteAlarm: (options) => deleteAlarm(options),
  };
}
