/**
 * `/v1/state`: the Worker's own state, page by page, and its import. For people with the role
 * apply, never for workflows: what is imported counts as shown to pull requests.
 */
import type { MiddlewareHandler } from "hono";
import * as z from "zod";

import type { ImportReport, StateIndex, StatePage } from "../../model/state-file.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiEnv } from "../context.ts";
import { limitBody, readBody } from "../read-request.ts";
import { importRequestSchema, stateRowsSchema } from "../state-schema.ts";

const CURSOR_LENGTH_MAX = 4096;

const applySchema = z.strictObject({
  fingerprint: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be the 64 hex digits of an import's report"),
});

export function addStateRoutes(api: Api, requireRole: RequireRole): void {
  api.get("/v1/state", requireRole("apply", "everything"), refuseWorkflows, async (context) =>
    context.json<StateIndex>(await context.var.coordinator.state.index()),
  );

  api.get(
    "/v1/state/:table",
    requireRole("apply", "everything"),
    refuseWorkflows,
    async (context) => {
      const table = context.req.param("table");
      const after = context.req.query("after") ?? null;
      if (after !== null) checkCursor(after);
      const page = await context.var.coordinator.state.page(table, after);
      if (page === null) throw unknownTable(table);
      return context.json<StatePage>(page);
    },
  );

  api.post(
    "/v1/state/imports",
    requireRole("apply", "everything"),
    refuseWorkflows,
    limitBody(),
    async (context) => {
      const request = await readBody(context, importRequestSchema);
      const id = crypto.randomUUID();
      await context.var.coordinator.state.begin(id, request);
      return context.json<{ readonly id: string }>({ id }, 201);
    },
  );

  api.put(
    "/v1/state/imports/:id/:table",
    requireRole("apply", "everything"),
    refuseWorkflows,
    limitBody(),
    async (context) => {
      const table = context.req.param("table");
      const schema = stateRowsSchema(table);
      if (schema === null) throw unknownTable(table);
      const rows = await readBody(context, schema);
      const id = context.req.param("id");
      if (!(await context.var.coordinator.state.stage(id, table, rows))) throw unknownImport(id);
      return new Response(null, { status: 204 });
    },
  );

  api.get(
    "/v1/state/imports/:id",
    requireRole("apply", "everything"),
    refuseWorkflows,
    async (context) => {
      const id = context.req.param("id");
      const report = await context.var.coordinator.state.report(id);
      if (report === null) throw unknownImport(id);
      return context.json<ImportReport>(report);
    },
  );

  api.post(
    "/v1/state/imports/:id/apply",
    requireRole("apply", "everything"),
    refuseWorkflows,
    limitBody(),
    async (context) => {
      const id = context.req.param("id");
      const { fingerprint } = await readBody(context, applySchema);
      const by = context.var.caller.name;
      const report = await context.var.coordinator.state.apply(id, fingerprint, by);
      if (report === null) throw unknownImport(id);
      if (report.isApplied) return context.json<ImportReport>(report);
      throw report.obstacles.length > 0
        ? new RefusedRequest("blocked", `Nothing was imported: ${report.obstacles.join("; ")}.`)
        : new RefusedRequest(
            "stalePlan",
            "Nothing was imported: the Worker's state has changed since it was shown. Look at the current report, then apply that.",
          );
    },
  );
}

const refuseWorkflows: MiddlewareHandler<ApiEnv> = async (context, next) => {
  if (context.var.caller.actions !== null)
    throw new RefusedRequest(
      "forbidden",
      "The Worker's own state is exported and imported by people, not by workflows: what is imported counts as shown to pull requests.",
    );
  await next();
};

function checkCursor(after: string): void {
  let cursor: unknown;
  try {
    cursor = after.length > CURSOR_LENGTH_MAX ? null : JSON.parse(after);
  } catch {
    cursor = null;
  }
  const isCursor =
    Array.isArray(cursor) &&
    cursor.every((value) => typeof value === "string" || Number.isSafeInteger(value));
  if (!isCursor) throw new RefusedRequest("invalid", "?after= must be the `next` of a page.");
}

function unknownTable(table: string): RefusedRequest {
  return new RefusedRequest(
    "notFound",
    `There is no table '${table}' in the Worker's state, or no such page of it.`,
  );
}

function unknownImport(id: string): RefusedRequest {
  return new RefusedRequest(
    "notFound",
    `There is no import ${id} here: another one was begun since. Begin again.`,
  );
}
