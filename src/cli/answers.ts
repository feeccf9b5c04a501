/**
 * Checks the API's answers before the CLI trusts them: enough to show and to act on, not a second
 * schema. Each reader returns the value, or a text that says what is missing.
 */
import type { NamespaceReport, Run } from "../model/api.ts";
import type { DriftReport } from "../model/drift.ts";
import type { HistoryEvent } from "../model/event.ts";
import type { ForgetPlan } from "../model/forget.ts";
import type { RowIds } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import { PLAN_VERSION, type Plan } from "../model/plan.ts";
import {
  type ImportReport,
  STATE_VERSION,
  type StateIndex,
  type StatePage,
} from "../model/state-file.ts";
import type { RepairOutcome, RepairPlan } from "../model/repair.ts";
import type { Review, ReviewList, ReviewReceipt } from "../model/review.ts";

/** Everything is paused: by whom, why and since when. */
export type Pause = NonNullable<DriftReport["paused"]>;

type Shape = Readonly<Record<string, "string" | "number" | "array" | "object">>;

export function readPlan(body: unknown): Plan | string {
  if (isObject(body) && typeof body["version"] === "number" && body["version"] !== PLAN_VERSION) {
    return `it is a plan of version ${body["version"]}, and this shardctl knows version ${PLAN_VERSION}`;
  }
  const shape = {
    environment: "string",
    fingerprint: "string",
    changes: "array",
    inSync: "array",
    blocks: "array",
    notices: "array",
  } as const;
  const wrong = mismatch(body, { version: "number", ...shape });
  return wrong === null ? (body as Plan) : `it is not a plan: ${wrong}`;
}

export function readRun(body: unknown): Run | string {
  const wrong = mismatch(body, {
    id: "string",
    fingerprint: "string",
    state: "string",
    updatedAt: "number",
    actions: "array",
  });
  return wrong === null ? (body as Run) : `it is not a run: ${wrong}`;
}

export function readRuns(body: unknown): readonly Run[] | string {
  return readList(body, "runs", readRun);
}

export function readReview(body: unknown): Review | string {
  const shape = {
    environment: "string",
    pull: "number",
    fingerprint: "string",
    headSha: "string",
    reviewedAt: "number",
  } as const;
  const wrong = mismatch(body, shape);
  return wrong === null ? (body as Review) : `it is not a review: ${wrong}`;
}

export function readReviews(body: unknown): ReviewList | string {
  const postedBy = readPoster(body);
  if (postedBy === null) return NO_POSTER;
  const reviews = readList(body, "reviews", readReview);
  return typeof reviews === "string" ? reviews : { reviews, postedBy };
}

export function readReceipt(body: unknown): ReviewReceipt | string {
  const postedBy = readPoster(body);
  if (postedBy === null) return NO_POSTER;
  const review = readReview((body as { readonly review?: unknown }).review);
  return typeof review === "string" ? review : { review, postedBy };
}

const NO_POSTER = 'it does not say who posts: "postedBy" is missing';

function readPoster(body: unknown): ReviewReceipt["postedBy"] | null {
  const postedBy = isObject(body) ? body["postedBy"] : undefined;
  return postedBy === "worker" || postedBy === "caller" ? postedBy : null;
}

export function readNamespaces(body: unknown): readonly NamespaceReport[] | string {
  return readList(body, "namespaces", readNamespace);
}

export function readNamespace(body: unknown): NamespaceReport | string {
  if (!isObject(body)) return "it is not a namespace: an object was expected";
  if (body["kind"] === "failed") {
    const wrong = mismatch(body, { name: "string", object: "string", failure: "object" });
    return wrong === null
      ? (body as unknown as NamespaceReport)
      : `it is not a namespace: ${wrong}`;
  }
  const wrong = mismatch(body["namespace"], {
    name: "string",
    object: "string",
    layout: "object",
    epoch: "number",
    members: "array",
  });
  return wrong === null ? (body as unknown as NamespaceReport) : `it is not a namespace: ${wrong}`;
}

export function readRowIds(body: unknown): RowIds | string {
  const shape = {
    namespace: "string",
    texts: "array",
    misplaced: "array",
    unsaid: "array",
  } as const;
  const wrong = mismatch(body, shape);
  return wrong === null ? (body as RowIds) : `it does not tell of rows: ${wrong}`;
}

export function readHistory(body: unknown): readonly OperationStatus[] | string {
  return readList(body, "operations", readOperation);
}

export function readOperation(body: unknown): OperationStatus | string {
  const wrong = mismatch(body, {
    id: "number",
    kind: "string",
    state: "string",
    step: "string",
    startedAt: "number",
  });
  return wrong === null ? (body as OperationStatus) : `it is not an operation: ${wrong}`;
}

export function readPause(body: unknown): Pause | string {
  const wrong = mismatch(body, { by: "string", reason: "string", at: "number" });
  return wrong === null ? (body as Pause) : `it is not a pause: ${wrong}`;
}

export function readRepairPlan(body: unknown): RepairPlan | string {
  const shape = {
    namespace: "string",
    fingerprint: "string",
    testimonies: "array",
    steps: "array",
    losses: "array",
    obstacles: "array",
  } as const;
  const wrong = mismatch(body, shape);
  return wrong === null ? (body as RepairPlan) : `it is not the plan of a repair: ${wrong}`;
}

export function readRepairOutcome(body: unknown): RepairOutcome | string {
  const wrong = mismatch(body, {
    namespace: "string",
    fingerprint: "string",
    steps: "array",
    setAside: "array",
  });
  return wrong === null ? (body as RepairOutcome) : `it is not the outcome of a repair: ${wrong}`;
}

export function readStateIndex(body: unknown): StateIndex | string {
  if (isObject(body) && typeof body["version"] === "number" && body["version"] !== STATE_VERSION)
    return `it is a state of version ${body["version"]}, and this shardctl knows version ${STATE_VERSION}`;
  const wrong = mismatch(body, {
    kind: "string",
    version: "number",
    exportedAt: "number",
    names: "array",
  });
  return wrong === null ? (body as StateIndex) : `it is not the state of a Worker: ${wrong}`;
}

export function readStateAnswer(body: unknown): StatePage | string {
  const wrong = mismatch(body, { rows: "array" });
  return wrong === null ? (body as StatePage) : `it is not a page of the state: ${wrong}`;
}

export function readImportId(body: unknown): string | { readonly id: string } {
  const wrong = mismatch(body, { id: "string" });
  return wrong === null ? (body as { readonly id: string }) : `it is not an import: ${wrong}`;
}

export function readImportReport(body: unknown): ImportReport | string {
  const shape = {
    id: "string",
    exportedAt: "number",
    tables: "array",
    notes: "array",
    obstacles: "array",
    fingerprint: "string",
  } as const;
  const wrong = mismatch(body, shape);
  return wrong === null ? (body as ImportReport) : `it is not the report of an import: ${wrong}`;
}

export function readForgetPlan(body: unknown): ForgetPlan | string {
  const wrong = mismatch(body, {
    name: "string",
    object: "string",
    environments: "array",
    obstacles: "array",
  });
  return wrong === null ? (body as ForgetPlan) : `it does not say what is remembered: ${wrong}`;
}

/** For requests whose answer has no content. */
export function readNothing(): null {
  return null;
}

export function readDrift(body: unknown): DriftReport | string {
  const wrong = mismatch(body, {
    environment: "string",
    fingerprint: "string",
    drifts: "array",
    conditions: "array",
  });
  return wrong === null ? (body as DriftReport) : `it is not a drift report: ${wrong}`;
}

/** 202 says that the tick goes on, and the report is the one before it. */
export function readTick(
  body: unknown,
  status: number,
): { readonly report: DriftReport; readonly isOver: boolean } | string {
  const report = readDrift(body);
  return typeof report === "string" ? report : { report, isOver: status !== 202 };
}

export function readEvents(body: unknown): readonly HistoryEvent[] | string {
  return readList(body, "events", (item) => {
    const wrong = mismatch(item, {
      id: "number",
      at: "number",
      kind: "string",
      summary: "string",
      actor: "string",
    });
    return wrong === null ? (item as HistoryEvent) : `it is not an event: ${wrong}`;
  });
}

function readList<Item>(
  body: unknown,
  name: string,
  read: (item: unknown) => Item | string,
): readonly Item[] | string {
  const list = isObject(body) ? body[name] : undefined;
  if (!Array.isArray(list)) return `it has no list "${name}"`;
  const items: Item[] = [];
  for (const [index, entry] of list.entries()) {
    const item = read(entry);
    if (typeof item === "string") return `${name}[${index}]: ${item}`;
    items.push(item);
  }
  return items;
}

function mismatch(body: unknown, shape: Shape): string | null {
  if (!isObject(body)) return "an object was expected";
  for (const [name, type] of Object.entries(shape)) {
    const value = body[name];
    const actual = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
    if (actual !== type)
      return `"${name}" is ${value === undefined ? "missing" : actual}, not ${type}`;
  }
  return null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
