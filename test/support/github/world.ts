/** The parts shared within the fake: its state, its address, and the way an event leaves it. */
import type { Account, Repository, State } from "./state.ts";

export type EventName = "pull_request" | "push" | "issue_comment" | "merge_group" | "ping";

export interface WebhookEvent {
  readonly name: EventName;
  readonly repo: Repository;
  readonly sender: Account;
  /**
   * The part of the payload that is the event's own; repository, sender, organization and
   * installation are added on delivery.
   */
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface FakeParts {
  readonly state: State;
  /** Address of the REST API, without a slash at its end. Known only once the server listens. */
  readonly api: string;
  readonly emit: (event: WebhookEvent) => void;
}
