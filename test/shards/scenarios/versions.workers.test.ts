/**
 * Line 7 on the real runtime: one class whose objects run either version of the library, deployed
 * to and fro while operations run.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { RefusedError, connect } from "../../../src/shards/router.ts";
import { connect as connectOld } from "../../fixtures/old-library.js";
import { sample } from "../../support/sample.ts";
import { type Mixed, type ShardsEnv, oldObjects } from "../../support/shards-worker.ts";
import { TestNamespace } from "../support/namespace.ts";

const { MIXED } = env as unknown as ShardsEnv;
const ROWS = 300;
const TRIES_MAX = 400;
const GROUPS_MAX = 7;
const CALL_PAUSE_MS = 5;
/** Between two deploys. */
const DEPLOY_PAUSE_MS = 60;

const groupOf = (id: string): string => `g${Number(id.replaceAll(/\D/g, "")) % GROUPS_MAX}`;

/** Restarts an object by a version. */
async function deploy(
  namespace: TestNamespace<Mixed>,
  member: string,
  version: "old" | "new",
): Promise<void> {
  if (version === "old") oldObjects.add(member);
  else oldObjects.delete(member);
  await namespace.abort(member);
}

/** Writes and reads by both routers until it is stopped; gives all that was wrong. */
function startCallers(namespace: TestNamespace<Mixed>): {
  stop(): Promise<string[]>;
  readonly answered: number;
} {
  const stop = new AbortController();
  let answered = 0;
  const flaws: string[] = [];
  const work = async (name: string, router: ReturnType<typeof connect<Mixed>>): Promise<void> => {
    const written = new Map<string, number>();
    const call = async (
      id: string,
      method: "put" | "get",
      ...args: unknown[]
    ): Promise<unknown> => {
      const key = (shardKey: string | null): string => (shardKey === "grp" ? groupOf(id) : id);
      for (let tries = 1; ; tries++) {
        try {
          const answer = await router.attempt((view) => view.callOwner(key, method, [id, ...args]));
          answered++;
          return answer;
        } catch (error) {
          // No answer, since the object was restarted: the call may run twice. A refusal must not
          // come through.
          if (
            error instanceof RefusedError ||
            String(error).includes("protocol") ||
            tries >= TRIES_MAX
          )
            throw error;
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      }
    };
    try {
      for (let count = 0; !stop.signal.aborted; count++) {
        const id = `${name}${count % 9}`;
        await call(id, "put", groupOf(id), count);
        written.set(id, count);
        const seen = await call(id, "get");
        if (seen !== count) flaws.push(`${name} wrote ${count} to ${id} and read ${String(seen)}`);
        await new Promise((resolve) => setTimeout(resolve, CALL_PAUSE_MS));
      }
      for (const [id, count] of written) {
        const seen = await call(id, "get");
        if (seen !== count)
          flaws.push(`${name} wrote ${count} to ${id}, which is ${String(seen)} in the end`);
      }
    } catch (error) {
      flaws.push(`${name}: ${String(error)}`);
    }
  };
  const working = [
    work("new", connect<Mixed>(MIXED, namespace.name)),
    work("old", connectOld<Mixed>(MIXED, namespace.name)),
  ];
  return {
    get answered() {
      return answered;
    },
    stop: async () => {
      stop.abort();
      await Promise.all(working);
      return flaws;
    },
  };
}

describe("line 7: two versions of the library on the real runtime", { timeout: 240_000 }, () => {
  const orders = [
    ["old", "new"],
    ["new", "old"],
  ] as const;
  it.each(sample(orders, 1))(
    "an %s root, and deploys to and fro in every operation",
    async (first, second) => {
      const namespace = new TestNamespace<Mixed>(MIXED, `mixed-${first}`);
      await deploy(namespace, namespace.name, first);
      const router = connect<Mixed>(MIXED, namespace.name);
      for (let row = 0; row < ROWS; row++)
        await router.at(`row${row}`).put(`row${row}`, groupOf(`row${row}`), row);
      const callers = startCallers(namespace);
      const layouts = [
        ["shard", () => namespace.hashTo("id", 2)],
        ["rebalance", () => namespace.hashTo("id", 4)],
        ["rekey", () => namespace.hashTo("grp", 2)],
        ["unshard", () => namespace.unshardedTo()],
      ] as const;
      const versions = new Map<string, "old" | "new">([[namespace.name, first]]);
      for (const [kind, layoutOf] of layouts) {
        const to = await layoutOf();
        const { layout } = await namespace.live();
        const members = [...new Set([namespace.name, ...layout.members, ...to.members])];
        // Half of the members of either side begin with the other version.
        for (const [index, member] of members.entries()) {
          const version = index % 2 === 0 ? first : second;
          if (versions.get(member) !== version) await deploy(namespace, member, version);
          versions.set(member, version);
        }
        const { id } = await namespace.start(kind, to, { waveRowsMax: 100 });
        for (const member of members) {
          const version = versions.get(member) === "old" ? "new" : "old";
          versions.set(member, version);
          await deploy(namespace, member, version);
          await new Promise((resolve) => setTimeout(resolve, DEPLOY_PAUSE_MS));
        }
        // The rollout ends: a shift by a new root waits for members that cannot promote yet.
        for (const member of members)
          if (versions.get(member) === "old") await deploy(namespace, member, "new");
        for (const member of members) versions.set(member, "new");
        expect(await namespace.reached(id)).toMatchObject({ state: "completed", fault: null });
      }
      expect(callers.answered).toBeGreaterThan(100);
      expect(await callers.stop()).toEqual([]);
      const rows = await namespace.sql(
        namespace.name,
        "SELECT id, grp, n FROM items WHERE id LIKE 'row%' ORDER BY n",
      );
      expect(rows).toEqual(
        Array.from({ length: ROWS }, (_, n) => ({ id: `row${n}`, grp: groupOf(`row${n}`), n })),
      );
    },
  );
});
