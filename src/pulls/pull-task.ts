/**
 * Tasks of the coordinator about pull requests, outside of requests, as stored values. Keys make
 * asking twice asking once.
 */
import type { Guard } from "../model/plan.ts";

export type PullTask =
  /**
   * Find open pull requests whose comment may be out of date; `all`: live or the default branch has
   * moved under every one.
   */
  | { readonly kind: "scan"; readonly all: boolean }
  /**
   * Plan one pull request and post what is new. `again`: also when nothing but the comment itself
   * may have changed.
   */
  | { readonly kind: "pull"; readonly pull: number; readonly again: boolean }
  /** Somebody commented `/shardctl apply <fingerprint>`. */
  | ({ readonly kind: "command" } & CommentedCommand)
  /** Write the progress or the end of a run into the comment. */
  | { readonly kind: "run"; readonly run: string };

export interface CommentedCommand {
  readonly pull: number;
  readonly commentId: number;
  readonly login: string;
  /** Null: the command was not understood; `message` says why. */
  readonly fingerprint: string | null;
  readonly overrides: readonly Guard[];
  readonly message: string | null;
}

/** Stored: never change. */
export function keyOfTask(task: PullTask): string {
  switch (task.kind) {
    case "scan":
      return task.all ? "scan:all" : "scan";
    case "pull":
      return `pull:${task.pull}`;
    case "command":
      return `command:${task.commentId}`;
    case "run":
      return `run:${task.run}`;
  }
}
