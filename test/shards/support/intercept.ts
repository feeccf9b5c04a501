/**
 * Stands between the objects of a namespace: every message that one sends to another, or the root's
 * driver to itself, can be looked at, lost, doubled, or made the moment at which something else
 * happens.
 *
 * Objects of a test run in one isolate, so that replacing `Host.prototype.ask` reaches them all.
 * Hooks run in the sender's object.
 */
import { Host } from "../../../src/shards/host/host.ts";
import type { MemberRequest, ReplyTo } from "../../../src/shards/protocol/messages.ts";

export interface Message {
  /** The sender. */
  readonly host: Host;
  /** The receiver, by name. */
  readonly member: string;
  readonly request: MemberRequest;
}

export type Intercept = (message: Message, forward: () => Promise<unknown>) => Promise<unknown>;

interface Hook {
  readonly namespace: string;
  readonly intercept: Intercept;
}

const hooks: Hook[] = [];
let original: Host["ask"] | undefined;

/**
 * Lets `intercept` have every message of the namespace from now on: each test has a namespace of
 * its own. Several stand one behind the other.
 */
export function interceptMessages(namespace: string, intercept: Intercept): void {
  if (original === undefined) {
    const ask = (original = Reflect.get(Host.prototype, "ask"));
    Host.prototype.ask = async function patched<const Request extends MemberRequest>(
      this: Host,
      member: string,
      request: Request,
    ): Promise<ReplyTo<Request>> {
      const message = { host: this, member, request };
      // The newest hook first; each forwards to the one before it, the last to the object itself.
      const send = hooks
        .filter((hook) => hook.namespace === this.namespace)
        .reduce<() => Promise<unknown>>(
          (forward, hook) => () => hook.intercept(message, forward),
          () => ask.call(this, member, request),
        );
      return (await send()) as ReplyTo<Request>;
    };
  }
  hooks.push({ namespace, intercept });
}

/** Takes every hook away: the namespaces of the next file may have the same names. */
export function forgetIntercepts(): void {
  hooks.length = 0;
}

/**
 * Runs `act` once, in the sender's object, before the first message of this kind is sent. True once
 * it has run.
 */
export function beforeFirst(
  namespace: string,
  kind: MemberRequest["kind"],
  act: (message: Message) => void | Promise<void>,
): { readonly done: boolean } {
  const state = { done: false };
  interceptMessages(namespace, async (message, forward) => {
    if (!state.done && message.request.kind === kind) {
      state.done = true;
      await act(message);
    }
    return forward();
  });
  return state;
}
