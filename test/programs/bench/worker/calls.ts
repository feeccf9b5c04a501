/** Routed calls beside direct ones, in turn and in the same request. */
import { connect } from "../../../../src/shards/router.ts";
import type { BenchEnv } from "./env.ts";
import { type Meter, takeMeter } from "./meter.ts";
import type { Things } from "./things.ts";

/** Microseconds of one call, per block of calls. */
export interface Compared {
  readonly routed: readonly number[];
  readonly direct: readonly number[];
}

/**
 * `get` through the router and by the owner's stub: blocks of calls one after the other, in turn,
 * over ids all over the namespace.
 */
export async function compareGets(
  env: BenchEnv,
  {
    namespace,
    rows,
    blocks,
    calls,
  }: { namespace: string; rows: number; blocks: number; calls: number },
): Promise<Compared> {
  const router = connect<Things>(env.THINGS, namespace);
  const ids = Array.from(
    { length: calls },
    (_, call) => `thing-${String((call * 7919) % rows).padStart(8, "0")}`,
  );
  const owners = await Promise.all(ids.map((id) => ownerOf(router, id)));
  const routed = async (id: string): Promise<unknown> => router.at(id).getHere(id);
  const direct = async (id: string, call: number): Promise<unknown> =>
    env.THINGS.getByName(owners[call] ?? "").getHere(id);
  await timeCalls(ids, routed);
  await timeCalls(ids, direct);
  return inTurn(
    blocks,
    () => timeCalls(ids, routed),
    () => timeCalls(ids, direct),
  );
}

/**
 * A thing stored anew through the router and by the owner's stub, each in the object of its id.
 * Every id is used once, so `run` must not come twice.
 */
export async function compareInserts(
  env: BenchEnv,
  {
    namespace,
    run,
    blocks,
    calls,
  }: { namespace: string; run: number; blocks: number; calls: number },
): Promise<Compared> {
  const router = connect<Things>(env.THINGS, namespace);
  const insert = async (way: string, block: number): Promise<number> => {
    const ids = Array.from(
      { length: calls },
      (_, call) => `inserted-${run}-${way}-${block}-${call}`,
    );
    // Also of routed ones: who goes first must not be the one who finds the objects asleep.
    const owners = await Promise.all(ids.map((id) => ownerOf(router, id)));
    return way === "routed"
      ? timeCalls(ids, async (id) => router.at(id).putHere([thingOf(id)]))
      : timeCalls(ids, async (id, call) =>
          env.THINGS.getByName(owners[call] ?? "").putHere([thingOf(id)]),
        );
  };
  let block = 0;
  await insert("routed", -1);
  return inTurn(
    blocks,
    () => insert("routed", block++),
    () => insert("direct", block++),
  );
}

/**
 * Rows that the platform bills for one insert, through the router and by the owner's stub. `run`
 * must not come twice.
 */
export async function meterInserts(
  env: BenchEnv,
  { namespace, run, calls }: { namespace: string; run: number; calls: number },
): Promise<{ readonly routed: Meter; readonly direct: Meter }> {
  const router = connect<Things>(env.METERED, namespace);
  const meter = async (
    way: string,
    insert: (id: string, owner: string) => Promise<unknown>,
  ): Promise<Meter> => {
    const ids = Array.from({ length: calls }, (_, call) => `metered-${run}-${way}-${call}`);
    const owners = await Promise.all(ids.map((id) => ownerOf(router, id)));
    takeMeter();
    for (const [call, id] of ids.entries()) await insert(id, owners[call] ?? "");
    const { rowsRead, rowsWritten } = takeMeter();
    return { rowsRead: rowsRead / calls, rowsWritten: rowsWritten / calls };
  };
  return {
    routed: await meter("routed", async (id) => router.at(id).putHere([thingOf(id)])),
    direct: await meter("direct", async (id, owner) =>
      env.METERED.getByName(owner).putHere([thingOf(id)]),
    ),
  };
}

function thingOf(id: string): Parameters<Things["putHere"]>[0][number] {
  return {
    id,
    type: "city",
    name: id,
    data: { country: "c1" },
    visibility: "private",
    createdAt: 1,
    updatedAt: 1,
  };
}

/** One SELECT over all shards, by `queryShards` and by `Promise.all` over the same objects. */
export async function compareQueries(
  env: BenchEnv,
  {
    namespace,
    query,
    blocks,
    calls,
  }: { namespace: string; query: string; blocks: number; calls: number },
): Promise<Compared> {
  const router = connect<Things>(env.THINGS, namespace);
  const { layout } = await router.layout();
  const ids = Array.from({ length: calls }, () => "");
  const request = { query, aggregation: "concat", unsafePerShard: true } as const;
  const routed = async (): Promise<unknown> => router.queryShards(request);
  const direct = async (): Promise<unknown> =>
    (
      await Promise.all(layout.members.map((member) => env.THINGS.getByName(member).select(query)))
    ).flat();
  const answer = (await router.queryShards(request)).data;
  if (JSON.stringify(answer) !== JSON.stringify(await direct()))
    throw new Error("The two ways to query give different answers");
  return inTurn(
    blocks,
    () => timeCalls(ids, routed),
    () => timeCalls(ids, direct),
  );
}

async function inTurn(
  blocks: number,
  routed: () => Promise<number>,
  direct: () => Promise<number>,
): Promise<Compared> {
  const found = { routed: [] as number[], direct: [] as number[] };
  for (let block = 0; block < blocks; block++) {
    // The order alternates, so that neither always follows the other's garbage.
    if (block % 2 === 0) found.routed.push(await routed());
    found.direct.push(await direct());
    if (block % 2 === 1) found.routed.push(await routed());
  }
  return found;
}

async function timeCalls(
  ids: readonly string[],
  work: (id: string, call: number) => Promise<unknown>,
): Promise<number> {
  const startedAt = performance.now();
  for (const [call, id] of ids.entries()) {
    if ((await work(id, call)) === null) throw new Error(`Nothing was found under '${id}'`);
  }
  return ((performance.now() - startedAt) * 1000) / ids.length;
}

async function ownerOf(router: ReturnType<typeof connect<Things>>, id: string): Promise<string> {
  return router.at(id).nameHere();
}
