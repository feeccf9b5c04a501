/**
 * Gives `ctx.storage` of one object the user's alarm in the place of the runtime's: a class sets,
 * reads and deletes its own alarm as if the engine needed none.
 *
 * Own properties of that one `ctx.storage` replace the methods; the engine holds the real ones.
 * Functions that cannot be replaced are not: the engine's alarm is then revived by its next message
 * (see `Host`), and a class uses `shards.setAlarm`.
 *
 * | method                        | what it does here                                                                      |
 * |-------------------------------|----------------------------------------------------------------------------------------|
 * | `setAlarm`, `deleteAlarm`     | changes the user's alarm; rolled back with the transaction that it was called in       |
 * | `getAlarm`                    | the user's                                                                             |
 * | `transaction(closure)`        | the closure's own storage has the same three                                           |
 * | `deleteAll`                   | deletes everything, the user's alarm as the runtime would, never one of the engine;    |
 * |                               | what the object knew of its part in a namespace stays, so that it serves nothing false |
 */
import { type RealAlarm, alarmOf } from "../platform/real-alarm.ts";
import type { AlarmOptions } from "../storage/storage.ts";
import type { EngineAlarm } from "./engine-alarm.ts";
import type { UserAlarm } from "./user-alarm.ts";

/** The part of the host that the replacement needs. */
export interface StorageHost {
  readonly userAlarm: UserAlarm;
  /** Arm it in the turn of a change; `due` is the time of the engine's own work. */
  readonly alarm: Pick<EngineAlarm, "arm" | "due">;
  /**
   * Remembers the object's part in a namespace; gives what writes down that its storage was
   * deleted, and is true when there was a part.
   */
  rememberPart(): () => boolean;
}

/** The alarm functions of `ctx.storage`. */
export interface AlarmFunctions {
  setAlarm(scheduledTime: number | Date, options?: AlarmOptions): Promise<void>;
  getAlarm(options?: AlarmOptions): Promise<number | null>;
  deleteAlarm(options?: AlarmOptions): Promise<void>;
}

/** Puts the user's alarm in the place of the runtime's, and gives it. */
export function replaceAlarm(
  storage: DurableObjectStorage,
  real: RealAlarm,
  host: StorageHost,
): AlarmFunctions {
  const alarm = userFunctions(real, host);
  const runtime = Object.getPrototypeOf(storage) as DurableObjectStorage;
  const isReplaced = replace(storage, {
    ...alarm,
    transaction: <Value>(
      closure: (txn: DurableObjectTransaction) => Promise<Value>,
    ): Promise<Value> =>
      runtime.transaction.call(storage, (txn: DurableObjectTransaction) => {
        replace(txn, userFunctions(alarmOf(txn), host));
        return closure(txn);
      }) as Promise<Value>,
    deleteAll: (options?: DurableObjectPutOptions): Promise<void> =>
      deleteEverything(() => runtime.deleteAll.call(storage, options), real, host),
  });
  if (!isReplaced) {
    console.warn(
      "shardctl: ctx.storage.setAlarm cannot be replaced on this runtime: use shards.setAlarm, or operations wait for their next message",
    );
  }
  return alarm;
}

function userFunctions(real: RealAlarm, host: StorageHost): AlarmFunctions {
  const { userAlarm } = host;
  return {
    async setAlarm(scheduledTime, options) {
      const at = Number(scheduledTime);
      // The runtime has its own words for what is no time.
      if (!userAlarm.isKept || !(at > 0)) return real.setAlarm(scheduledTime as number, options);
      userAlarm.set(at);
      return host.alarm.arm(at, options);
    },
    async getAlarm(options) {
      return userAlarm.isKept ? userAlarm.get() : real.getAlarm(options);
    },
    async deleteAlarm(options) {
      if (!userAlarm.isKept) return real.deleteAlarm(options);
      // The runtime's alarm may fire for nothing once: that is cheaper than to find out whether the
      // engine needs it.
      userAlarm.clear();
    },
  };
}

/**
 * Deletes everything. Where the object had a part in a namespace, it says so from then on.
 * Elsewhere there are no private tables any more, so the runtime's alarm is the user's again, kept
 * or deleted as the compatibility date has it.
 */
async function deleteEverything(
  deleteAll: () => Promise<void>,
  real: RealAlarm,
  host: StorageHost,
): Promise<void> {
  const { userAlarm } = host;
  if (!userAlarm.isKept) return deleteAll();
  const userAt = userAlarm.get();
  const engineAt = host.alarm.due();
  const noteLoss = host.rememberPart();
  await deleteAll();
  const isPart = noteLoss();
  const isAlarmDeleted = (await real.getAlarm()) === null;
  if (isPart) {
    if (!isAlarmDeleted && userAt !== null) userAlarm.set(userAt);
    return host.alarm.arm(engineAt);
  }
  userAlarm.release();
  if (isAlarmDeleted) return;
  await (userAt === null ? real.deleteAlarm() : real.setAlarm(userAt));
}

/** True when every function now stands in the place of the object's own. */
function replace(object: object, functions: object): boolean {
  return Object.entries(functions).every(([name, value]) =>
    Reflect.defineProperty(object, name, {
      value,
      configurable: true,
      writable: true,
      enumerable: false,
    }),
  );
}
