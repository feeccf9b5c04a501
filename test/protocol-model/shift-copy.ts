// Copies rows from sources to targets in the shift model: capture, pages, acknowledgements. A page
// is one transaction of the target, and so is what a source notes before it sends one. The rules in
// brackets are those of rules.ts.
import { hasBit, type State } from "./shift-state.ts";
import { keyName, nameOf, type Pair, type Step, type World } from "./shift-world.ts";

const DELETED = 1;

/**
 * Capture: the trigger of a write, also of one to a key that has moved already: see [waves-apart].
 * [capture-before-copy]
 */
export function captureWrite(
  { fields, pairs, weak }: World,
  to: State,
  member: number,
  key: number,
): void {
  if (fields.active.get(to, member) === 0) return;
  const operation = fields.seen.get(to, member);
  pairs.forEach(({ source, keys }, pair) => {
    if (source !== member || !hasBit(keys[operation] ?? 0, key)) return;
    if (weak["capture-after-copy"] && fields.sequence.get(to, pair) <= 1) return;
    fields.captured.add(to, key, pair);
  });
}

/**
 * Forgets all pages of a member; of an operation that begins, fills the log with every key that
 * moves away: the copy.
 */
export function resetCopy(world: World, to: State, member: number, operation?: number): void {
  const { fields, pairs } = world;
  pairs.forEach(({ source, target, keys }, pair) => {
    if (target === member) fields.lastSequence.set(to, 0, pair);
    if (source !== member) return;
    fields.sequence.set(to, 0, pair);
    fields.acknowledged.set(to, 0, pair);
    fields.captured.set(to, operation === undefined ? 0 : (keys[operation] ?? 0), pair);
    forgetPage(world, to, pair);
  });
}

function forgetPage({ fields, keys }: World, to: State, pair: number): void {
  fields.outstanding.set(to, 0, pair);
  fields.inPage.set(to, 0, pair);
  for (const key of keys) fields.resendable.set(to, 0, pair, key);
}

/**
 * True when every change that a source has captured is stored at its target.
 * [drain-before-cutover]
 */
export function isDrained({ fields, pairs, weak }: World, state: State, member: number): boolean {
  return pairs.every(({ source }, pair) => {
    if (source !== member) return true;
    if (fields.captured.get(state, pair) !== 0 && !weak["skip-last-drain"]) return false;
    return (
      weak["drained-while-outstanding"] ||
      (fields.outstanding.get(state, pair) | fields.inPage.get(state, pair)) === 0
    );
  });
}

export function copySteps(world: World, state: State, step: Step): void {
  world.pairs.forEach((pair, index) => {
    sourceSteps(world, state, pair, index, step);
    for (let operation = 1; operation <= world.fields.operation.get(state); operation++) {
      const count = world.fields.pageCount.get(state, operation, index);
      for (let page = 0; page < count; page++)
        pageArrives(world, state, { pair, index, operation, page }, step);
    }
  });
}

function sourceSteps(
  world: World,
  state: State,
  { source, target, keys }: Pair,
  pair: number,
  step: Step,
): void {
  const { fields, bounds } = world;
  const operation = fields.seen.get(state, source);
  if (fields.active.get(state, source) === 0 || (keys[operation] ?? 0) === 0) return;
  const log = fields.captured.get(state, pair) | fields.inPage.get(state, pair);
  const isOutstanding = fields.outstanding.get(state, pair) === 1;
  if (fields.pageCount.get(state, operation, pair) < bounds.pages) {
    if (log !== 0)
      step(`${nameOf(source)} sends a page to ${nameOf(target)}`, (to) =>
        sendPage(world, to, pair, operation),
      );
    const hasRows = world.keys.some((key) => fields.resendable.get(state, pair, key) !== 0);
    if (hasRows && !isOutstanding)
      step(`${nameOf(source)} sends the rows of its last page again`, (to) =>
        repairPage(world, to, pair, operation),
      );
  }
  if (isOutstanding && fields.acknowledged.get(state, pair) === 1)
    step(
      `${nameOf(source)} hears that its page ${fields.sequence.get(state, pair)} is stored`,
      (to) => {
        fields.outstanding.set(to, 0, pair);
        fields.inPage.set(to, 0, pair);
        fields.acknowledged.set(to, 0, pair);
        if (world.weak["ack-clears-log"]) fields.captured.set(to, 0, pair);
      },
    );
}

/**
 * Builds the next page: every key in the log, read again now, under a fresh number.
 * [sequence-numbers, deletes-are-captured, captured-until-stored]
 */
function sendPage(world: World, to: State, pair: number, operation: number): void {
  const { fields, weak } = world;
  const source = world.pairs[pair]?.source ?? 0;
  const captured = fields.captured.get(to, pair);
  const log = captured | fields.inPage.get(to, pair);
  const sent = weak["pages-in-parallel"] && captured !== 0 ? captured : log;
  const rows = world.keys.map((key) => {
    const value = fields.live.get(to, source, key);
    if (!hasBit(sent, key) || (value === 0 && weak["forget-captured-delete"])) return 0;
    return value === 0 ? DELETED : 1 + value;
  });
  putOnWire(world, to, pair, operation, rows);
  fields.inPage.set(to, weak["log-cleared-at-send"] ? 0 : log, pair);
  fields.captured.set(to, 0, pair);
  const keepsOlder =
    weak["repair-of-an-older-page"] &&
    rows.some((_row, key) => fields.resendable.get(to, pair, key) !== 0);
  if (world.scenario.repairs && !keepsOlder)
    rows.forEach((row, key) => fields.resendable.set(to, row, pair, key));
}

/**
 * Sends the rows of the last page again, as they were read, under a fresh number.
 * [one-page-at-a-time]
 */
function repairPage(world: World, to: State, pair: number, operation: number): void {
  const rows = world.keys.map((key) => world.fields.resendable.get(to, pair, key));
  putOnWire(world, to, pair, operation, rows);
}

function putOnWire(
  { fields, pairs, bounds }: World,
  to: State,
  pair: number,
  operation: number,
  rows: readonly number[],
): void {
  const number = fields.sequence.get(to, pair) + 1;
  fields.sequence.set(to, number, pair);
  fields.outstanding.set(to, 1, pair);
  fields.acknowledged.set(to, 0, pair);
  const page = fields.pageCount.get(to, operation, pair);
  fields.pageCount.set(to, page + 1, operation, pair);
  const row = (operation * pairs.length + pair) * bounds.pages + page;
  fields.pageNumber.set(to, number, operation * pairs.length + pair, page);
  rows.forEach((value, key) => fields.pageRow.set(to, value, row, key));
}

interface Arrival {
  readonly pair: Pair;
  readonly index: number;
  readonly operation: number;
  readonly page: number;
}

/** A page at the target. [sequence-numbers, operation-numbers, no-late-rows] */
function pageArrives(world: World, state: State, arrival: Arrival, step: Step): void {
  const { fields, weak } = world;
  const { pair, index, operation, page } = arrival;
  const { source, target } = pair;
  if (fields.active.get(state, target) === 0 || fields.full.get(state, target) === 1) return;
  if (fields.seen.get(state, target) !== operation && !weak["pages-without-operation"]) return;
  if (fields.promoted.get(state, target) !== 0 && !takesRowsThoughPromoted(world)) return;
  const number = fields.pageNumber.get(state, operation * world.pairs.length + index, page);
  const last = fields.lastSequence.get(state, index);
  const isNew = number > last || weak["no-sequence-numbers"];
  if (!isNew && number !== last) return;
  // Only the answer to the last page of the operation that runs at the source changes anything
  // there.
  const answers =
    fields.seen.get(state, source) === operation && fields.sequence.get(state, index) === number;
  if (
    !isNew &&
    (!answers ||
      fields.acknowledged.get(state, index) === 1 ||
      fields.outstanding.get(state, index) === 0)
  )
    return;
  step(
    `page ${number} of ${nameOf(source)} ${describePage(world, state, arrival)} arrives at ${nameOf(target)}`,
    (to) => {
      if (isNew) storePage(world, to, arrival);
      if (answers && fields.outstanding.get(to, index) === 1) fields.acknowledged.set(to, 1, index);
    },
  );
}

/**
 * Variants in which a target that has promoted still takes rows: alone, or because the promotion
 * does not count for what it is.
 */
function takesRowsThoughPromoted({ weak }: World): boolean {
  return (
    weak["rows-after-promotion"] ||
    weak["promotion-outlives-attempt"] ||
    weak["promotes-before-drained"]
  );
}

function storePage(
  { fields, pairs, keys, bounds }: World,
  to: State,
  { pair, index, operation, page }: Arrival,
): void {
  const row = (operation * pairs.length + index) * bounds.pages + page;
  for (const key of keys) {
    const value = fields.pageRow.get(to, row, key);
    if (value !== 0) fields.staged.set(to, value - 1, pair.target, key);
  }
  const number = fields.pageNumber.get(to, operation * pairs.length + index, page);
  fields.lastSequence.set(to, Math.max(number, fields.lastSequence.get(to, index)), index);
}

function describePage(
  { fields, pairs, keys, bounds }: World,
  state: State,
  { index, operation, page }: Arrival,
): string {
  const row = (operation * pairs.length + index) * bounds.pages + page;
  const parts = keys.flatMap((key) => {
    const value = fields.pageRow.get(state, row, key);
    if (value === 0) return [];
    return [value === DELETED ? `${keyName(key)} deleted` : `${keyName(key)}=${value - 1}`];
  });
  return `of operation ${operation} (${parts.join(", ") || "empty"})`;
}

/**
 * A crash keeps what is in SQLite: the answer to a page is lost, so its keys go back to the log.
 * [fence-until-told, sequence-numbers]
 */
export function crashSteps(world: World, state: State, member: number, step: Step): void {
  const { fields, weak, pairs } = world;
  const own = pairs.flatMap(({ source }, pair) => (source === member ? [pair] : []));
  const isWaiting = own.some(
    (pair) =>
      fields.outstanding.get(state, pair) === 1 ||
      world.keys.some((key) => fields.resendable.get(state, pair, key) !== 0),
  );
  const losesFence = weak["fence-lost-in-crash"] && fields.fence.get(state, member) !== 0;
  const losesPromotion =
    weak["promotion-forgotten-in-crash"] && fields.promoted.get(state, member) !== 0;
  const losesSequence =
    weak["sequence-lost-in-crash"] && own.some((pair) => fields.sequence.get(state, pair) !== 0);
  if (!isWaiting && !losesFence && !losesPromotion && !losesSequence) return;
  step(`${nameOf(member)} crashes`, (to) => {
    for (const pair of own) {
      fields.captured.set(to, fields.captured.get(to, pair) | fields.inPage.get(to, pair), pair);
      forgetPage(world, to, pair);
      fields.acknowledged.set(to, 0, pair);
      if (losesSequence) fields.sequence.set(to, 0, pair);
    }
    if (losesFence) fields.fence.set(to, 0, member);
    if (losesPromotion) fields.promoted.set(to, 0, member);
  });
}
