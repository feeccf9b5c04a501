/**
 * A root over its own storage in Node, driven alarm by alarm, with members and a clock that the
 * test makes up.
 */
import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import { freshHashLayout, resizeHashLayout } from "../../../src/model/strategies/hash.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import type { OperationRecord } from "../../../src/shards/root/operation-record.ts";
import { Root } from "../../../src/shards/root/root.ts";
import { ensureSchema } from "../../../src/shards/storage/schema.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import { openStorage } from "./node-storage.ts";

export const FROM = freshHashLayout("id", 0, ["m0", "m1"]);
const TO = resizeHashLayout(FROM, ["m0", "m1", "m2"]);

/** Undefined for what members answer when all is well. */
export type Ask = (member: string, request: MemberRequest) => object | undefined | Promise<object>;

/**
 * Returns a member's answer when nothing goes wrong: every source copies in one slice, and the
 * target can be cut into two waves.
 */
function wellAnswer({ kind }: MemberRequest): object {
  if (kind === "prepare")
    return {
      counts: [{ table: "t", rows: 10, bytes: 10 }],
      uniqueRules: [],
      shapes: [],
      changed: [],
    };
  if (kind === "recopy") return { floors: [] };
  if (kind === "copy" || kind === "verify")
    return { isDone: true, rows: 5, bytes: 5, outgoing: [] };
  if (kind === "chunks") {
    const half = 8_192;
    return {
      chunks: [
        { range: { kind: "slots", from: 0, to: half }, rows: 6_000 },
        { range: { kind: "slots", from: half, to: 16_384 }, rows: 6_000 },
      ],
    };
  }
  if (kind === "hold") return { runs: 0, oldestMs: 0, longestMs: 0, waiting: 0 };
  return { backlog: 0 };
}

export interface Rig {
  root: Root;
  readonly clock: { now: number };
  /** `kind member`, in order. */
  readonly asked: string[];
  readonly events: () => string[];
  ask: Ask;
  /** By default nobody is waited for: whoever answers does so at once. */
  sleep: (delayMs: number, signal?: AbortSignal) => Promise<void>;
  /** The user's callback. */
  onEpoch: () => void;
  /** Kills the root: what it had in memory is gone. */
  restart(): void;
  /** One alarm. */
  work(): Promise<void>;
  record(): OperationRecord;
}

/** A root of two members, at epoch 1. */
export function createRig(): Rig {
  const storage = openStorage();
  const sql = new Sql(storage);
  ensureSchema(sql);
  const clock = { now: 1_000_000 };
  const asked: string[] = [];
  const newRoot = (): Root =>
    new Root({
      sql,
      storage,
      runtime: {
        now: () => clock.now,
        sleep: (ms, signal) => rig.sleep(ms, signal),
        digest: () => Promise.resolve(""),
      },
      namespace: "ns",
      specs: [],
      partitioners: {},
      onEvent: undefined,
      troubleOfRoot: () => undefined,
      onEpoch: () => rig.onEpoch(),
      ask: async <Reply>(member: string, request: object) => {
        const message = request as MemberRequest;
        asked.push(`${message.kind} ${member}`);
        return ((await rig.ask(member, message)) ?? wellAnswer(message)) as Reply;
      },
    });
  const rig: Rig = {
    root: newRoot(),
    clock,
    asked,
    events: () =>
      rig.root.journal
        .events(100)
        .map((event) => event.type)
        .toReversed(),
    ask: () => undefined,
    sleep: () => new Promise(() => undefined),
    onEpoch: () => undefined,
    restart: () => (rig.root = newRoot()),
    work: () => rig.root.onAlarm(),
    record: () => rig.root.journal.history(1)[0] as OperationRecord,
  };
  rig.root.journal.commitEpoch(1, FROM, 0, 1);
  return rig;
}

/** Starts a rebalance to three members in two waves. */
export function startRebalance(rig: Rig): number {
  const started = rig.root.start({
    kind: "rebalance",
    epoch: 1,
    to: TO,
    // A quarter of it is the least that is cut over at once: two waves, one after the other.
    policy: { ...DEFAULT_OPERATION_POLICY, waveRowsMax: 4 * 6_000 },
    correlationId: "c",
    requestedBy: "a test",
    refuseEmpty: false,
  });
  if (!started.ok) throw new Error(started.failure.message);
  return started.value.id;
}

/** Starts a rekey to two new members. */
export function startSwap(rig: Rig): number {
  const started = rig.root.start({
    kind: "rekey",
    epoch: 1,
    to: freshHashLayout("other", 1, ["g0", "g1"]),
    policy: DEFAULT_OPERATION_POLICY,
    correlationId: "c",
    requestedBy: "a test",
    refuseEmpty: false,
  });
  if (!started.ok) throw new Error(started.failure.message);
  return started.value.id;
}

/** Alarms until the operation has ended, with time in between for every backoff. */
export async function workToTheEnd(rig: Rig, alarmsMax = 60): Promise<void> {
  for (let alarms = 0; alarms < alarmsMax && rig.record().state === "running"; alarms++) {
    await rig.work();
    rig.clock.now += 31_000;
  }
}
