/**
 * `/data`: putting things into the local runtime's namespaces and reading them back, to try
 * sharding out on real rows. For development only: a production Worker reaches its namespaces
 * through its own code.
 */
import * as z from "zod";

import { THINGS_MAX, type ThingsObject } from "../../shards/things/things-object.ts";
import type { ThingInput } from "../../shards/things/things.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import type { ObjectBindings } from "../objects.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readBody, readNumber } from "../read-request.ts";

/** Largest body of one bulk put. */
const DATA_BYTES_MAX = 16 * 1024 * 1024;
const PAGE_LIMIT = { min: 1, max: 5000, fallback: 100 };

const thingSchema = z.strictObject({
  id: z.string().min(1),
  type: z.string().exactOptional(),
  name: z.string().nullable().exactOptional(),
  data: z.record(z.string(), z.json()).exactOptional(),
  visibility: z.string().exactOptional(),
  createdAt: z.int().min(0).exactOptional(),
  updatedAt: z.int().min(0).exactOptional(),
});
const thingsSchema = z.array(thingSchema).min(1).max(THINGS_MAX) as z.ZodType<
  readonly ThingInput[]
>;

/** The calls of `ThingsObject` that this API uses. */
type ThingsEndpoint = Pick<ThingsObject, "putMany" | "get" | "delete" | "listThings">;

/** @param objects the bindings of an `env` whose classes are `ThingsObject`s. */
export function addThingRoutes(
  api: Api,
  requireRole: RequireRole,
  objects: (env: object) => ObjectBindings,
): void {
  const things = "/data/:binding/:namespace/things";

  api.post(
    things,
    requireRole("apply", "namespace"),
    limitBody(DATA_BYTES_MAX),
    async (context) => {
      const rows = await readBody(context, thingsSchema);
      await callThings(context, objects, (endpoint) => endpoint.putMany(rows));
      return context.json({ put: rows.length });
    },
  );

  api.get(things, requireRole("read", "namespace"), async (context) => {
    const limit = readNumber(context, "limit", PAGE_LIMIT);
    const after = context.req.query("after");
    const page = after === undefined ? { limit } : { after, limit };
    return Response.json(
      await callThings(context, objects, (endpoint) => endpoint.listThings(page)),
    );
  });

  api.get(`${things}/:id`, requireRole("read", "namespace"), async (context) => {
    const id = context.req.param("id");
    const thing = await callThings(context, objects, (endpoint) =>
      endpoint.get(id, context.req.query("key")),
    );
    if (thing === null || thing === undefined)
      throw new RefusedRequest(
        "notFound",
        `There is no thing '${id}' in '${context.req.param("namespace")}'.`,
      );
    return Response.json(thing);
  });

  api.delete(`${things}/:id`, requireRole("apply", "namespace"), async (context) => {
    await callThings(context, objects, (endpoint) =>
      endpoint.delete(context.req.param("id"), context.req.query("key")),
    );
    return new Response(null, { status: 204 });
  });
}

/**
 * Calls the object and shows its errors as they are: on a developer's machine their message is the
 * help that is needed.
 */
async function callThings(
  context: ApiContext,
  objects: (env: object) => ObjectBindings,
  use: (endpoint: ThingsEndpoint) => Promise<unknown>,
): Promise<unknown> {
  const { binding = "", namespace = "" } = context.req.param() as Readonly<Record<string, string>>;
  const bindings = objects(context.env);
  const found = Object.hasOwn(bindings, binding) ? bindings[binding] : undefined;
  if (!found) {
    const known = Object.keys(bindings).toSorted().join(", ") || "none";
    throw new RefusedRequest(
      "notFound",
      `The Worker has no Durable Object binding '${binding}' (it has: ${known}).`,
    );
  }
  try {
    return await use(found.getByName(namespace) as unknown as ThingsEndpoint);
  } catch (error) {
    throw new RefusedRequest(
      "unavailable",
      `'${namespace}' did not do it: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
