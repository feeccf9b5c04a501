/**
 * The Worker of the benchmark: one POST path a handler, JSON in and out. The clock is read here,
 * beside the work.
 */
import { compareGets, compareInserts, compareQueries, meterInserts } from "./worker/calls.ts";
import type { BenchEnv } from "./worker/env.ts";
import { fillRoot, wipeObjects } from "./worker/fill.ts";
import { measureLooks } from "./worker/looks.ts";
import { layoutOf, operate, shardDirectly } from "./worker/operate.ts";
import { measureNested } from "./worker/nested.ts";
import { measurePause } from "./worker/pause.ts";
import { copyNaively, copyPlainly } from "./worker/copy.ts";
import { takeMeter } from "./worker/meter.ts";

export { Metered, Things } from "./worker/things.ts";

type Handler = (env: BenchEnv, args: never) => unknown;

const HANDLERS: Readonly<Record<string, Handler>> = {
  ready: () => true,
  fillRoot,
  wipeObjects,
  layoutOf,
  operate,
  shardDirectly,
  copyPlainly,
  copyNaively,
  measurePause,
  measureNested,
  measureLooks,
  compareGets,
  compareInserts,
  meterInserts,
  compareQueries,
  takeMeter,
};

export default {
  async fetch(request: Request, env: BenchEnv): Promise<Response> {
    const handler = HANDLERS[new URL(request.url).pathname.slice(1)];
    if (!handler || request.method !== "POST")
      return new Response("no such handler", { status: 404 });
    try {
      return Response.json((await handler(env, await request.json<never>())) ?? null);
    } catch (error) {
      return new Response(error instanceof Error ? (error.stack ?? error.message) : String(error), {
        status: 500,
      });
    }
  },
};
