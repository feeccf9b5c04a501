/** A call to all members runs once on each, by one layout, whatever members answer. */
import { describe, expect, it } from "vitest";
import type { Envelope, ProtocolReply } from "../../../src/model/wire/protocol.ts";
import { type ProtocolFailure, refusal } from "../../../src/model/wire/protocol-failure.ts";
import { failure, success } from "../../../src/model/result.ts";
import type { HashLayout } from "../../../src/model/layout/layout.ts";
import type { RouterRequest } from "../../../src/shards/protocol/messages.ts";
import { Router } from "../../../src/shards/router.ts";
import { peersOf } from "../../support/peers-of.ts";

/** By thirds of the slots. */
function hash(...owners: readonly [string, string, string]): HashLayout {
  const ranges = owners.map((member, index) => ({
    end: index === 2 ? 16_384 : 5_000 * (index + 1),
    member,
  }));
  return {
    kind: "hash",
    shardKey: "id",
    generation: 0,
    members: [...new Set(owners)].toSorted(),
    ranges,
  };
}

const BEFORE = hash("a", "b", "c");

type Answer = (request: RouterRequest, times: number) => unknown;

interface ShardsFixture {
  layout: HashLayout;
  epoch: number;
  /** Requests to members: `kind member`, with a ticket marked. */
  readonly asked: string[];
  /** Members that have run the method, each time. */
  readonly ran: string[];
}

const RAN = Symbol("ran");

/** A router over members that answer as told; by default they run what they are asked. */
function connect(
  answers: Readonly<Record<string, Answer>>,
  retryUnanswered = false,
): { readonly world: ShardsFixture; readonly router: Router } {
  const world: ShardsFixture = { layout: BEFORE, epoch: 1, asked: [], ran: [] };
  const times = new Map<string, number>();
  const send = (member: string, envelope: Envelope): ProtocolReply<unknown> => {
    const request = envelope.request as RouterRequest;
    if (request.kind === "layout")
      return { ...success({ layout: world.layout, epoch: world.epoch }), speaks: [1, 2] };
    const label = `${request.kind}${request.kind === "call" && request.ticket ? " by ticket" : ""} ${member}`;
    world.asked.push(label);
    times.set(label, (times.get(label) ?? 0) + 1);
    const answer = answers[member]?.(request, times.get(label) ?? 0) ?? RAN;
    if (typeof answer === "object")
      return { ...failure(answer as ProtocolFailure), speaks: [1, 2] };
    if (request.kind === "admit")
      return { ...success({ ticket: `ticket of ${member}` }), speaks: [1, 2] };
    if (request.kind === "call") world.ran.push(member);
    return { ...success(`${member} at ${world.epoch}`), speaks: [1, 2] };
  };
  const peers = peersOf(async (member, envelope) => send(member, envelope));
  const runtime = {
    now: () => 0,
    sleep: () => Promise.resolve(),
    digest: () => Promise.resolve(""),
  };
  return { world, router: new Router(peers, "ns", runtime, { retryUnanswered }) };
}

const stale = refusal("staleEpoch", "another epoch");
const needsTicket: Answer = (request) =>
  request.kind === "call" && !request.ticket ? refusal("ticketNeeded", "moving") : undefined;

describe("writers 4: a call to all members", () => {
  it("is one message each where nothing moves", async () => {
    const { world, router } = connect({});
    expect(await router.callAll("add")).toEqual(["a at 1", "b at 1", "c at 1"]);
    expect(world.asked).toEqual(["call a", "call b", "call c"]);
  });

  it("runs on members of a move once all of them have given tickets", async () => {
    const { world, router } = connect({ a: needsTicket, c: needsTicket });
    expect(await router.callAll("add")).toEqual(["a at 1", "b at 1", "c at 1"]);
    expect(world.ran).toEqual(["b", "a", "c"]);
    expect(world.asked.slice(3)).toEqual([
      "admit a",
      "admit c",
      "call by ticket a",
      "call by ticket c",
    ]);
  });

  it("gives tickets back when one is not given, and asks nobody again that has run", async () => {
    const refuses: Answer = (request, times) =>
      request.kind === "admit" && times === 1 ? stale : needsTicket(request, times);
    const { world, router } = connect({ a: needsTicket, c: refuses });
    expect(await router.callAll("add")).toHaveLength(3);
    expect(world.asked).toContain("dismiss a");
    expect(world.ran.toSorted()).toEqual(["a", "b", "c"]);
  });

  it("goes on by a newer layout where the members that are left own what they owned", async () => {
    const { world, router } = connect({
      b: (_, times) => {
        world.layout = hash("d", "b", "c");
        world.epoch = 2;
        return times === 1 ? stale : undefined;
      },
    });
    expect(await router.callAll("add")).toEqual(
      ["a at 1", "b at 2", "c at 1"].map(
        (text) => expect.stringContaining(text[0] ?? "") as string,
      ),
    );
    expect(world.ran.toSorted()).toEqual(["a", "b", "c"]);
  });

  it("fails where rows have moved to or from a member that is left, and names those that ran", async () => {
    const { world, router } = connect({
      b: () => {
        world.layout = hash("a", "d", "c");
        world.epoch = 2;
        return stale;
      },
    });
    await expect(router.callAll("add")).rejects.toThrow(
      "'add' has run on a, c, and on no other member: the rows of b have moved since",
    );
    expect(world.ran).toEqual(["a", "c"]);
  });

  it("begins anew by a newer layout while nobody has run it", async () => {
    const moved: Answer = (_, times) => {
      world.layout = hash("a", "d", "d");
      world.epoch = 2;
      return times === 1 ? stale : undefined;
    };
    const { world, router } = connect({ a: moved, b: moved, c: moved });
    expect(await router.callAll("add")).toEqual(["a at 2", "d at 2"]);
    expect(world.ran.toSorted()).toEqual(["a", "d"]);
  });

  it("names where it may have run when an answer is lost, and is not sent again", async () => {
    const lost: Answer = () => {
      throw Object.assign(new Error("the object was reset"), { retryable: true });
    };
    const { world, router } = connect({ b: lost });
    await expect(router.callAll("add")).rejects.toThrow(
      "'add' has run on a, c, perhaps also on b, and on no other member: the object was reset",
    );
    expect(world.ran).toEqual(["a", "c"]);
  });

  it("names where it may have run when every answer is lost", async () => {
    const lost: Answer = () => {
      throw Object.assign(new Error("the object was reset"), { retryable: true });
    };
    const refused: Answer = () => refusal("invalid", "no such method");
    await expect(connect({ a: lost, b: lost, c: lost }).router.callAll("add")).rejects.toThrow(
      "'add' has perhaps run on a, b, c, and on no other member: the object was reset",
    );
    await expect(
      connect({ a: refused, b: lost, c: refused }).router.callAll("add"),
    ).rejects.toThrow("'add' has perhaps run on b, and on no other member: ");
  });

  it("names where it may have run when it throws there and has not run elsewhere", async () => {
    const thrown: Answer = () => {
      throw new Error("CHECK constraint failed");
    };
    const refused: Answer = () => stale;
    const call = connect({ a: refused, b: thrown, c: refused }).router.callAll("add");
    await expect(call).rejects.toThrow(
      "'add' has perhaps run on b, and on no other member: CHECK constraint failed",
    );
  });

  it("passes an error on as it is when no member has run it", async () => {
    const error = new Error("no such table");
    const { router } = connect(
      Object.fromEntries(
        ["a", "b", "c"].map((member): [string, Answer] => [
          member,
          () => {
            throw error;
          },
        ]),
      ),
    );
    await expect(router.callAll("add")).rejects.toBe(error);
  });

  it("with retryUnanswered runs at least once, and begins anew when rows have moved", async () => {
    const { world, router } = connect(
      {
        b: (_, times) => {
          if (times > 2) return undefined;
          if (times === 1)
            throw Object.assign(new Error("the object was reset"), { retryable: true });
          world.layout = hash("a", "d", "b");
          world.epoch = 2;
          return stale;
        },
      },
      true,
    );
    expect(await router.callAll("add")).toEqual(["a at 2", "b at 2", "d at 2"]);
    expect(world.ran.toSorted()).toEqual(["a", "a", "b", "c", "d"]);
  });
});
