/**
 * The first phase of a fence at one member: which calls it keeps waiting, until when, and what ends
 * it.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { Admission, type Arrival } from "../../../src/shards/member/admission.ts";
import { type Hold, holdStands, waitsUntil } from "../../../src/shards/member/hold.ts";
import type { Member } from "../../../src/shards/member/member.ts";
import type { Moving } from "../../../src/shards/move/moving.ts";

const LAYOUT = freshHashLayout("id", 0, ["a", "b"]);
const HOLD: Hold = {
  operation: 1,
  attempt: 3,
  among: new Set(["a", "b"]),
  fromMs: 0,
  until: 1_200,
};

function moving(changes: Partial<Moving> = {}): Moving {
  const part = {
    mode: "shift",
    isSource: true,
    isTarget: false,
    from: LAYOUT,
    to: LAYOUT,
  } as const;
  const rest = {
    operation: 1,
    allowMissingKey: true,
    rowsPerSecondMax: null,
    fence: 0,
    fenceFloor: 1,
    rehearsed: 0,
  };
  return { ...part, ...rest, ...changes };
}

describe("a hold", () => {
  it.each([
    ["its time is up", moving(), 1_200],
    ["its attempt is over", moving({ fenceFloor: 4 }), 1_000],
    ["its operation is over", undefined, 1_000],
    ["another operation runs", moving({ operation: 2 }), 1_000],
  ])("ends when %s", (_, of, now) => {
    expect(holdStands(HOLD, moving(), 1_199)).toBe(true);
    expect(holdStands(HOLD, of, now)).toBe(false);
  });

  it.each([
    ["of a caller outside", HOLD, { chain: [], usualMs: 0 }, 1_200],
    ["from below members that are not held", HOLD, { chain: ["c", "d"], usualMs: 0 }, 1_200],
    ["from below a held member", HOLD, { chain: ["c", "b"], usualMs: 0 }, null],
    ["from below very many", HOLD, { chain: "many", usualMs: 0 }, null],
    [
      "of an unknown method, where long ones are held",
      { ...HOLD, fromMs: 100 },
      { chain: [], usualMs: 0 },
      null,
    ],
    [
      "of a short method, where long ones are held",
      { ...HOLD, fromMs: 100 },
      { chain: [], usualMs: 99 },
      null,
    ],
    [
      "of a long method, as long as it takes and a little more",
      { ...HOLD, fromMs: 100 },
      { chain: [], usualMs: 100 },
      1_150,
    ],
    [
      "of a very long method, no longer than the hold",
      { ...HOLD, fromMs: 100 },
      { chain: [], usualMs: 5_000 },
      1_200,
    ],
    [
      "of a long method from below a held member",
      { ...HOLD, fromMs: 100 },
      { chain: ["a"], usualMs: 5_000 },
      null,
    ],
  ] as const)("keeps a call waiting %s", (_, hold, call, until) => {
    expect(waitsUntil(hold, { ...call, arrivedAt: 800 })).toBe(until);
  });
});

describe("a member under a hold", () => {
  const clock = { now: 1_000 };
  let state: {
    membership: { epoch: number; serving: boolean; layout: typeof LAYOUT; namespace: string };
    moving: Moving | undefined;
  };
  let admission: Admission;
  let timers: { readonly at: number; readonly wake: () => void }[];

  beforeEach(() => {
    clock.now = 1_000;
    timers = [];
    state = {
      membership: { epoch: 5, serving: true, layout: LAYOUT, namespace: "ns" },
      moving: moving(),
    };
    const runtime = {
      now: () => clock.now,
      sleep: (ms: number) =>
        new Promise<void>((resolve) => timers.push({ at: clock.now + ms, wake: resolve })),
    };
    const member = {
      self: "a",
      runtime,
      foreignKeys: { isOff: false },
      get membership() {
        return state.membership;
      },
      get moving() {
        return state.moving;
      },
    };
    admission = new Admission(member as unknown as Member, {}, () => Promise.resolve());
  });

  /** Lets time pass, and whatever was waiting for it happen. */
  async function pass(ms: number): Promise<void> {
    clock.now += ms;
    const due = timers.filter(({ at }) => at <= clock.now);
    timers = timers.filter(({ at }) => at > clock.now);
    for (const { wake } of due) wake();
    await turn();
  }

  function turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  function call(
    name: string,
    ran: string[],
    arrival: Partial<Arrival> = {},
    work: () => unknown = () => undefined,
  ): Promise<unknown> {
    return admission.run({ epoch: 5, keys: [], ...arrival }, async () => {
      ran.push(name);
      await work();
    });
  }

  it("lets calls wait until it ends by itself: a root that is silent keeps nobody waiting", async () => {
    const ran: string[] = [];
    expect(await admission.hold(HOLD, 0)).toMatchObject({ runs: 0 });
    const called = call("outside", ran);
    await call("nested", ran, { chain: ["b"] });
    await call("query", ran, { endsAtOnce: true });
    await pass(199);
    expect(ran).toEqual(["nested", "query"]);
    expect(admission.state().waiting).toBe(1);
    await pass(1);
    expect(await called).toMatchObject({ ok: true });
    expect(ran).toEqual(["nested", "query", "outside"]);
    expect(admission.state()).toMatchObject({ runs: 0, waiting: 0 });
  });

  it("answers once what runs has ended, and says what does not", async () => {
    const ended: (() => void)[] = [];
    const running = call("long", [], {}, () => new Promise<void>((resolve) => ended.push(resolve)));
    await turn();
    const early = admission.hold(HOLD, 50);
    await pass(50);
    expect(await early).toMatchObject({ runs: 1, oldestMs: 50 });
    const late = admission.hold(HOLD, 50);
    ended[0]?.();
    await running;
    expect(await late).toMatchObject({ runs: 0 });
  });

  it("is ready no more while a call runs from below another held member", async () => {
    await admission.hold(HOLD, 0);
    const ended: (() => void)[] = [];
    const nested = call(
      "nested",
      [],
      { chain: ["b"] },
      () => new Promise<void>((resolve) => ended.push(resolve)),
    );
    await turn();
    expect(admission.state().runs).toBe(1);
    ended[0]?.();
    await nested;
    expect(admission.state().runs).toBe(0);
  });

  it("lets everybody go on when the attempt ends, and takes no late hold of it", async () => {
    const ran: string[] = [];
    await admission.hold(HOLD, 0);
    const called = call("outside", ran);
    await turn();
    state.moving = moving({ fenceFloor: 4 });
    admission.changed();
    await called;
    expect(ran).toEqual(["outside"]);
    await admission.hold({ ...HOLD, attempt: 4 }, 0);
    await expect(admission.hold(HOLD, 0)).rejects.toThrow("Attempt 3 of operation 1 is over");
  });

  it("tells callers to retry when a thousand wait already", async () => {
    const ran: string[] = [];
    await admission.hold(HOLD, 0);
    const waiting = Array.from({ length: 1_000 }, () => call("one", ran));
    await turn();
    expect(await call("one too many", ran)).toMatchObject({
      ok: false,
      failure: { kind: "moving", retryable: true },
    });
    await pass(200);
    expect(await Promise.all(waiting)).toHaveLength(1_000);
    expect(ran).toHaveLength(1_000);
    expect(await call("later", ran)).toMatchObject({ ok: true });
  });
});
