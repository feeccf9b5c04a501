// A member of the shift model: every handler is one transaction of that member's SQLite, so it changes the member as a whole or not at all.
// A handler returns the message that answers, 0 for no answer, or IGNORED when the call changes nothing and gets none.
// The rules in brackets are those of rules.ts.
import { keysLeaving, operationOf, ownerOf, type World } from "./shift-scenarios.ts";
import { hasBit, KEYS, nibble, packMessage, presentKeys, type Member, type MemberIndex, withNibble } from "./shift-state.ts";

export const IGNORED = -1;

/** Prepare: installs capture, fills the log with every key that moves away (the copy), clears leftovers. [prepare-once, operation-numbers, capture-before-copy] */
export function receivePrepare(world: World, me: MemberIndex, member: Member, op: number): number {
  const { weak } = world;
  const runs = member.op === op && member.active === 1;
  if (runs && !weak["prepare-twice"]) return packMessage("prepared", me, op);
  const over =
    op < member.op ? !weak["older-operation-accepted"] : op === member.op && !runs && !weak["ended-operation-accepted"];
  if (over) return IGNORED;
  const { first, last } = operationOf(world, op);
  member.op = op;
  member.active = 1;
  member.rehearsed = 0;
  member.fence = 0;
  member.released = 0;
  forgetPages(member);
  member.captured = keysLeaving(world, me, first, last);
  if (weak["prepare-twice"] && runs) member.captured = 0;
  return packMessage("prepared", me, op);
}

/** Clean-up: ends the operation here. A member that never saw it notes that it has ended. [operation-numbers, durable-abort] */
export function receiveCleanUp(world: World, me: MemberIndex, member: Member, op: number): number {
  if (op < member.op) return IGNORED;
  if (op > member.op && world.weak["clean-up-not-noted"]) return packMessage("cleaned", me, op);
  member.op = op;
  member.active = 0;
  member.rehearsed = 0;
  member.fence = 0;
  member.released = 0;
  forgetPages(member);
  return packMessage("cleaned", me, op);
}

function forgetPages(member: Member): void {
  member.seq = 0;
  member.outstanding = 0;
  member.captured = 0;
  member.inPage = 0;
  member.lastSeq = 0;
  member.staged = 0;
  member.sent = 0;
}

/** Capture: the trigger of a write, also of one to a key that has moved already: see [waves-apart]. [capture-before-copy] */
export function captureWrite(world: World, me: MemberIndex, member: Member, key: number): void {
  if (member.active === 0) return;
  if (world.weak["capture-after-copy"] && member.seq <= 1) return;
  const { first, last } = operationOf(world, member.op);
  if (hasBit(keysLeaving(world, me, first, last), key)) member.captured |= 1 << key;
}

/** Builds the next page: every key in the log, read again now, under a fresh number. 0 when there is nothing to send. [sequence-numbers, deletes-are-captured, captured-until-stored] */
export function sendPage(world: World, me: MemberIndex, member: Member): number {
  const log = member.captured | member.inPage;
  if (member.active === 0 || log === 0 || member.seq >= world.bounds.pages) return 0;
  const keys = world.weak["pages-in-parallel"] && member.captured !== 0 ? member.captured : log;
  let rows = 0;
  for (const key of KEYS) {
    if (!hasBit(keys, key)) continue;
    const value = nibble(member.live, key);
    if (value !== 0) rows = withNibble(rows, key, value + 2);
    else if (!world.weak["forget-captured-delete"]) rows = withNibble(rows, key, 1);
  }
  member.seq++;
  member.outstanding = 1;
  member.inPage = world.weak["log-cleared-at-send"] ? 0 : log;
  member.captured = 0;
  if (world.scenario.repairs && !(world.weak["repair-of-an-older-page"] && member.sent !== 0)) member.sent = rows;
  return packMessage("page", me, member.op, member.seq, rows);
}

/** Sends the rows of the last page again, as they were read, under a fresh number; 0 when there is none. [one-page-at-a-time] */
export function repairPage(world: World, me: MemberIndex, member: Member): number {
  if (member.active === 0 || member.outstanding === 1 || member.sent === 0 || member.seq >= world.bounds.pages) return 0;
  member.seq++;
  member.outstanding = 1;
  return packMessage("page", me, member.op, member.seq, member.sent);
}

/** A page at the target. [sequence-numbers, operation-numbers, no-late-rows] */
export function receivePage(world: World, source: MemberIndex, member: Member, op: number, seq: number, rows: number): number {
  const { weak } = world;
  if (member.active === 0) return IGNORED;
  if (op !== member.op && !weak["pages-without-operation"]) return IGNORED;
  if (member.rehearsed === 1 && !weak["rows-after-rehearsal"]) return IGNORED;
  if (seq === member.lastSeq && !weak["no-sequence-numbers"]) return packMessage("ack", source, op, seq);
  if (seq < member.lastSeq && !weak["no-sequence-numbers"]) return IGNORED;
  for (const key of KEYS) {
    const row = nibble(rows, key);
    if (row !== 0) member.staged = withNibble(member.staged, key, row === 1 ? 0 : row);
  }
  member.lastSeq = Math.max(member.lastSeq, seq);
  return packMessage("ack", source, op, seq);
}

/** An acknowledgement at the source. [captured-until-stored] */
export function receiveAck(world: World, member: Member, op: number, seq: number): number {
  if (op !== member.op || member.active === 0 || member.outstanding === 0 || seq !== member.seq) return IGNORED;
  member.outstanding = 0;
  member.inPage = 0;
  if (world.weak["ack-clears-log"]) member.captured = 0;
  return 0;
}

/** Fence. [fence-attempts, operation-numbers] */
export function receiveFence(world: World, member: Member, op: number, attempt: number): number {
  if (op !== member.op || member.active === 0 || attempt <= member.released) return IGNORED;
  const takes = world.weak["old-fence-replaces-newer"] ? attempt !== member.fence : attempt > member.fence;
  if (!takes) return IGNORED;
  member.rehearsed = 0;
  member.fence = attempt;
  return 0;
}

/** What a fenced source with an empty log says; 0 when it is not drained. [drain-before-cutover] */
export function sayDrained(world: World, me: MemberIndex, member: Member): number {
  const { weak } = world;
  if (member.fence === 0) return 0;
  if (member.captured !== 0 && !weak["skip-last-drain"]) return 0;
  if (member.outstanding === 1 && !weak["drained-while-outstanding"]) return 0;
  if (member.inPage !== 0 && !weak["drained-while-outstanding"]) return 0;
  return packMessage("drained", me, member.op, member.fence);
}

/** A rehearsal: an answer when nothing is in the way of the promotion, else none. [rehearsed-under-the-fence, no-late-rows] */
export function receiveRehearse(world: World, me: MemberIndex, member: Member, op: number, attempt: number): number {
  if (op !== member.op || member.active === 0) return IGNORED;
  if (member.fence !== attempt && !world.weak["targets-not-fenced"]) return IGNORED;
  if (hasRival(world, me, member, member.epoch + 1)) return IGNORED;
  if (member.fence !== 0) member.rehearsed = 1;
  return packMessage("rehearsed", me, op, attempt);
}

/** Whether a row that is here is in the way of one that the wave to `epoch` would promote. */
export function hasRival(world: World, me: MemberIndex, member: Member, epoch: number): boolean {
  return KEYS.some((key) => {
    if (nibble(member.staged, key) === 0 || !arrives(world, me, key, member.epoch, epoch)) return false;
    return world.scenario.rivals ? presentKeys(member.live) !== 0 : nibble(member.live, key) !== 0;
  });
}

/** Whether a key becomes this member's between two epochs. */
function arrives(world: World, me: MemberIndex, key: number, from: number, to: number): boolean {
  return ownerOf(world, from, key) !== me && ownerOf(world, to, key) === me;
}

/** The root's answer that an attempt is aborted. [fence-until-told, fence-attempts] */
export function receiveRelease(world: World, member: Member, op: number, attempt: number): number {
  if ((op !== member.op && !world.weak["release-without-operation"]) || member.active === 0) return IGNORED;
  if (attempt <= member.released && attempt !== member.fence) return IGNORED;
  member.released = Math.max(member.released, attempt);
  if (member.fence !== attempt) return 0;
  member.fence = 0;
  member.rehearsed = 0;
  return 0;
}

/** Activate. [activate-once, activate-in-one-transaction, repeats-are-answered] */
export function receiveActivate(world: World, me: MemberIndex, member: Member, op: number, epoch: number): number {
  const { weak } = world;
  const done = packMessage("activated", me, op, epoch);
  if (epoch <= member.epoch) {
    if (weak["late-activate-promotes"]) promote(world, me, member, epoch - 1, epoch);
    if (weak["late-activate-deletes"]) deleteLeft(world, me, member, epoch - 1, epoch);
    if (weak["late-activate-lifts-fence"]) member.fence = 0;
    return weak["repeat-unanswered"] ? IGNORED : done;
  }
  promote(world, me, member, member.epoch, epoch);
  if (weak["promote-before-epoch"]) {
    if (member.half === 0) {
      member.half = 1;
      return 0;
    }
    member.half = 0;
  }
  if (weak["unfence-before-delete"]) member.half = 1;
  else deleteLeft(world, me, member, member.epoch, epoch);
  member.epoch = epoch;
  member.released = weak["attempts-restart"] ? 0 : Math.max(member.released, member.fence);
  member.fence = 0;
  member.rehearsed = 0;
  return done;
}

/** Staged rows of the keys that come with a wave become live, and stay staged. [waves-apart, no-late-rows] */
function promote(world: World, me: MemberIndex, member: Member, from: number, to: number): void {
  const { weak } = world;
  for (const key of KEYS) {
    const row = nibble(member.staged, key);
    const comes = weak["promotes-all-staged"] ? ownerOf(world, to, key) === me : arrives(world, me, key, from, to);
    if (row !== 0 && comes) member.live = withNibble(member.live, key, row - 2);
  }
  if (weak["late-page-after-promote"]) member.lastSeq = 0;
}

/** Rows of exactly the keys that leave between two epochs are deleted: the target has promoted them or holds them staged. */
function deleteLeft(world: World, me: MemberIndex, member: Member, from: number, to: number): void {
  const left = keysLeaving(world, me, from, to);
  for (const key of KEYS) {
    if (!hasBit(left, key)) continue;
    member.live = withNibble(member.live, key, 0);
  }
}

/** The second half of an activation that `unfence-before-delete` has split. */
export function finishDeletion(world: World, me: MemberIndex, member: Member): void {
  deleteLeft(world, me, member, member.epoch - 1, member.epoch);
  member.half = 0;
}

/** `delete-before-cutover`: the rows of the coming wave go as soon as the source is drained. */
export function deleteEarly(world: World, me: MemberIndex, member: Member): void {
  deleteLeft(world, me, member, member.epoch, member.epoch + 1);
}

/** A crash keeps what is in SQLite: the answer to a page is lost, so its keys go back to the log. [fence-until-told, sequence-numbers] */
export function crashMember(world: World, member: Member): boolean {
  const { weak } = world;
  const forgets =
    member.sent !== 0 ||
    (weak["fence-lost-in-crash"] && member.fence !== 0) ||
    (weak["sequence-lost-in-crash"] && member.seq !== 0);
  if (member.outstanding === 0 && !forgets) return false;
  member.outstanding = 0;
  member.captured |= member.inPage;
  member.inPage = 0;
  member.sent = 0;
  if (weak["fence-lost-in-crash"]) member.fence = 0;
  if (weak["sequence-lost-in-crash"]) member.seq = 0;
  return true;
}

/** Whether a call of a client that routed by `epoch` is served here. [one-epoch, fence-until-told] */
export function admits(world: World, member: Member, epoch: number, reads: boolean): boolean {
  const { weak } = world;
  if (member.fence !== 0 && !(reads && weak["reads-pass-fence"])) return false;
  if (epoch < member.epoch) return weak["stale-epoch-accepted"];
  return epoch === member.epoch || weak["newer-epoch-served"];
}
