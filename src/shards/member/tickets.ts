/**
 * Tickets: calls that are admitted, and run when their caller says so.
 *
 * A call to all members must run on every one of them under one layout. While rows move, its
 * caller first takes a ticket from each. A ticket is a running call to everybody else: by rule
 * "raised-when-idle" no fence goes up while it stands, so that what its member owns stays as it was
 * when it was given.
 *
 * Kept in memory only. One that a crash has taken, or that nobody has used in time, is not known
 * any more: the call is refused, and has not run.
 */
import { type ProtocolFailure, refusal } from "../../model/wire/protocol-failure.ts";
import { type Result, failure, success } from "../../model/result.ts";
import type { Runtime } from "../storage/storage.ts";
import type { Chain } from "../../model/wire/protocol.ts";
import type { Message } from "../protocol/messages.ts";
import type { Admission } from "./admission.ts";

/** How long a ticket waits for its caller. */
const TICKET_MS = 2_000;

/** Refuses a call to all members without a ticket, at a member that takes part in a move. */
export const NEEDS_TICKET = failure(
  refusal(
    "ticketNeeded",
    "A member that takes part in a move runs calls to all members by tickets",
  ),
);

type TicketReply = Result<{ readonly ticket: string }, ProtocolFailure>;

interface Ticket {
  /** Ends the waiting: it runs, or nobody wants it any more. */
  readonly use: () => void;
  /** Ends the running call. */
  readonly end: () => void;
}

export class Tickets {
  readonly #runtime: Runtime;
  readonly #openedAt: number;
  readonly #standing = new Map<string, Ticket>();
  #count = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#openedAt = runtime.now();
  }

  /** Gives a ticket once the call is admitted, under the epoch that it names, or the refusal. */
  async give(
    admission: Admission,
    { epoch, method, among }: Message<"admit">,
    chain: Chain = [],
  ): Promise<TicketReply> {
    const below = chain === "many" ? chain : [...chain, ...among];
    const given = Promise.withResolvers<TicketReply>();
    const outcome = admission.run({ epoch, keys: [], method, chain: below, isTicket: true }, () => {
      // One of an earlier life of the object is not taken for one of this.
      const name = `${this.#openedAt}/${++this.#count}`;
      const ended = Promise.withResolvers<void>();
      const used = new AbortController();
      const end = (): void => ended.resolve();
      this.#standing.set(name, { use: () => used.abort(), end });
      void this.#runtime.sleep(TICKET_MS, used.signal).then(() => this.dismiss(name));
      given.resolve(success({ ticket: name }));
      return ended.promise;
    });
    const refused = outcome.then((result) => (result.ok ? given.promise : result));
    return Promise.race([given.promise, refused]);
  }

  /** Runs `work` as the call of a ticket, or refuses it when the ticket stands no more. */
  async run<Value>(
    name: string,
    work: () => Promise<Value>,
  ): Promise<Result<Value, ProtocolFailure>> {
    const ticket = this.#take(name);
    if (ticket === undefined)
      return failure(
        refusal("moving", `Ticket ${name} stands no more, and nothing has run: retry`),
      );
    try {
      return success(await work());
    } finally {
      ticket.end();
    }
  }

  /** Gives a ticket back. */
  dismiss(name: string): void {
    this.#take(name)?.end();
  }

  #take(name: string): Ticket | undefined {
    const ticket = this.#standing.get(name);
    this.#standing.delete(name);
    ticket?.use();
    return ticket;
  }
}
