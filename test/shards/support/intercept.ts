/**
 * Stands between the objects of a namespace: every message that one sends to another, or the root's driver to itself, can be looked at,
 * lost, doubled, or made the moment at which something else happens.
 *
 * Objects of a test run in one isolate, so that replacing `Host.prototype.ask` reaches them all. Hooks run in the sender's object.
 */
import { onTestFinished } from "vitest";

import { Host } from "../../../src/shards/host.ts";
import type { MemberRequest } from "../../../src/shards/messages.ts";

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

/** Lets `intercept` have every message of the namespace until the test ends. */
export function interceptMessages(namespace: string, intercept: Intercept): void {
  if (original === undefined) {
    const ask = (original = Reflect.get(Host.prototype, "ask"));
    Host.prototype.ask = async function patched<Reply>(this: Host, member: string, request: object): Promise<Reply> {
      const forward = (): Promise<unknown> => ask.call(this, member, request);
      const hook = hooks.findLast((candidate) => candidate.namespace === this.namespace);
      if (!hook) return (await forward()) as Reply;
      return (await hook.intercept({ host: this, member, request: request as MemberRequest }, forward)) as Reply;
    };
  }
  const hook = { namespace, intercept };
  hooks.push(hook);
  onTestFinished(() => {
    hooks.splice(hooks.indexOf(hook), 1);
  });
}

/** Runs `act` once, in the sender's object, before the first message of this kind is sent. True once it has run. */
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
