/**
 * The Worker of the status page's tests in a browser: real things that can be moved slowly, and
 * fakes that can be as large as a test likes.
 */
import { createReconciler } from "../../src/server/index.ts";
import { addThingRoutes } from "../../src/server/routes/things.ts";
import { FakeNamespace } from "./fake-namespace.ts";
import { hashOf } from "./state.ts";

export { ThingsObject } from "../../src/shards/things/things-object.ts";

interface Env {
  readonly THINGS: DurableObjectNamespace;
  readonly ORDERS: DurableObjectNamespace;
  readonly SHARDCTL: DurableObjectNamespace;
  readonly SHARDCTL_TOKENS: string;
}

/** A fake that is still as large when the runtime has put it to sleep and woken it up. */
export class LargeNamespace extends FakeNamespace {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    void ctx.blockConcurrencyWhile(async () => {
      const size = await ctx.storage.get<readonly [number, number]>("size");
      if (size) await this.#fill(...size);
    });
  }

  /** Every seventh row stands for three. */
  async resize(shards: number, rows: number): Promise<void> {
    await this.ctx.storage.put("size", [shards, rows]);
    await this.#fill(shards, rows);
  }

  async #fill(shards: number, rows: number): Promise<void> {
    const groups = Array.from({ length: rows }, (_, index) => ({
      keys: { id: `row-${index}` },
      rows: index % 7 === 0 ? 3 : 1,
    }));
    await this.edit({ layout: hashOf(this.ctx.id.name ?? "", shards), epoch: 4, rows: groups });
  }
}

const { Reconciler, ...worker } = createReconciler<Env>({
  objects: ({ THINGS, ORDERS }) => ({ THINGS, ORDERS }),
  coordinator: (env) => env.SHARDCTL,
  extend(api, requireRole) {
    addThingRoutes(api, requireRole, (env) => ({ THINGS: (env as Env).THINGS }));
    api.put("/test/:name/:shards/:rows", requireRole("apply", "namespace"), async (context) => {
      const { name, shards, rows } = context.req.param();
      const fake = (context.env as Env).ORDERS.getByName(name) as unknown as LargeNamespace;
      await fake.resize(Number(shards), Number(rows));
      return context.json({});
    });
  },
});

export { Reconciler };
export default worker;
