/**
 * One call to every member: each runs it once, on the rows that it owns by one layout.
 *
 * | a member                       | is asked                                                             |
 * |--------------------------------|----------------------------------------------------------------------|
 * | takes part in no move          | to run it, by the epoch of the layout                                |
 * | takes part in one              | for a ticket, and to run it once all the others have given theirs    |
 * | has run it                     | never again                                                          |
 *
 * Rule "one-layout-for-all": what members own by one layout is a partition of the keys, whenever
 * each of them runs: no row is met twice, and none is left out. So once a member has run the call,
 * the others run it by the same layout, or by one in which they own what they own by that. Tickets
 * make this nearly always succeed: no fence goes up while one stands. Where it does
 * not, because a member has crashed and was cut over, the call fails and names the members that ran
 * it.
 */
import { diffRanges } from "../../model/layout/moves.ts";
import { type Layout, sameLayout } from "../../model/layout/layout.ts";
import { RefusedError } from "../protocol/refused-error.ts";
import type { LayoutView } from "./layout-view.ts";

export class FanOut {
  readonly #call: { readonly method: string; readonly args: readonly unknown[] };
  readonly #mayRunTwice: boolean;
  /** The layout by which it runs, once a member has run it. */
  #layout: Layout | undefined;
  readonly #answers = new Map<string, unknown>();
  /** Members that have not answered, or threw: they may have run it. */
  readonly #unknown = new Set<string>();
  /** The members of the layout by which it was last run. */
  #asked = 0;
  /** True once an answer was lost. */
  #isLost = false;

  /** `mayRunTwice`: a layout that has changed begins it anew, and so does a lost answer. */
  constructor(method: string, args: readonly unknown[], mayRunTwice: boolean) {
    this.#call = { method, args };
    this.#mayRunTwice = mayRunTwice;
  }

  /**
   * The answers in the order of the shards. May be run again after a failure: it goes on where it
   * was. @throws RefusedError, or what a member threw.
   */
  async run(view: LayoutView): Promise<readonly unknown[]> {
    this.#requireSame(view);
    const layout = this.#layout ?? view.layout;
    this.#asked = layout.members.length;
    const open = (): string[] => layout.members.filter((member) => !this.#answers.has(member));
    const moving: string[] = [];
    await this.#all(open(), view, async (member) => {
      try {
        return {
          answer: await view.callMember(member, this.#call, { unlessMoving: true }),
        };
      } catch (error) {
        if (!(error instanceof RefusedError && error.reason.kind === "ticketNeeded")) throw error;
        moving.push(member);
        return undefined;
      }
    });
    if (moving.length > 0) await this.#runByTickets(view, open());
    return layout.members.map((member) => this.#answers.get(member));
  }

  /** The error of the whole call: with the members that have run it, or may have. */
  explain(error: unknown): unknown {
    const ran = [...this.#answers.keys()];
    // An error of the method itself on every member is the caller's own, and so is a refusal.
    const isOnSome = this.#unknown.size > 0 && this.#unknown.size < this.#asked;
    if (ran.length === 0 && !this.#isLost && !isOnSome) return error;
    const unknown = [...this.#unknown].filter((member) => !ran.includes(member));
    const maybe = unknown.join(", ");
    const where =
      ran.length === 0
        ? `has perhaps run on ${maybe}`
        : `has run on ${ran.join(", ")}${maybe === "" ? "" : `, perhaps also on ${maybe}`}`;
    const message = error instanceof Error ? error.message : String(error);
    return new Error(`'${this.#call.method}' ${where}, and on no other member: ${message}`, {
      cause: error,
    });
  }

  /** Takes a ticket from every member before any of them runs. */
  async #runByTickets(view: LayoutView, members: readonly string[]): Promise<void> {
    const [first = "", ...others] = members;
    const tickets = new Map<string, string>();
    const take = async (member: string, among: readonly string[]): Promise<void> => {
      tickets.set(member, await view.admit(member, this.#call.method, among));
    };
    try {
      // The first waits while calls are held, as any call does. The others are let through then:
      // the first waits for them.
      await take(first, []);
      await settled(others.map((member) => take(member, members)));
    } catch (error) {
      await Promise.allSettled(
        [...tickets].map(([member, ticket]) => view.dismiss(member, ticket)),
      );
      throw error;
    }
    await this.#all(members, view, async (member) => ({
      answer: await view.callMember(member, this.#call, { ticket: tickets.get(member) ?? "" }),
    }));
  }

  /** Asks members, and keeps what each answers also when others fail. */
  async #all(
    members: readonly string[],
    view: LayoutView,
    ask: (member: string) => Promise<{ readonly answer: unknown } | undefined>,
  ): Promise<void> {
    await settled(
      members.map(async (member) => {
        try {
          const reply = await ask(member);
          if (reply === undefined) return;
          this.#answers.set(member, reply.answer);
          this.#layout ??= view.layout;
        } catch (error) {
          // A row that is refused for its key ends a call that has run so far.
          if (!(error instanceof RefusedError) || error.reason.kind === "wrongKey")
            this.#unknown.add(member);
          this.#isLost ||= isUnanswered(error);
          throw error;
        }
      }),
    );
  }

  /** @throws Error when what is still to run would meet rows again, or leave some out. */
  #requireSame({ layout }: LayoutView): void {
    const before = this.#layout;
    if (before === undefined) return;
    const changed = before.members.filter(
      (member) => !this.#answers.has(member) && !ownsTheSame(before, layout, member),
    );
    if (changed.length === 0) return;
    if (!this.#mayRunTwice) throw new Error(`the rows of ${changed.join(", ")} have moved since`);
    this.#answers.clear();
    this.#layout = undefined;
  }
}

/** True for an error that the runtime has made: the method may have run all the same. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof Error && "retryable" in error && error.retryable === true;
}

/** True when a member owns the same keys by both layouts. */
function ownsTheSame(before: Layout, now: Layout, member: string): boolean {
  if (sameLayout(before, now)) return true;
  if (before.kind === "none" || now.kind === "none") return false;
  if (before.shardKey !== now.shardKey || before.generation !== now.generation) return false;
  const moves =
    before.kind === "hash" && now.kind === "hash"
      ? diffRanges(before, now)
      : before.kind === "range" && now.kind === "range"
        ? diffRanges(before, now)
        : null;
  return (
    moves !== null && !moves.some(({ source, target }) => source === member || target === member)
  );
}

/**
 * Waits for every call. @throws the first failure that is not a refusal that helps to ask again,
 * else the first refusal.
 */
async function settled(calls: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(calls);
  const reasons = results.flatMap((each): unknown[] =>
    each.status === "rejected" ? [each.reason] : [],
  );
  if (reasons.length === 0) return;
  throw (
    reasons.find((reason) => !(reason instanceof RefusedError && reason.reason.retryable)) ??
    reasons[0]
  );
}
