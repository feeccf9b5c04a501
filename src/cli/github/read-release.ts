/**
 * Reads `/shardctl apply <fingerprint>` in a merged pull request: who may give the command, and
 * what it releases. Nothing of the comment is executed.
 */
import type { Guard } from "../../model/plan.ts";
import type { CommentEvent } from "../../github/actions-event.ts";
import { parseCommand } from "../../github/parse-command.ts";
import type { Pull } from "../../github/port.ts";
import type { CliResult } from "../failure.ts";
import { readGuards } from "../apply-steps.ts";
import type { Session } from "../session.ts";
import { type Actions, failGithub } from "./actions.ts";

export interface ReleaseOrder {
  readonly pull: Pull;
  readonly fingerprint: string;
  readonly releasedBy: string;
  readonly overrides: readonly Guard[];
}

export type ReadRelease =
  | { readonly kind: "release"; readonly order: ReleaseOrder }
  | { readonly kind: "ignored"; readonly why: string };

/**
 * Answers the comment with a reaction: eyes for one that is heard, a frown for one that is not. An
 * edited or deleted comment is no command.
 */
export async function readRelease(
  session: Session,
  { github }: Actions,
  event: CommentEvent,
): Promise<CliResult<ReadRelease>> {
  const react = async (reaction: "eyes" | "confused"): Promise<void> => {
    const reacted = await github.reactTo(event.commentId, reaction);
    // A sign only: the comment may be gone, and what it says still counts.
    if (!reacted.ok) session.warn(reacted.failure.message);
  };
  const refuse = async (why: string): Promise<CliResult<ReadRelease>> => {
    await react("confused");
    return ignored(why);
  };
  const command = event.isPull && event.action === "created" ? parseCommand(event.body) : null;
  if (command === null) return ignored("The comment is not a shardctl command.");
  if (!command.ok) return refuse(command.failure);
  const guards = readGuards(command.value.overrides);
  if (!guards.ok) return refuse(guards.failure.message);
  const permission = await github.permissionOf(event.author);
  if (!permission.ok) return failGithub(permission.failure);
  if (permission.value !== "write" && permission.value !== "admin") {
    return refuse(
      `${event.author} may not write to this repository, so their comment releases nothing.`,
    );
  }
  const pull = await github.pull(event.pull);
  if (!pull.ok) return failGithub(pull.failure);
  if (pull.value.state !== "merged")
    return refuse("A plan is released after the merge: this pull request is not merged.");
  await react("eyes");
  const { fingerprint } = command.value;
  return {
    ok: true,
    value: {
      kind: "release",
      order: { pull: pull.value, fingerprint, releasedBy: event.author, overrides: guards.value },
    },
  };
}

function ignored(why: string): CliResult<ReadRelease> {
  return { ok: true, value: { kind: "ignored", why } };
}
