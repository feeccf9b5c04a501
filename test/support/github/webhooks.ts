/**
 * Webhooks: signs what happened and delivers it, one after the other; a redelivery keeps its id.
 *
 * Without a configured address events are still kept, so that a test can send one by itself
 * (`sign`). GitHub has no timestamp in a delivery, and neither has this.
 */
import { randomUUID } from "node:crypto";
import { sign } from "@octokit/webhooks-methods";

import { personOf } from "./pull-changes.ts";
import { showAccount, nodeId } from "./shapes/account.ts";
import { showRepository } from "./shapes/repository.ts";
import type { Account, Installation } from "./state.ts";
import type { EventName, WebhookEvent, FakeParts } from "./world.ts";

export interface WebhookTarget {
  readonly url: string;
  readonly secret: string;
  /** All when missing. */
  readonly events?: readonly EventName[];
}

export interface Delivery {
  /** X-GitHub-Delivery. */
  readonly id: string;
  readonly event: EventName;
  readonly action: string | null;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The status of each attempt; 0 for one that was not answered in ten seconds. */
  readonly statuses: number[];
}

const ANSWER_TIMEOUT_MS = 10_000;
const DEFAULT_SECRET = "fake-webhook-secret";

export class Webhooks {
  readonly deliveries: Delivery[] = [];
  /** Set, every payload names this installation, as those of an app's webhook do. */
  installation: Installation | null = null;
  target: WebhookTarget | null = null;
  readonly #world: () => FakeParts;
  readonly #stopped = new AbortController();
  #queue: Promise<void> = Promise.resolve();

  constructor(world: () => FakeParts) {
    this.#world = world;
  }

  /** Sends every event from now on to the address. */
  deliverTo(target: WebhookTarget | null): void {
    this.target = target;
  }

  /** The event leaves when those before it have been answered. */
  emit(event: WebhookEvent): void {
    const { target } = this;
    const body = JSON.stringify(this.#payload(event));
    const action = typeof event.payload["action"] === "string" ? event.payload["action"] : null;
    const before = this.#queue;
    const deliver = async () => {
      await before;
      const delivery = await this.sign(event.name, body, {
        secret: target?.secret ?? DEFAULT_SECRET,
        action,
      });
      this.deliveries.push(delivery);
      const isWanted = target !== null && (target.events?.includes(event.name) ?? true);
      if (isWanted) await this.#send(target, delivery);
    };
    this.#queue = deliver();
  }

  /** Waits until everything that happened so far is delivered. Gives the deliveries. */
  async settled(): Promise<readonly Delivery[]> {
    await this.#queue;
    return this.deliveries;
  }

  /** Gives up what is being delivered. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#queue;
  }

  /** Sends a delivery again: same id, same body, same signature. Gives the status. */
  async redeliver(id: string): Promise<number> {
    await this.#queue;
    const delivery = this.deliveries.find((one) => one.id === id);
    if (!delivery || this.target === null)
      throw new Error(`No delivery ${id}, or no address to deliver to`);
    return this.#send(this.target, delivery);
  }

  /** The newest delivery of an event. */
  async last(event: EventName, action?: string): Promise<Delivery> {
    await this.#queue;
    const found = this.deliveries.findLast(
      (one) => one.event === event && (action === undefined || one.action === action),
    );
    if (!found)
      throw new Error(`No event ${event}${action === undefined ? "" : `.${action}`} has happened`);
    return found;
  }

  /**
   * Headers and body of a delivery that a test sends itself. The id may be given, to forge or
   * repeat one.
   */
  async sign(
    event: EventName,
    body: string,
    options: { readonly secret: string; readonly id?: string; readonly action?: string | null },
  ): Promise<Delivery> {
    const id = options.id ?? randomUUID();
    const headers = {
      "content-type": "application/json",
      "user-agent": "GitHub-Hookshot/fake",
      "x-github-event": event,
      "x-github-delivery": id,
      "x-github-hook-id": "1",
      "x-hub-signature-256": await sign(options.secret, body),
    };
    return { id, event, action: options.action ?? null, body, headers, statuses: [] };
  }

  #payload({ payload, repo, sender, name }: WebhookEvent): object {
    const { api } = this.#world();
    const repository = showRepository(api, repo);
    const { installation } = this;
    return {
      ...payload,
      repository: name === "push" ? pushRepository(repository, repo.owner) : repository,
      ...(repo.owner.type === "Organization" ? { organization: showAccount(api, repo.owner) } : {}),
      sender: showAccount(api, sender),
      ...(installation === null
        ? {}
        : { installation: { id: installation.id, node_id: nodeId("IN", installation.id) } }),
    };
  }

  async #send(target: WebhookTarget, delivery: Delivery): Promise<number> {
    let status = 0;
    try {
      const response = await fetch(target.url, {
        method: "POST",
        headers: delivery.headers,
        body: delivery.body,
        signal: AbortSignal.any([AbortSignal.timeout(ANSWER_TIMEOUT_MS), this.#stopped.signal]),
      });
      await response.arrayBuffer();
      status = response.status;
    } catch {
      // GitHub notes a delivery that failed and goes on: the zero says so.
    }
    delivery.statuses.push(status);
    return status;
  }
}

/**
 * In `push` the times of the repository are seconds, its owner has a name, and two fields have old
 * names.
 */
function pushRepository(repository: ReturnType<typeof showRepository>, owner: Account): object {
  const seconds = (time: string | null) => (time === null ? null : Date.parse(time) / 1000);
  return {
    ...repository,
    owner: { ...repository.owner, ...personOf(owner) },
    created_at: seconds(repository.created_at),
    pushed_at: seconds(repository.pushed_at),
    stargazers: repository.stargazers_count,
    master_branch: repository.default_branch,
  };
}
