/**
 * Reads a delivery of GitHub's webhook: its body up to a limit, its signature over exactly those
 * bytes, its event as a plain value.
 *
 * Nothing is parsed before the signature is right, and nothing is hashed before the body has an
 * end. A delivery carries no time, so the same one twice is for the caller to tell, by
 * `deliveryId`: the signature itself, since GitHub's own id is a header that the signature does not
 * cover.
 */
import { verify } from "@octokit/webhooks-methods";
import * as z from "zod";

import { failure, type Result, success } from "../model/result.ts";

export type WebhookEvent =
  | {
      readonly kind: "pullRequest";
      /** Such as `opened`, `synchronize`, `closed`. */
      readonly action: string;
      readonly number: number;
      readonly baseRef: string;
    }
  | {
      readonly kind: "push";
      readonly ref: string;
      readonly isDeleted: boolean;
    }
  | {
      readonly kind: "comment";
      /** `created`, `edited` or `deleted`. */
      readonly action: string;
      /** Number of the pull request or issue. */
      readonly pull: number;
      readonly author: string;
      readonly body: string;
      readonly commentId: number;
      readonly isPull: boolean;
    }
  | { readonly kind: "ping" }
  /** Nothing for us. */
  | { readonly kind: "other" };

export interface WebhookDelivery {
  /** The signature's digits; a redelivery has the same, and so has a copy under other headers. */
  readonly deliveryId: string;
  readonly event: WebhookEvent;
}

export interface WebhookRefusal {
  /** `tooLarge`: answer 413; `unsigned`: 401; `invalid`: 400; `otherRepository`: 403. */
  readonly kind: "tooLarge" | "unsigned" | "invalid" | "otherRepository";
  readonly message: string;
}

export interface WebhookOptions {
  readonly secret: string;
  /** Decimal digits: GitHub's id of the one repository that is listened to. */
  readonly repositoryId: string;
}

/**
 * GitHub sends up to 25 MB, which as text and as JSON would not fit into the memory of a Worker.
 * The largest events that we act on, pushes of 2,000 commits, stay below this; a push that does not
 * is found by the next tick.
 */
export const WEBHOOK_BYTES_MAX = 4 * 1024 * 1024;

const sha = z.string().regex(/^[0-9a-f]{40}$/);
const number = z.int().min(1);
const name = z.string().max(1024);
const SIGNATURE = /^sha256=[0-9a-f]{64}$/;

const repositorySchema = z.object({ repository: z.object({ id: number }) });
const pullRequestSchema = z.object({
  action: name,
  number,
  pull_request: z.object({ head: z.object({ sha }), base: z.object({ ref: name }) }),
});
const pushSchema = z.object({ ref: name, after: sha, deleted: z.boolean().nullish() });
const commentSchema = z.object({
  action: name,
  issue: z.object({ number, pull_request: z.unknown().optional() }),
  comment: z.object({
    id: number,
    body: z.string().nullish(),
    user: z.object({ login: name }).nullish(),
  }),
});

export async function readWebhook(
  request: Request,
  options: WebhookOptions,
): Promise<Result<WebhookDelivery, WebhookRefusal>> {
  const signature = request.headers.get("x-hub-signature-256");
  const event = request.headers.get("x-github-event") ?? "";
  // Before the body: whoever does not even claim to be GitHub is not read.
  if (signature === null || !SIGNATURE.test(signature)) {
    return refuse(
      "unsigned",
      "The delivery has no X-Hub-Signature-256: set the webhook's secret on GitHub.",
    );
  }
  const body = await readBody(request, WEBHOOK_BYTES_MAX);
  if (!body.ok) return body;
  if (body.value === "" || !(await verify(options.secret, body.value, signature))) {
    return refuse(
      "unsigned",
      "The delivery's signature is wrong: the secret on GitHub is not the one that is set here.",
    );
  }
  return readEvent(signature, event, body.value, options.repositoryId);
}

function readEvent(
  deliveryId: string,
  event: string,
  body: string,
  repositoryId: string,
): Result<WebhookDelivery, WebhookRefusal> {
  const payload = parseJson(body);
  if (payload === null)
    return refuse(
      "invalid",
      "The body is not a JSON object: set the webhook's content type to application/json.",
    );
  const repository = repositorySchema.safeParse(payload);
  const isOurs = repository.success && String(repository.data.repository.id) === repositoryId;
  if (!isOurs && !(event === "ping" && !repository.success)) {
    const is = repository.success ? `repository ${repository.data.repository.id}` : "no repository";
    return refuse(
      "otherRepository",
      `The delivery is about ${is}; this Worker listens to repository ${repositoryId}.`,
    );
  }
  const parsed = toEvent(event, payload);
  return parsed.success
    ? success({ deliveryId, event: parsed.data })
    : refuse(
        "invalid",
        `The ${event} event has the wrong shape at ${parsed.error.issues[0]?.path.join(".") ?? "its root"}.`,
      );
}

type ParsedEvent =
  | { readonly success: true; readonly data: WebhookEvent }
  | { readonly success: false; readonly error: z.ZodError };

function toEvent(event: string, payload: object): ParsedEvent {
  switch (event) {
    case "ping":
      return { success: true, data: { kind: "ping" } };
    case "pull_request":
      return pullRequestSchema
        .transform(({ action, number: pull, pull_request: { base } }) => ({
          kind: "pullRequest" as const,
          action,
          number: pull,
          baseRef: base.ref,
        }))
        .safeParse(payload);
    case "push":
      return pushSchema
        .transform(({ ref, deleted }) => ({
          kind: "push" as const,
          ref,
          isDeleted: deleted === true,
        }))
        .safeParse(payload);
    case "issue_comment":
      return commentSchema
        .transform(({ action, issue, comment }) => ({
          kind: "comment" as const,
          action,
          pull: issue.number,
          author: comment.user?.login ?? "ghost",
          body: comment.body ?? "",
          commentId: comment.id,
          isPull: issue.pull_request !== undefined && issue.pull_request !== null,
        }))
        .safeParse(payload);
    default:
      return { success: true, data: { kind: "other" } };
  }
}

function parseJson(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/**
 * The body as text, given up as soon as it is longer than the limit, whatever its length header
 * says.
 */
async function readBody(
  request: Request,
  bytesMax: number,
): Promise<Result<string, WebhookRefusal>> {
  const tooLarge = refuse("tooLarge", `The body is larger than ${bytesMax} bytes.`);
  if (Number(request.headers.get("content-length") ?? 0) > bytesMax) return tooLarge;
  if (request.body === null) return success("");
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  let length = 0;
  let text = "";
  try {
    for (;;) {
      const part = await reader.read();
      if (part.done) return success(text + decoder.decode());
      length += part.value.byteLength;
      if (length > bytesMax) {
        await reader.cancel();
        return tooLarge;
      }
      text += decoder.decode(part.value, { stream: true });
    }
  } catch (error) {
    if (error instanceof TypeError)
      return refuse("invalid", "The body broke off, or is not UTF-8 text.");
    throw error;
  }
}

function refuse(
  kind: WebhookRefusal["kind"],
  message: string,
): { readonly ok: false; readonly failure: WebhookRefusal } {
  return failure({ kind, message });
}
