/** The alert webhook: what is sent, what counts as told, and that its address is in no message. */
import { expect, it } from "vitest";

import { renderAlertChat } from "../../src/alerts/alert-chat.ts";
import { sendWebhook } from "../../src/alerts/send-webhook.ts";

const URL_WITH_SECRET = "https://hooks.slack.com/services/T000/B000/verysecretvalue";
const NOW = Date.UTC(2026, 10, 24);
const MESSAGE = renderAlertChat(
  { environment: "production", drifts: [], driftCount: 0, commit: null, cause: "clean" },
  null,
);

it("posts the message as JSON, and takes any 2xx for an answer", async () => {
  const sent: { readonly url: string; readonly init: RequestInit | undefined }[] = [];
  const send: typeof fetch = async (input, init) => {
    sent.push({ url: new Request(input).url, init });
    return new Response(null, { status: 204 });
  };
  expect(await sendWebhook(send, URL_WITH_SECRET, MESSAGE, NOW)).toEqual({ ok: true, value: null });
  expect(sent).toHaveLength(1);
  expect(sent[0]).toMatchObject({
    url: URL_WITH_SECRET,
    init: { method: "POST", redirect: "manual" },
  });
  expect(JSON.parse(sent[0]?.init?.body as string)).toEqual(MESSAGE);
});

it.each([
  {
    name: "an error of theirs",
    answer: new Response("oops", { status: 503 }),
    says: "answered 503",
    retryAt: null,
  },
  {
    name: "a limit",
    answer: new Response("", { status: 429, headers: { "retry-after": "120" } }),
    says: "429",
    retryAt: NOW + 120_000,
  },
  {
    name: "an endless limit",
    answer: new Response("", { status: 429, headers: { "retry-after": "9999999" } }),
    says: "429",
    retryAt: NOW + 3_600_000,
  },
  {
    name: "an address that is gone",
    answer: new Response("no_service", { status: 404 }),
    says: "check ALERT_WEBHOOK_URL",
    retryAt: null,
  },
  {
    name: "a redirect",
    answer: new Response(null, { status: 302, headers: { location: "https://elsewhere.example" } }),
    says: "answered 302",
    retryAt: null,
  },
])("$name is a failure that names no address", async ({ answer, says, retryAt }) => {
  const result = await sendWebhook(async () => answer, URL_WITH_SECRET, MESSAGE, NOW);
  if (result.ok) throw new Error("It should have failed");
  expect(result.failure.message).toContain(says);
  expect(result.failure.retryAt).toBe(retryAt);
  expect(JSON.stringify(result.failure)).not.toMatch(/secret|hooks/);
});

it("no answer is a failure, even when the error quotes the address", async () => {
  const send: typeof fetch = () =>
    Promise.reject(new TypeError(`fetch failed: ${URL_WITH_SECRET}`));
  const result = await sendWebhook(send, URL_WITH_SECRET, MESSAGE, NOW);
  expect(result).toMatchObject({ ok: false, failure: { retryAt: null } });
  expect(JSON.stringify(result)).not.toMatch(/secret|hooks/);
});
