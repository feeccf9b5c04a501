/**
 * Sends one Slack-compatible message. The address is a secret: no error text contains it, and
 * redirects are not followed, since they would send the message to another party.
 */
import { failure, success, type Result } from "../model/result.ts";
import type { ChatMessage } from "./alert-chat.ts";

export interface WebhookFailure {
  readonly message: string;
  readonly retryAt: number | null;
}

const TIMEOUT_MS = 10_000;
const RETRY_AFTER_S_MAX = 3600;

/** Sends it once. @param now milliseconds since the Unix epoch, for `Retry-After`. */
export async function sendWebhook(
  send: typeof fetch,
  url: string,
  message: ChatMessage,
  now: number,
): Promise<Result<null, WebhookFailure>> {
  try {
    const response = await send(url, {
      method: "POST",
      headers: { "content-type": "application/json; charset=utf-8", "user-agent": "shardctl" },
      body: JSON.stringify(message),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (response.ok) return success(null);
    return failure({
      message: explainStatus(response.status),
      retryAt: readRetryAfter(response.headers, now),
    });
  } catch (error) {
    // The message of the error may quote the address.
    const name = error instanceof Error ? error.name : "unknown error";
    return failure({
      message: `the alert webhook gave no answer within ${TIMEOUT_MS / 1000} s (${name})`,
      retryAt: null,
    });
  }
}

function explainStatus(status: number): string {
  const advice = status >= 400 && status < 500 && status !== 429 ? ": check ALERT_WEBHOOK_URL" : "";
  return `the alert webhook answered ${status}${advice}`;
}

function readRetryAfter(headers: Headers, now: number): number | null {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds > 0
    ? now + Math.min(seconds, RETRY_AFTER_S_MAX) * 1000
    : null;
}
