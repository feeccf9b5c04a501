/** Running calls of a member: the mark for messages sent meanwhile, and how long methods take. */
import { describe, expect, it } from "vitest";
import type { Envelope } from "../../../src/model/wire/protocol.ts";
import { RunningCalls, markingPeers } from "../../../src/shards/member/running-calls.ts";
import type { Message } from "../../../src/shards/protocol/messages.ts";
import { peersOf } from "../../support/peers-of.ts";

describe("what is sent while calls run", () => {
  it("is marked with this member and with all that is below any of them", () => {
    const running = new RunningCalls("b");
    expect(running.chain()).toBeUndefined();
    const first = running.start("m", ["a"], 0);
    const second = running.start("m", ["a", "c"], 0);
    expect(running.chain()).toEqual(["b", "a", "c"]);
    running.end(second, 1);
    expect(running.chain()).toEqual(["b", "a"]);
    running.end(first, 1);
    expect(running.chain()).toBeUndefined();
  });

  it("keeps the mark of a call that ends twice once", () => {
    const running = new RunningCalls("b");
    const first = running.start("m", ["a"], 0);
    running.start("m", ["a"], 0);
    running.end(first, 1);
    running.end(first, 1);
    expect(running.chain()).toEqual(["b", "a"]);
  });

  it("is marked as below many, where too many would have to be named, or one of them is", () => {
    const running = new RunningCalls("b");
    const names = Array.from({ length: 63 }, (_, index) => `m${index}`);
    running.start("m", names, 0);
    expect(running.chain()).toHaveLength(64);
    const more = running.start("m", ["one more"], 0);
    expect(running.chain()).toBe("many");
    running.end(more, 1);
    const many = running.start("m", "many", 0);
    expect(running.chain()).toBe("many");
    running.end(many, 1);
    expect(running.chain()).toHaveLength(64);
  });

  it("is sent as it is while nothing runs", async () => {
    const running = new RunningCalls("b");
    const sent: object[] = [];
    const peers = markingPeers(
      peersOf((_, envelope) => {
        sent.push(envelope);
        return Promise.resolve({ ok: true, value: null });
      }),
      () => running.chain(),
    );
    const envelope: Envelope<Message<"health">> = {
      protocol: 1,
      namespace: "n",
      member: "c",
      request: { kind: "health" },
    };
    await peers.send("c", envelope);
    running.start("m", [], 0);
    await peers.send("c", envelope);
    expect(sent).toEqual([envelope, { ...envelope, chain: ["b"] }]);
  });
});

describe("how long a method takes", () => {
  it("says nothing of a call that only waited for its caller", () => {
    const running = new RunningCalls("b");
    running.end(running.start("m", [], 0, true), 2_000);
    expect(running.usualMs("m", 2_000)).toBe(0);
    running.end(running.start("m", [], 2_000), 2_300);
    expect(running.usualMs("m", 2_300)).toBe(300);
  });

  it("is the longest that a call of it has taken, for ten minutes", () => {
    const running = new RunningCalls("b");
    running.end(running.start("slow", [], 0), 4_000);
    running.end(running.start("slow", [], 0), 5_000);
    running.end(running.start("fast", [], 5_000), 5_003);
    expect([
      running.usualMs("slow", 6_000),
      running.usualMs("fast", 6_000),
      running.usualMs("other", 6_000),
    ]).toEqual([5_000, 3, 0]);
    expect(running.usualMs("slow", 5_000 + 600_000)).toBe(5_000);
    expect(running.usualMs("slow", 5_001 + 600_000)).toBe(0);
  });

  it("comes down with shorter calls: one that was slow by chance makes no long method", () => {
    const running = new RunningCalls("b");
    running.end(running.start("m", [], 0), 700);
    running.end(running.start("m", [], 700), 720);
    expect(running.usualMs("m", 720)).toBe(632);
    for (let call = 0; call < 20; call++) running.end(running.start("m", [], 720), 740);
    expect(running.usualMs("m", 740)).toBeLessThan(100);
    for (let call = 0; call < 60; call++) running.end(running.start("m", [], 740), 740);
    expect(running.usualMs("m", 740)).toBe(0);
  });

  it("tells long calls by their method, before they have run for long", () => {
    const running = new RunningCalls("b");
    running.end(running.start("slow", [], 0), 5_000);
    expect([0, 100].map((from) => running.runsLong(from, 5_000))).toEqual([false, false]);
    const fast = running.start("fast", [], 5_000);
    expect([0, 100, Infinity].map((from) => running.runsLong(from, 5_099))).toEqual([
      true,
      false,
      false,
    ]);
    expect(running.runsLong(100, 5_100)).toBe(true);
    running.end(fast, 5_100);
    running.start("slow", [], 5_100);
    expect([0, 100, Infinity].map((from) => running.runsLong(from, 5_100))).toEqual([
      true,
      true,
      false,
    ]);
  });

  it("does not count what ran under a hold: it may have waited for a call that was held", () => {
    const running = new RunningCalls("b");
    const before = running.start("m", [], 0);
    running.noteHold(200);
    const during = running.start("m", [], 100);
    running.end(before, 300);
    running.end(during, 300);
    expect(running.usualMs("m", 300)).toBe(0);
    running.end(running.start("m", [], 300), 320);
    expect(running.usualMs("m", 320)).toBe(20);
  });

  it("is told beside how long the oldest has run", () => {
    const running = new RunningCalls("b");
    expect(running.state(0)).toEqual({ runs: 0, oldestMs: 0, longestMs: 0 });
    running.end(running.start("slow", [], 0), 5_000);
    running.start("fast", [], 5_100);
    running.start("fast", [], 5_200);
    expect(running.state(5_250)).toEqual({ runs: 2, oldestMs: 150, longestMs: 5_000 });
    expect(running.state(20_000)).toEqual({ runs: 2, oldestMs: 14_900, longestMs: 14_900 });
  });
});
