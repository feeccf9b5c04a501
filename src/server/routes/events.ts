/** `GET /v1/events`: the history, as a page of JSON or as a stream of JSON lines. */
import {
  EVENT_KINDS,
  type EventKind,
  type EventList,
  type HistoryEvent,
} from "../../model/event.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import type { RemoteCoordinator } from "../coordinator/coordinator-api.ts";
import type { EventFilter } from "../../history/history-store.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { readNumber } from "../read-request.ts";

const LIMIT_MAX = 1000;
const LIMIT_DEFAULT = 50;
const NONE = -1;
const JSON_LINES = "application/jsonl";

export function addEventRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/events", requireRole("read", "checked"), async (context) => {
    const filter = { ...readFilter(context), visible: await context.var.scope.visible() };
    if (context.req.header("accept")?.includes(JSON_LINES))
      return streamEvents(context.var.coordinator, filter, readLimit(context));
    const limit = readLimit(context) ?? LIMIT_DEFAULT;
    const events = await context.var.coordinator.observation.listEvents({ ...filter, limit });
    return context.json<EventList>({ events });
  });
}

type Filter = Omit<EventFilter, "limit">;

function readFilter(context: ApiContext): Filter {
  const id = (name: string): number | null => {
    const value = readNumber(context, name, {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      fallback: NONE,
    });
    return value === NONE ? null : value;
  };
  return {
    environment: context.req.query("environment") ?? null,
    visible: null,
    namespace: context.req.query("namespace") ?? null,
    kind: readKind(context.req.query("kind")),
    before: id("before"),
    after: id("after"),
  };
}

function readLimit(context: ApiContext): number | null {
  const limit = readNumber(context, "limit", { min: 1, max: LIMIT_MAX, fallback: NONE });
  return limit === NONE ? null : limit;
}

function readKind(text: string | undefined): EventKind | null {
  if (text === undefined) return null;
  const kind = EVENT_KINDS.find((known) => known === text);
  if (kind !== undefined) return kind;
  throw new RefusedRequest("invalid", `?kind= must be one of ${EVENT_KINDS.join(", ")}.`);
}

/**
 * Oldest first, read a page at a time: the history does not fit one call. With a limit, the newest
 * so many.
 */
async function streamEvents(
  { observation }: RemoteCoordinator,
  filter: Filter,
  limit: number | null,
): Promise<Response> {
  const headers = { "content-type": `${JSON_LINES}; charset=utf-8` };
  if (limit !== null) {
    const events = await observation.listEvents({ ...filter, limit });
    return new Response(toLines(filter.after === null ? events.toReversed() : events), { headers });
  }
  let after = filter.after ?? 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const from = after;
      const events = await observation.listEvents({ ...filter, after: from, limit: LIMIT_MAX });
      after = events.at(-1)?.id ?? after;
      if (events.length > 0) controller.enqueue(new TextEncoder().encode(toLines(events)));
      if (events.length < LIMIT_MAX) controller.close();
    },
  });
  return new Response(body, { headers });
}

function toLines(events: readonly HistoryEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join("");
}
