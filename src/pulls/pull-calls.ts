/** Declares what the coordinator answers about the work on pull requests. */
import type { PullTask } from "./pull-task.ts";

export interface PullCalls {
  /** Takes the work that a webhook's delivery asks for. False when the same delivery came before. */
  acceptDelivery(id: string, tasks: readonly PullTask[]): Promise<boolean>;
  /** Asks for work on pull requests, which is done outside of this call. Nothing happens in a Worker that posts nothing. */
  queuePullTasks(tasks: readonly PullTask[]): Promise<void>;
}
