/** A routed call is known to what it calls, by whatever router, until it ends. */
import { describe, expect, it, vi } from "vitest";
import type { Envelope } from "../../../src/model/wire/protocol.ts";
import { connect } from "../../../src/shards/router.ts";
import { chainBelow, runBelow } from "../../../src/shards/platform/call-context.ts";

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe("3: inside a routed call", () => {
  it("the members below are known, also after a wait and beside other calls", async () => {
    const seen = await Promise.all(
      ["a", "b"].map((member) =>
        runBelow([member], async () => {
          await turn();
          return chainBelow();
        }),
      ),
    );
    expect(seen).toEqual([["a"], ["b"]]);
    expect(chainBelow()).toBeUndefined();
  });

  it("nobody is below what outlives it, also where it throws", async () => {
    const later: (() => unknown)[] = [];
    const call = runBelow(["a"], async () => {
      void turn().then(() => later.push(() => chainBelow()));
      await turn();
      await turn();
      later.push(await Promise.resolve(() => chainBelow()));
      throw new Error("the method's own");
    });
    await expect(call).rejects.toThrow("the method's own");
    expect(later.map((look) => look())).toEqual([undefined, undefined]);
  });

  it("a router of connect() marks what it sends, and outside it does not", async () => {
    const sent: Envelope[] = [];
    const stub = {
      shardctl: (envelope: Envelope) => {
        sent.push(envelope);
        const layout = { kind: "none", member: "there", members: ["there"], generation: 0 };
        return Promise.resolve({ ok: true, value: { layout, epoch: 0 } });
      },
    };
    const binding = {
      idFromName: (name: string) => ({ name, equals: () => true }),
      get: () => stub,
    };
    const router = connect(binding as unknown as Parameters<typeof connect>[0], "there");
    await runBelow(["a", "b"], () => router.layout(true));
    await router.layout(true);
    expect(sent.map(({ chain }) => chain)).toEqual([["a", "b"], undefined]);
  });

  it.each([
    ["only by an import, as under nodejs_als", {}, ["a"]],
    ["not at all", { AsyncLocalStorage: undefined }, undefined],
  ])("calls run where the runtime gives it %s", async (_, module, chain) => {
    vi.resetModules();
    vi.stubGlobal("process", { ...process, getBuiltinModule: undefined });
    const original = await vi.importActual<object>("node:async_hooks");
    vi.doMock("node:async_hooks", () => ({ ...original, ...module }));
    try {
      const fresh = await import("../../../src/shards/platform/call-context.ts");
      expect(fresh.chainBelow()).toBeUndefined();
      const call = (): Promise<unknown[]> =>
        fresh.runBelow(["a"], () => ["ran", fresh.chainBelow()]);
      expect(await Promise.all([call(), call()])).toEqual([
        ["ran", chain],
        ["ran", chain],
      ]);
    } finally {
      vi.doUnmock("node:async_hooks");
      vi.unstubAllGlobals();
    }
  });
});
