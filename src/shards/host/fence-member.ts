/**
 * Puts up a member's fence, and drains its log to the end. Rule "raised-when-idle": only in a turn
 * in which no call runs. The root counts the answer only for its current attempt.
 */
import type { Admission } from "../member/admission.ts";
import type { Member } from "../member/member.ts";
import { sentFloors } from "../move/recopy.ts";
import type { Message } from "../protocol/messages.ts";
import type { FenceReply } from "../protocol/replies.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import { refused } from "../protocol/refused-error.ts";
import type { Sql } from "../storage/storage.ts";
import type { EngineAlarm } from "./engine-alarm.ts";

/** Budget of the fence's drain when the root names none. */
const FENCE_WAIT_MS = 1_000;

/** The parts of a host that a fence is put up with. */
interface FencedHost {
  readonly sql: Sql;
  readonly platform: HostPlatform;
  readonly member: Member;
  readonly admission: Admission;
  readonly alarm: EngineAlarm;
  writeRows<Value>(write: () => Value): Promise<Value>;
  oneSlice<Value>(work: () => Promise<Value>): Promise<Value>;
}

type FenceRequest = Pick<Message<"fence">, "operation" | "attempt" | "ifIdle"> & {
  readonly budgetMs?: number;
};

/** @throws RefusedError `moving` while calls run, or where the log was not drained in time. */
export async function fenceMember(host: FencedHost, request: FenceRequest): Promise<FenceReply> {
  const { operation, attempt, budgetMs = FENCE_WAIT_MS, ifIdle = false } = request;
  const { member, admission, platform } = host;
  const { from, to } = member.plan(operation).moving;
  if (!ifIdle) {
    // A root of an older library has no first phase: it is all done here.
    member.requireAttempt(operation, attempt);
    const until = platform.runtime.now() + budgetMs;
    const among = new Set([...from.members, ...to.members]);
    await admission.hold({ operation, attempt, among, fromMs: 0, until }, budgetMs);
  }
  const busy = await host.writeRows(() => {
    const state = admission.state();
    if (state.runs > 0) return state;
    member.fence(operation, attempt);
    return null;
  });
  if (busy !== null && ifIdle) return { attempt: 0, busy };
  if (busy !== null)
    throw refused("moving", `${member.self} still runs calls after ${budgetMs} ms`);
  void host.alarm.arm(null);
  if (await host.oneSlice(() => member.drainToEnd(operation, attempt, budgetMs)))
    return { attempt, floors: sentFloors(host.sql, member.self) };
  throw refused("moving", `${member.self} did not drain within ${budgetMs} ms`);
}
