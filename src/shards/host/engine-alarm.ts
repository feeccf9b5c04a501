/**
 * Keeps the engine's work in the object's one alarm, beside the user's: it is never later than
 * either, and set again when somebody has set or deleted it.
 */
import type { HostPlatform } from "../platform/host-platform.ts";
import type { Root } from "../root/root.ts";
import type { AlarmOptions } from "../storage/storage.ts";
import type { FenceResolver } from "./fence-resolver.ts";
import { BEGINNING, REVIVING, ROUTED } from "./message-kinds.ts";
import type { MessageKind } from "../protocol/messages.ts";
import type { OwnName } from "./own-name.ts";
import { sideBySide } from "./side-by-side.ts";
import type { UserAlarm } from "./user-alarm.ts";

/**
 * How much later than now an alarm is set at least: one that is set to now in its own handler may
 * fire late.
 */
const ALARM_MS_MIN = 1;
/** Pause between two looks at what has become due while the engine or the user's handler works. */
const SIDE_PAUSE_MS = 1_000;
/** An alarm that is this late is set again: the runtime may have given up on it. */
const OVERDUE_MS = 1_000;
/**
 * An alarm that is set for so much later than the engine's work is the user's. Longer than the
 * engine's own lease.
 */
const FOUND_MS_MIN = 2_000;
/** Messages that come often look after the alarm this often. */
const REVIVE_PAUSE_MS = 1_000;
/**
 * The alarm of an object that waits for a newer library is kept by setting it so far ahead, again
 * and again.
 */
const NEWER_SCHEMA_ALARM_MS = 60_000;

/** The parts of a host that the alarm works with. */
export interface AlarmHost {
  readonly platform: HostPlatform;
  readonly userAlarm: UserAlarm;
  /** By its name of now: it may learn one. */
  readonly root: Root;
  /** Why its stored data belongs to a newer library; null when it does not. */
  readonly newerSchema: string | null;
  readonly member: { readonly moving: unknown; keepWriteBlocks(): Promise<void> | undefined };
}

export class EngineAlarm {
  readonly #host: AlarmHost;
  readonly #name: OwnName;
  readonly #resolver: FenceResolver;
  /** Alarms in work: the engine's next is set when they end. */
  #inWork = 0;
  #reviveAt = 0;

  constructor(host: AlarmHost, name: OwnName, resolver: FenceResolver) {
    this.#host = host;
    this.#name = name;
    this.#resolver = resolver;
  }

  /** The handler of the object's alarm: see `Host.onAlarm`. */
  async run(userHandler?: () => unknown): Promise<void> {
    const { platform, userAlarm, newerSchema, member } = this.#host;
    const { runtime, storage } = platform;
    // Kept for the library that knows what is due.
    if (newerSchema !== null) return storage.setAlarm(runtime.now() + NEWER_SCHEMA_ALARM_MS);
    await member.keepWriteBlocks();
    this.#name.keep();
    this.#inWork++;
    try {
      const user = (): Promise<void> => userAlarm.run(userHandler);
      if (userHandler) await sideBySide(runtime, [this.#engineTurns(), user], SIDE_PAUSE_MS);
      else await this.#engineTurns()().then(user);
    } finally {
      this.#inWork--;
      // From what is stored now, in the turn that sets the alarm: something may have been started
      // while we waited.
      await this.arm(null);
    }
  }

  /** Sets the runtime's alarm to the earliest of what is due, and of `at`. */
  async arm(at: number | null, options?: AlarmOptions): Promise<void> {
    const due = [at, this.due(), this.#host.userAlarm.get()].filter((time) => time !== null);
    if (due.length > 0) await this.set(Math.min(...due), options);
  }

  /** The time of the engine's next work; null for none, and for an object without a name. */
  due(): number | null {
    if (this.#name.value === undefined) return null;
    const due = [this.#host.root.nextDue(), this.#resolver.due()].filter((time) => time !== null);
    return due.length > 0 ? Math.min(...due) : null;
  }

  /** Never later than the user's, and later than now. */
  set(at: number, options?: AlarmOptions): Promise<void> {
    const { platform, userAlarm } = this.#host;
    const earliest = Math.min(at, userAlarm.get() ?? at);
    return platform.storage.setAlarm(
      Math.max(platform.runtime.now() + ALARM_MS_MIN, earliest),
      options,
    );
  }

  /** Looks after the alarm before a message is answered; undefined when there is nothing to do. */
  lookAfter(kind: MessageKind): Promise<void> | undefined {
    const { platform, userAlarm, member } = this.#host;
    if (BEGINNING.has(kind)) return userAlarm.adopt().then(() => this.#revive());
    if (REVIVING.has(kind)) return this.#revive();
    if (ROUTED.has(kind) && member.moving === undefined) return undefined;
    const now = platform.runtime.now();
    if (now < this.#reviveAt) return undefined;
    this.#reviveAt = now + REVIVE_PAUSE_MS;
    return this.#revive();
  }

  /** Does the engine's share of an alarm: everything at first, then what has become due. */
  #engineTurns(): () => Promise<void> {
    let isFirst = true;
    return async () => {
      const due = this.due();
      if (!isFirst && (due === null || due > this.#host.platform.runtime.now())) return;
      isFirst = false;
      if (this.#name.value === undefined) return;
      await this.#resolver.resolve();
      await this.#host.root.onAlarm();
    };
  }

  /**
   * Sets the engine's alarm when it is missing, or set for later than the work: somebody else has
   * set it, or deleted it.
   */
  async #revive(): Promise<void> {
    this.#name.keep();
    const due = this.due();
    if (due === null || this.#inWork > 0) return;
    const { platform, userAlarm } = this.#host;
    const found = await platform.storage.getAlarm();
    const now = platform.runtime.now();
    const isSet =
      found !== null && found >= now - OVERDUE_MS && found <= Math.max(due, now) + ALARM_MS_MIN;
    if (isSet || this.#inWork > 0) return;
    // The engine sets none that far ahead of its work.
    if (found !== null && found > Math.max(due, now) + FOUND_MS_MIN) userAlarm.keepFound(found);
    await this.arm(due);
  }
}
