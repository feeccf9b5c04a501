/**
 * The record of an operation, as a value: what the world sees of it, and what the driver needs to
 * go on.
 *
 * Stored as JSON in the journal: records of earlier versions may lack what came later, and a change
 * of shape is a migration.
 */
import type {
  OperationFacts,
  OperationFault,
  OperationPolicy,
  OperationState,
  OperationStatus,
} from "../../model/operation.ts";

/** A wave of the full size is cut into this many, so that it can be made smaller. */
export const WAVE_SPAN_MAX = 4;

/**
 * An operation as the journal keeps it: what the world sees, and what the driver needs to go on.
 */
export interface OperationRecord extends OperationFacts {
  /**
   * Tells it from another of its number, as a root begins that was restored; absent in records of
   * earlier versions.
   */
  readonly token?: string;
  readonly policy: OperationPolicy;
  readonly sources: Readonly<Record<string, SourceProgress>>;
  /**
   * Number of waves; 0 until the staged rows are counted. What each of them holds is stored beside
   * the record, while the operation runs.
   */
  readonly waveCount: number;
  /** Waves that are cut over. */
  readonly wavesDone: number;
  /** How many are cut over at once; adapts to the pause that the last cutover made. */
  readonly waveSpan: number;
  /**
   * True once calls have kept the fence of several members from closing: waves are then cut over
   * alone, and one pair of members at a time. Absent for false.
   */
  readonly isNarrow?: boolean;
  /** Since when callers waited for the last cutover, in milliseconds since the Unix epoch. */
  readonly fencedAt: number;
  /** The fence attempt in work. Grows; an attempt below it is over. */
  readonly attempt: number;
  /** Tries in a row that found one id twice; absent for none. */
  readonly duplicateTries?: number;
  /** Tries in a row that ended because calls ran on; absent for none. */
  readonly busyTries?: number;
  /** Finding of the newest try that found an id twice. */
  readonly duplicateFound?: string;
  /**
   * How long callers have waited in attempts at the next cutover that were given up, in
   * milliseconds; absent for 0.
   */
  readonly givenUpMs?: number;
  /** True while fences of an attempt that was given up may still stand; absent for false. */
  readonly liftsFences?: boolean;
  /** How often tables that deploys had changed were prepared again; absent for never. */
  readonly round?: number;
  /** When the newest of these rounds began, in milliseconds since the Unix epoch. */
  readonly preparingSince?: number;
  /** Tables that are being prepared again; absent for none. */
  readonly recopies?: readonly string[];
  /** Sources that have lost their storage, as a repair or the end has found; absent for none. */
  readonly lost?: readonly string[];
  /** `step member` of each answer whose rows set aside were told; absent for none. */
  readonly asideTold?: readonly string[];
  /**
   * True when the wave that was cut over last was promoted, or in a swap checked whole, before its
   * commit: the activation asks for that attempt. Absent in records of
   * earlier versions.
   */
  readonly isPromoted?: boolean;
  /** Milliseconds since the Unix epoch before which the driver does nothing: backoff. */
  readonly notBefore: number;
  readonly refuseEmpty: boolean;
  /**
   * `updatedAt` of when a library wrote it that marks what texts quote of rows: an older one, after
   * a rollback, renews `updatedAt` alone.
   */
  readonly markedAt?: number;
}

/** The part of a record that is the same for every operation at its beginning. */
type Beginning = Omit<
  OperationRecord,
  | "kind"
  | "mode"
  | "from"
  | "to"
  | "epochFrom"
  | "epoch"
  | "policy"
  | "correlationId"
  | "requestedBy"
  | "refuseEmpty"
>;

/** Begins the record of an operation. */
export function newRecord(id: number, now: number): Beginning {
  return {
    id,
    state: "running",
    step: "prepare",
    rowsTotal: 0,
    sources: {},
    waveCount: 0,
    wavesDone: 0,
    waveSpan: WAVE_SPAN_MAX,
    fencedAt: 0,
    attempt: 1,
    notBefore: 0,
    startedAt: now,
    updatedAt: now,
    finishedAt: null,
    writePauseMs: null,
    paused: null,
    fault: null,
    lastError: null,
    retries: 0,
  };
}

/** Progress of one source. */
export interface SourceProgress {
  readonly isCopied: boolean;
  readonly isVerified: boolean;
  readonly rowsCopied: number;
  readonly bytesCopied: number;
  readonly rowsVerified: number;
}

/** The facts that a status shows as they are recorded. */
const FACTS = Object.keys({
  id: true,
  kind: true,
  mode: true,
  state: true,
  step: true,
  from: true,
  to: true,
  epochFrom: true,
  epoch: true,
  correlationId: true,
  requestedBy: true,
  startedAt: true,
  updatedAt: true,
  finishedAt: true,
  paused: true,
  waitsFor: true,
  fault: true,
  lastError: true,
  retries: true,
  rowsTotal: true,
  writePauseMs: true,
  bookmarks: true,
} satisfies Record<keyof OperationFacts, true>) as (keyof OperationFacts)[];

/** Fields that a record of an earlier version may lack. */
const ABSENT = { paused: null, writePauseMs: null, waitsFor: null };

/** The record as the world sees it. */
export function operationStatus(namespace: string, record: OperationRecord): OperationStatus {
  const facts = FACTS.filter((name) => record[name] !== undefined).map((name) => [
    name,
    record[name],
  ]);
  const { sources, waveCount, wavesDone } = record;
  const progress = Object.entries(sources);
  const sum = (count: (source: SourceProgress) => number): number =>
    progress.reduce((total, [, source]) => total + count(source), 0);
  const isShift = record.mode === "shift";
  return {
    ...ABSENT,
    ...(Object.fromEntries(facts) as OperationFacts),
    ...(record.markedAt === record.updatedAt ? { marked: true } : {}),
    namespace,
    wave: isShift ? Math.min(wavesDone + 1, waveCount) : 0,
    waves: isShift ? waveCount : 0,
    rowsCopied: sum((source) => source.rowsCopied),
    bytesCopied: sum((source) => source.bytesCopied),
    rowsVerified: sum((source) => source.rowsVerified),
    sources: progress.map(([member, { rowsCopied, rowsVerified }]) => ({
      member,
      rowsCopied,
      rowsVerified,
    })),
  };
}

/** The members that take part in an operation, each once, sources first. */
export function participants(record: Pick<OperationRecord, "from" | "to">): string[] {
  return [...new Set([...record.from.members, ...record.to.members])];
}

export function endedState(fault: OperationFault | null): OperationState {
  if (fault === null) return "completed";
  return fault.kind === "cancelled" || fault.kind === "timeout" ? "cancelled" : "failed";
}
