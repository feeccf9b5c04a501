/**
 * `/shardctl apply <fingerprint>` in a pull request: the release of a plan by somebody who may
 * write, and after the merge its run.
 *
 * GitHub is asked who may, the comment is not: `author_association` says less than it
 * seems. Each command gets one answer, found again by its marker, so that doing the task twice
 * answers once.
 */
import { success } from "../model/result.ts";
import { RELEASE_AGE_MAX_MS } from "../model/review.ts";
import type { GithubResult, Pull } from "../github/port.ts";
import { codeMarkdown, escapeMarkdown } from "../render/escape-markdown.ts";
import { applyPlan } from "../runs/apply-plan.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { WORKER_NAME, type PullParts } from "./pull-parts.ts";
import type { CommentedCommand } from "./pull-task.ts";

const DIGITS = 12;

interface Reply {
  readonly isAccepted: boolean;
  /** Markdown. */
  readonly text: string;
}

export async function answerCommand(
  parts: PullParts,
  command: CommentedCommand,
): Promise<GithubResult<null>> {
  const { github } = parts;
  const permission = await github.permissionOf(command.login);
  if (!permission.ok) return permission;
  // Anybody may comment on a public repository: they get a sign, and no comment that they could
  // cause at will.
  if (permission.value !== "write" && permission.value !== "admin")
    return react(parts, command, "-1");
  const pull = await github.pull(command.pull);
  if (!pull.ok) return pull;
  // The answer outlives the coordinator's memory of deliveries: one that comes again much later, or
  // after its storage was lost, must not release anew what has expired.
  const answers = await github.commentsWith(command.pull, answerMarker(command.commentId));
  if (!answers.ok) return answers;
  if (answers.value.length > 0) return success(null);
  return answer(parts, command, await obey(parts, pull.value, command));
}

/** The comment with the command may be gone again; its answer is still worth giving. */
async function react(
  { github }: PullParts,
  { commentId }: CommentedCommand,
  reaction: "rocket" | "confused" | "-1",
): Promise<GithubResult<null>> {
  const reacted = await github.reactTo(commentId, reaction);
  return !reacted.ok && reacted.failure.kind === "notFound" ? success(null) : reacted;
}

async function obey(parts: PullParts, pull: Pull, command: CommentedCommand): Promise<Reply> {
  const { coordinator, settings, now } = parts;
  const { fingerprint, overrides, login } = command;
  const { environment } = settings;
  if (fingerprint === null)
    return refuse(escapeMarkdown(command.message ?? "The command was not understood."));
  if (pull.baseRef !== settings.defaultBranch)
    return refuse(`This pull request does not go into ${codeMarkdown(settings.defaultBranch)}.`);
  if (pull.state === "closed")
    return refuse("This pull request was closed without a merge: there is nothing to apply.");
  if (coordinator.plans.environmentOf(fingerprint) !== environment)
    return refuse(
      `No plan ${short(fingerprint)} of ${codeMarkdown(environment)} is stored: it was made elsewhere, or has expired.`,
    );
  const releasedAt = now();
  const release = {
    releasedBy: login,
    releasedAt,
    expiresAt: releasedAt + RELEASE_AGE_MAX_MS,
    overrides,
  };
  const place = { environment, pull: pull.number, fingerprint };
  const review = coordinator.reviews.release(place, release);
  if (review === null)
    return refuse(
      `Plan ${short(fingerprint)} was never shown in this pull request, so it could not be reviewed here.`,
    );
  const until = new Date(release.expiresAt).toISOString();
  const overridden = overrides.length === 0 ? "" : ` with ${overrides.join(", ")} overridden`;
  if (pull.state === "open") {
    return accept(
      `Plan ${short(fingerprint)} is released${overridden} until ${until}. It is applied after the merge.`,
    );
  }
  if (settings.applies === "workflow") {
    return accept(
      `Plan ${short(fingerprint)} is released${overridden} until ${until}. The workflow's apply job starts it: run that job now, since this Worker leaves it to the workflow, and a job that came before this release does not count.`,
    );
  }
  return start(parts, pull, command, fingerprint);
}

async function start(
  parts: PullParts,
  pull: Pull,
  { login, overrides }: CommentedCommand,
  fingerprint: string,
): Promise<Reply> {
  const origin = { pull: pull.number, commit: pull.mergeCommitSha, runUrl: null };
  try {
    const requestedBy = `${WORKER_NAME} (${login})`;
    const run = await applyPlan(parts, {
      fingerprint,
      overrides,
      requestedBy,
      actor: WORKER_NAME,
      origin,
      needsReview: true,
    });
    return accept(
      `Run ${codeMarkdown(run.id)} of plan ${short(fingerprint)} was started. The comment above follows it.`,
    );
  } catch (error) {
    if (error instanceof RefusedRequest) return refuse(escapeMarkdown(error.message));
    throw error;
  }
}

/** Stored in other people's pull requests: never change. */
export function answerMarker(commentId: number): string {
  return `<!-- shardctl:answer:${commentId} -->`;
}

/** Reacts, and answers unless the command has its answer. */
export async function answer(
  parts: PullParts,
  command: CommentedCommand,
  reply: Reply,
): Promise<GithubResult<null>> {
  const reacted = await react(parts, command, reply.isAccepted ? "rocket" : "confused");
  return reacted.ok ? postAnswer(parts, command, reply) : reacted;
}

async function postAnswer(
  { github }: PullParts,
  { pull, commentId }: CommentedCommand,
  { text }: Reply,
): Promise<GithubResult<null>> {
  const marker = answerMarker(commentId);
  const own = await github.commentsWith(pull, marker);
  if (!own.ok) return own;
  const [first] = own.value;
  const body = `${marker}\n${text}\n`;
  if (first?.body.trimEnd() === body.trimEnd()) return success(null);
  const written =
    first === undefined
      ? await github.createComment(pull, body)
      : await github.updateComment(first.id, body);
  return written.ok ? success(null) : written;
}

function accept(text: string): Reply {
  return { isAccepted: true, text };
}

function refuse(text: string): Reply {
  return { isAccepted: false, text: `Nothing was applied. ${text}` };
}

function short(fingerprint: string): string {
  return codeMarkdown(fingerprint.slice(0, DIGITS));
}
