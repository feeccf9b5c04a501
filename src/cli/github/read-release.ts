/** `/shardctl apply <fingerprint>` in a merged pull request: who may say it, and what it releases. Nothing of the comment is executed. */
import type { Guard } from "../../core/plan.ts";
import type { CommentEvent } from "../../github/actions-event.ts";
import { parseCommand } from "../../github/parse-command.ts";
import type { Pull } from "../../github/port.ts";
import type { CliResult } from "../failure.ts";
import { readGuards } from "../apply-steps.ts";
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

/** Answers the comment with a reaction: eyes for one that is heard, a frown for one that is not. */
export async function readRelease({ github }: Actions, event: CommentEvent): Promise<CliResult<ReadRelease>> {
  const command = event.isPull ? parseCommand(event.body) : null;
  if (command === null) return ignored("The comment is no command of shardctl.");
  if (!command.ok) return refuse(github, event, command.failure);
  const guards = readGuards(command.value.overrides);
  if (!guards.ok) return refuse(github, event, guards.failure.message);
  const permission = await github.permissionOf(event.author);
  if (!permission.ok) return failGithub(permission.failure);
  if (permission.value !== "write" && permission.value !== "admin") {
    return refuse(github, event, `${event.author} may not write to this repository, so their comment releases nothing.`);
  }
  const pull = await github.pull(event.pull);
  if (!pull.ok) return failGithub(pull.failure);
  if (pull.value.state !== "merged")
    return refuse(github, event, "A plan is released after the merge: this pull request is not merged.");
  const reacted = await github.reactTo(event.commentId, "eyes");
  if (!reacted.ok) return failGithub(reacted.failure);
  const { fingerprint } = command.value;
  return {
    ok: true,
    value: { kind: "release", order: { pull: pull.value, fingerprint, releasedBy: event.author, overrides: guards.value } },
  };
}

async function refuse(github: Actions["github"], event: CommentEvent, why: string): Promise<CliResult<ReadRelease>> {
  const reacted = await github.reactTo(event.commentId, "confused");
  return reacted.ok ? ignored(why) : failGithub(reacted.failure);
}

function ignored(why: string): CliResult<ReadRelease> {
  return { ok: true, value: { kind: "ignored", why } };
}
