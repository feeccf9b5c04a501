/**
 * Counts the rows that the members of a namespace hold, by asking each of them. Nothing is stored
 * and nothing is guessed: a member that does not answer is unhealthy, never empty.
 */
import type { Distribution, DistributionRequest, MemberStatus } from "../../model/live.ts";
import { messageOf } from "../storage/faults.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import type { Ask } from "../protocol/messages.ts";
import type { DistributeReply, TableCount, Trouble } from "../protocol/replies.ts";
import type { Runtime } from "../storage/storage.ts";

/** Rows up to which a distribution reads every row. */
const SAMPLE_FREE_ROWS = 200_000;

/** How old the counts may be by which it is decided: a day. */
const SAMPLED_AGE_MAX_MS = 24 * 3_600_000;

interface Asking {
  readonly ask: Ask;
  readonly runtime: Runtime;
}

export interface MemberCount {
  readonly status: MemberStatus;
  readonly countedAt: number;
  /** Tables with rows that no table spec names. */
  readonly undeclared: readonly string[];
  /** Why it serves nothing until it is repaired. */
  readonly trouble?: Trouble;
  /** Since when it suspects its directory. */
  readonly suspectSince?: number;
}

/** Counts the rows of one member. One that does not answer gives an unhealthy status. */
export async function countMember(
  { ask, runtime }: Asking,
  member: string,
  maxAgeMs = 0,
): Promise<MemberCount> {
  const startedAt = runtime.now();
  try {
    const reply = await ask(member, { kind: "count", maxAgeMs });
    const { tables, undeclared, library, schema, storage, trouble, countedAt } = reply;
    const { suspectSince, refusedWriteAt } = reply;
    const sum = (count: (table: TableCount) => number): number =>
      tables.reduce((total, table) => total + count(table), 0);
    const rows = sum((table) => table.rows);
    const bytes = sum((table) => table.bytes);
    return {
      status: {
        name: member,
        healthy: true,
        error: null,
        rows,
        bytes,
        responseMs: runtime.now() - startedAt,
        ...(library === undefined ? {} : { library }),
        ...(schema === undefined ? {} : { schema }),
        ...(storage === undefined ? {} : { storage }),
        ...(countedAt === undefined ? {} : { countedAt }),
        ...(refusedWriteAt === undefined ? {} : { refusedWriteAt }),
      },
      // An older library counts when it is asked.
      countedAt: countedAt ?? startedAt,
      ...(suspectSince !== undefined && { suspectSince }),
      undeclared,
      ...(trouble ? { trouble } : {}),
    };
  } catch (error) {
    const status = {
      name: member,
      healthy: false,
      error: messageOf(error),
      rows: 0,
      bytes: 0,
      responseMs: runtime.now() - startedAt,
      ...countingOf(error),
    };
    const trouble = lossOf(error, startedAt);
    return { status, countedAt: startedAt, undeclared: [], ...(trouble ? { trouble } : {}) };
  }
}

/** Of a member that is still counting, the rows so far. */
function countingOf(error: unknown): Pick<MemberStatus, "counting"> {
  const counted = error instanceof RefusedError ? error.reason.counted : undefined;
  return counted === undefined ? {} : { counting: counted };
}

/** Why an object that is no member serves nothing until it is repaired; silence says nothing. */
export async function askTrouble(
  { ask, runtime }: Asking,
  member: string,
): Promise<Trouble | undefined> {
  try {
    return (await ask(member, { kind: "health" })).trouble;
  } catch (error) {
    return lossOf(error, runtime.now());
  }
}

/** The trouble of an object that knows nothing of the namespace. */
function lossOf(error: unknown, since: number): Trouble | undefined {
  if (!(error instanceof RefusedError) || error.reason.kind !== "outOfStep") return undefined;
  return { kind: "outOfStep", message: messageOf(error), since, epoch: 0, by: null };
}

/**
 * Counts by a key on every member: of many rows by a sample, unless every row is asked for. @throws
 * when a member does not answer.
 */
export async function distributeOverMembers(
  { ask, runtime }: Asking,
  members: readonly string[],
  distribution: DistributionRequest,
  isExact = false,
): Promise<Distribution> {
  const counts = isExact
    ? []
    : await Promise.all(
        members.map((member) => ask(member, { kind: "count", maxAgeMs: SAMPLED_AGE_MAX_MS })),
      );
  const rows = counts
    .flatMap((count) => count.tables)
    .reduce((total, table) => total + table.rows, 0);
  const sampleEvery = Math.max(1, Math.ceil(rows / SAMPLE_FREE_ROWS));
  const now = runtime.now();
  const replies = await Promise.all(
    members.map((member) => ask(member, { kind: "distribute", distribution, sampleEvery })),
  );
  const sum = (count: (reply: DistributeReply) => number): number =>
    replies.reduce((total, reply) => total + count(reply), 0);
  // Rows of one target may come from the worst of them alone.
  const clustering = Math.max(1, ...replies.map((reply) => reply.clustering ?? 1));
  return {
    request: distribution,
    rows: sum((reply) => reply.rows),
    bytes: sum((reply) => reply.bytes),
    missing: sum((reply) => reply.missing),
    members: replies.map((reply) => reply.distribution),
    sampledEvery: sampleEvery === 1 ? null : sampleEvery,
    ...(clustering > 1 && { clustering }),
    countedAt:
      sampleEvery === 1
        ? now
        : Math.min(now, ...counts.flatMap(({ countedAt }) => countedAt ?? [])),
  };
}
