import { describe, expect, it } from "vitest";

import { gatherLive, READS_MAX } from "../../src/runs/gather-live.ts";
import { runBounded } from "../../src/model/run-bounded.ts";
import { DEFAULT_POLICY, type DesiredState, type NamespaceSpec } from "../../src/model/spec.ts";
import { createMemoryAccess, type MemoryAccess } from "../support/live/memory.ts";
import type { LiveReader } from "../../src/live/port.ts";
import { unshardedNamespace } from "../support/apply-plans.ts";

function spec(name: string, changes: Partial<NamespaceSpec> = {}): NamespaceSpec {
  return {
    name,
    labels: {},
    object: "ORDERS",
    strategy: "hash",
    shardKey: "id",
    count: 2,
    directory: false,
    splitPoints: null,
    partitioner: null,
    dependsOn: [],
    policy: DEFAULT_POLICY,
    source: { file: "m.yaml", line: 1, column: 1 },
    ...changes,
  };
}

const desiredOf = (...namespaces: NamespaceSpec[]): DesiredState => ({
  environment: "test",
  commit: null,
  namespaces,
});
const memoryOf = (...names: string[]): MemoryAccess =>
  createMemoryAccess({
    namespaces: names.map(unshardedNamespace),
    now: () => 5,
    pollsToComplete: () => 0,
  });

describe("gatherLive", () => {
  it("reads every desired and every known namespace once, and counts only what a plan needs", async () => {
    const live = memoryOf("changes", "same", "forgotten");
    const same = spec("same", { strategy: "none", shardKey: null, count: 1 });
    const known = ["forgotten", "same"].map((name) => ({ name, object: "ORDERS" }));
    const state = await gatherLive(live, desiredOf(spec("changes"), same), known);
    expect(
      state.namespaces.map(({ ref, namespace, distribution }) => [
        ref.name,
        namespace.ok,
        distribution?.ok ?? null,
      ]),
    ).toEqual([
      ["changes", true, true],
      ["forgotten", true, null],
      ["same", true, null],
    ]);
    expect(live.calls.toSorted()).toEqual([
      "describe changes",
      "describe forgotten",
      "describe same",
      "distribute changes",
    ]);
  });

  it("asks for every row, counted now, where that is wanted", async () => {
    const inner = memoryOf("a");
    const asked: unknown[] = [];
    const live: LiveReader = {
      ...inner,
      describe: (ref, age) => {
        asked.push(age);
        return inner.describe(ref);
      },
      distribute: (ref, request, isExact) => {
        asked.push(isExact);
        return inner.distribute(ref, request);
      },
    };
    await gatherLive(live, desiredOf(spec("a")), [], null, true);
    await gatherLive(live, desiredOf(spec("a")), []);
    expect(asked).toEqual([0, true, 600_000, false]);
  });

  it("keeps a namespace that cannot be read as the failure it is", async () => {
    const live = memoryOf("down", "up");
    live.breakCalls("down", { kind: "unreachable", message: "no answer" }, 1);
    const state = await gatherLive(live, desiredOf(spec("down"), spec("gone"), spec("up")), []);
    expect(
      state.namespaces.map(({ ref, namespace }) => [
        ref.name,
        namespace.ok ? "read" : namespace.failure.kind,
      ]),
    ).toEqual([
      ["down", "unreachable"],
      ["gone", "unbound"],
      ["up", "read"],
    ]);
  });

  it("keeps a failed count apart from no count", async () => {
    const liveAccess: LiveReader = {
      ...memoryOf("a"),
      distribute: async () => ({
        ok: false,
        failure: { kind: "unreachable", message: "too slow" },
      }),
    };
    const state = await gatherLive(liveAccess, desiredOf(spec("a")), []);
    expect(state.namespaces[0]).toMatchObject({
      namespace: { ok: true },
      distribution: { ok: false, failure: { message: "too slow" } },
    });
  });

  it("reads the old and the new place of a namespace whose binding was changed", async () => {
    const state = await gatherLive(memoryOf("a"), desiredOf(spec("a", { object: "OTHER" })), [
      { name: "a", object: "ORDERS" },
    ]);
    expect(state.namespaces.map(({ ref, namespace }) => [ref.object, namespace.ok])).toEqual([
      ["ORDERS", true],
      ["OTHER", false],
    ]);
  });

  it("never asks more than READS_MAX namespaces at the same time, and does ask that many", async () => {
    const names = Array.from({ length: READS_MAX * 3 }, (_, index) => `n${index}`);
    const memory = memoryOf(...names);
    let asking = 0;
    let most = 0;
    const liveAccess: LiveReader = {
      ...memory,
      async describe(ref) {
        most = Math.max(most, ++asking);
        await Promise.resolve();
        const answer = await memory.describe(ref);
        asking--;
        return answer;
      },
    };
    const state = await gatherLive(liveAccess, desiredOf(...names.map((name) => spec(name))), []);
    expect(state.namespaces).toHaveLength(names.length);
    expect(most).toBe(READS_MAX);
  });
});

describe("runBounded", () => {
  it("keeps the order of the list, whoever ends first", async () => {
    const delays = [30, 0, 10];
    const values = await runBounded(delays, 2, async (delayMs) => {
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      return delayMs;
    });
    expect(values).toEqual(delays);
    expect(await runBounded([], 2, async () => 1)).toEqual([]);
  });

  it("passes an exception on", async () => {
    const failing = runBounded([1, 2, 3], 2, (item) =>
      item === 2 ? Promise.reject(new Error("two")) : Promise.resolve(item),
    );
    await expect(failing).rejects.toThrow("two");
  });
});
