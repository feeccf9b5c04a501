/** Webhooks: signed as GitHub signs, and with the fields of GitHub's own examples. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { sign, verify } from "@octokit/webhooks-methods";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { startFakeGitHub, type FakeGitHub, type Repository } from "./index.ts";

const SECRET = "It's a Secret to Everybody";

interface Received {
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

let github: FakeGitHub;
let repo: Repository;
let received: Received[];
let stopReceiver: () => Promise<unknown>;

beforeEach(async () => {
  received = [];
  const receiver = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      received.push({ headers: request.headers, body });
      response.writeHead(202).end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  stopReceiver = () => new Promise((resolve) => receiver.close(resolve));
  github = await startFakeGitHub();
  github.webhooks.deliverTo({
    url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/github/webhook`,
    secret: SECRET,
  });
  repo = github.createRepo({ owner: "acme", name: "data", private: true });
});

afterEach(async () => {
  await github.stop();
  await stopReceiver();
});

describe("deliveries", () => {
  it("are signed as GitHub signs", async () => {
    expect(await sign(SECRET, "Hello, World!")).toBe(
      "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );
    github.openPull(repo, { head: "change", title: "Ünïcode" });
    await github.webhooks.settled();
    expect(received.length).toBeGreaterThan(1);
    for (const { headers, body } of received) {
      expect(await verify(SECRET, body, String(headers["x-hub-signature-256"]))).toBe(true);
      expect(await verify("another", body, String(headers["x-hub-signature-256"]))).toBe(false);
      expect(headers["x-github-delivery"]).toMatch(/^[\da-f-]{36}$/);
    }
  });
});

interface Example {
  readonly name: string;
  readonly examples: readonly Readonly<Record<string, unknown>>[];
}

// The repositories inside pull requests also show settings, to those who may administer them.
const SETTINGS = /\.repo\.(allow_|delete_branch|use_squash|squash_|merge_commit_)/;

/** Paths of the fields of a value, without the contents of lists. */
function fieldsOf(value: unknown, prefix = ""): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [prefix];
  return Object.entries(value).flatMap(([name, inner]) =>
    fieldsOf(inner, prefix === "" ? name : `${prefix}.${name}`),
  );
}

describe("payloads have the fields of GitHub's examples", () => {
  const all = createRequire(import.meta.url)("@octokit/webhooks-examples") as readonly Example[];
  const exampleOf = (event: string, action: string | null) => {
    const examples = all.find((one) => one.name === event)?.examples ?? [];
    const found = examples.find((one) =>
      action === null ? String(one["ref"]).startsWith("refs/heads/") : one["action"] === action,
    );
    if (!found) throw new Error(`No example of ${event} ${action}`);
    return found;
  };

  it.each([
    ["pull_request", "opened"],
    ["pull_request", "synchronize"],
    ["pull_request", "closed"],
    ["issue_comment", "created"],
    ["push", null],
  ] as const)("%s %s", async (event, action) => {
    const app = await github.createApp({ slug: "shardctl", permissions: {} });
    github.webhooks.installation = github.installApp(app, "acme");
    const pull = github.openPull(repo, { head: "change", title: "Change" });
    github.push(pull, { "a.yaml": "a" });
    github.commentAs("octocat", pull, "hello");
    github.closePull(pull);
    const { body } = await github.webhooks.last(event, action ?? undefined);
    const ours = new Set(fieldsOf(JSON.parse(body)));
    const hasField = (field: string) =>
      [...ours].some(
        (own) => own === field || own.startsWith(`${field}.`) || field.startsWith(`${own}.`),
      );
    const missing = fieldsOf(exampleOf(event, action)).filter(
      (field) => !hasField(field) && !SETTINGS.test(field),
    );
    expect(missing).toEqual([]);
  });
});
