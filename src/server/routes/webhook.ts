/**
 * `POST /github/webhook`: what GitHub tells, checked and put into the queue; the work is done
 * outside of the request, since GitHub waits for ten seconds only. A delivery that comes again is
 * answered like the first one, and does nothing.
 */
import { GUARDS, type Guard } from "../../model/plan.ts";
import { planMarker } from "../../github/markers.ts";
import { parseCommand } from "../../github/parse-command.ts";
import { readWebhook, type WebhookEvent, type WebhookRefusal } from "../../github/read-webhook.ts";
import type { ProblemKind } from "../../model/api.ts";
import type { Api } from "../context.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import type { PullTask } from "../../pulls/pull-task.ts";
import type { GithubSettings } from "../../github/settings.ts";

const PROBLEMS: Readonly<Record<WebhookRefusal["kind"], ProblemKind>> = {
  tooLarge: "tooLarge",
  unsigned: "unauthenticated",
  invalid: "invalid",
  otherRepository: "forbidden",
};

export function addWebhookRoute(api: Api): void {
  api.post("/github/webhook", async (context) => {
    const { settings, coordinator } = context.var;
    const { github } = settings;
    if (!github?.webhookSecret) {
      throw new RefusedRequest(
        "unauthenticated",
        "This Worker takes no webhooks: it has no GITHUB_WEBHOOK_SECRET.",
      );
    }
    const { webhookSecret: secret, repositoryId } = github;
    const read = await readWebhook(context.req.raw, { secret, repositoryId });
    if (!read.ok) throw new RefusedRequest(PROBLEMS[read.failure.kind], read.failure.message);
    const { deliveryId, event } = read.value;
    const tasks = tasksOf(event, github);
    const isNew = await coordinator.pullWork.accept(deliveryId, tasks);
    return context.json({ event: event.kind, tasks: isNew ? tasks.length : 0 }, 202);
  });
}

/**
 * Returns the tasks that an event asks for. Its statements about a pull request are only hints: the
 * task asks GitHub again.
 */
export function tasksOf(
  event: WebhookEvent,
  settings: Pick<GithubSettings, "defaultBranch" | "environment">,
): readonly PullTask[] {
  switch (event.kind) {
    case "pullRequest": {
      // One that was edited may have gone to another base branch.
      const isOurs = event.baseRef === settings.defaultBranch || event.action === "edited";
      return isOurs ? [{ kind: "pull", pull: event.number, again: false }] : [];
    }
    case "comment":
      return event.isPull ? tasksOfComment(event, settings) : [];
    case "push":
      return event.ref === `refs/heads/${settings.defaultBranch}` && !event.isDeleted
        ? [{ kind: "scan", all: true }]
        : [];
    case "ping":
    case "other":
      return [];
  }
}

function tasksOfComment(
  { action, pull, commentId, author, body }: Extract<WebhookEvent, { kind: "comment" }>,
  { environment }: Pick<GithubSettings, "environment">,
): readonly PullTask[] {
  if (action === "deleted")
    return body.startsWith(planMarker(environment)) ? [{ kind: "pull", pull, again: true }] : [];
  const command = action === "created" ? parseCommand(body) : null;
  if (command === null) return [];
  const common = { kind: "command", pull, commentId, login: author } as const;
  if (!command.ok)
    return [{ ...common, fingerprint: null, overrides: [], message: command.failure }];
  const { fingerprint, overrides } = command.value;
  const unknown = overrides.filter((name) => !isGuard(name));
  if (unknown.length === 0)
    return [
      {
        ...common,
        fingerprint,
        overrides: overrides.filter((name) => isGuard(name)),
        message: null,
      },
    ];
  const message = `There is no guard ${unknown.join(", ")}; the guards are ${GUARDS.join(", ")}.`;
  return [{ ...common, fingerprint: null, overrides: [], message }];
}

function isGuard(name: string): name is Guard {
  return (GUARDS as readonly string[]).includes(name);
}
