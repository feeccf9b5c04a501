/**
 * Webhooks: GitHub's real payloads are understood, forged, unsigned and endless ones are not even
 * parsed.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { sign } from "@octokit/webhooks-methods";
import { assert, asyncProperty, constantFrom, jsonValue } from "fast-check";
import { describe, expect, it } from "vitest";

import { readWebhook, WEBHOOK_BYTES_MAX } from "../../src/github/read-webhook.ts";
import { startFakeGitHub } from "../support/github/index.ts";

const SECRET = "It's a Secret to Everybody";
const REPOSITORY_ID = "186853002";
const options = { secret: SECRET, repositoryId: REPOSITORY_ID };
const repository = { id: Number(REPOSITORY_ID) };
const SHA = "c".repeat(40);

async function delivery(
  event: string,
  payload: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Request> {
  const body = typeof payload === "string" ? payload : JSON.stringify(payload);
  const signature = body === "" ? `sha256=${"0".repeat(64)}` : await sign(SECRET, body);
  return new Request("https://shards.example/github/webhook", {
    method: "POST",
    headers: {
      "x-github-event": event,
      "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
      "x-hub-signature-256": signature,
      ...headers,
    },
    body,
  });
}

async function eventOf(event: string, payload: unknown) {
  const read = await readWebhook(await delivery(event, payload), options);
  if (!read.ok) throw new Error(`${read.failure.kind}: ${read.failure.message}`);
  return read.value.event;
}

describe("an event", () => {
  it("of a pull request tells number and base", async () => {
    const payload = {
      action: "synchronize",
      number: 7,
      repository,
      pull_request: {
        head: { sha: SHA, repo: { id: 5 } },
        base: { ref: "main", repo: { id: 5 } },
        merged: false,
      },
    };
    expect(await eventOf("pull_request", payload)).toEqual({
      kind: "pullRequest",
      action: "synchronize",
      number: 7,
      baseRef: "main",
    });
  });

  it("of a push, a comment, a ping and what is nothing for us", async () => {
    expect(
      await eventOf("push", { ref: "refs/heads/main", after: SHA, deleted: false, repository }),
    ).toEqual({
      kind: "push",
      ref: "refs/heads/main",
      isDeleted: false,
    });
    const comment = {
      action: "created",
      issue: { number: 3, pull_request: {} },
      comment: { id: 9, body: null, user: null },
      repository,
    };
    expect(await eventOf("issue_comment", comment)).toEqual({
      kind: "comment",
      action: "created",
      pull: 3,
      author: "ghost",
      body: "",
      commentId: 9,
      isPull: true,
    });
    expect(await eventOf("ping", { zen: "Design for failure.", repository })).toEqual({
      kind: "ping",
    });
    expect(await eventOf("ping", { zen: "An App's ping has no repository." })).toEqual({
      kind: "ping",
    });
    expect(await eventOf("star", { repository })).toEqual({ kind: "other" });
  });

  it("of every kind in GitHub's own examples is read or refused, never thrown", async () => {
    const require = createRequire(import.meta.url);
    const examples = JSON.parse(
      await readFile(
        require.resolve("@octokit/webhooks-examples/api.github.com/index.json"),
        "utf8",
      ),
    ) as readonly {
      readonly name: string;
      readonly examples: readonly { readonly repository?: { readonly id: number } }[];
    }[];
    const kinds = new Map<string, Set<string>>();
    for (const { name, examples: payloads } of examples) {
      for (const payload of payloads) {
        const repositoryId = String(payload.repository?.id ?? 0);
        const read = await readWebhook(await delivery(name, payload), { ...options, repositoryId });
        const kind = read.ok ? read.value.event.kind : read.failure.kind;
        kinds.set(name, (kinds.get(name) ?? new Set()).add(kind));
      }
    }
    expect(kinds.get("pull_request")).toEqual(new Set(["pullRequest"]));
    expect(kinds.get("push")).toEqual(new Set(["push"]));
    expect(kinds.get("issue_comment")).toEqual(new Set(["comment"]));
    expect(kinds.get("ping")).toEqual(new Set(["ping"]));
    expect(new Set([...kinds.values()].flatMap((found) => [...found]))).not.toContain("invalid");
  });
});

describe("a delivery", () => {
  it.each<[string, () => Promise<Request>, string]>([
    [
      "without a signature",
      async () => withoutHeader(await delivery("ping", { repository }), "x-hub-signature-256"),
      "unsigned",
    ],
    [
      "signed with another secret",
      async () =>
        delivery(
          "ping",
          { repository },
          { "x-hub-signature-256": await sign("other", JSON.stringify({ repository })) },
        ),
      "unsigned",
    ],
    [
      "with a signature of another form",
      () => delivery("ping", { repository }, { "x-hub-signature-256": "sha256=short" }),
      "unsigned",
    ],
    [
      "with the old signature only",
      async () =>
        delivery(
          "ping",
          { repository },
          { "x-hub-signature-256": "sha1=757107ea0eb2509fc211221cce984b8a37570b6d" },
        ),
      "unsigned",
    ],
    [
      "whose body was changed",
      async () =>
        new Request(await delivery("ping", { repository }), {
          method: "POST",
          body: JSON.stringify({ repository, more: 1 }),
        }),
      "unsigned",
    ],
    ["without a body", () => delivery("ping", ""), "unsigned"],
    ["that is no JSON", () => delivery("push", "payload=%7B%7D"), "invalid"],
    ["that is a list", () => delivery("push", "[1]"), "invalid"],
    [
      "about another repository",
      () => delivery("push", { ref: "refs/heads/main", after: SHA, repository: { id: 1 } }),
      "otherRepository",
    ],
    [
      "about no repository",
      () => delivery("push", { ref: "refs/heads/main", after: SHA }),
      "otherRepository",
    ],
    [
      "with a head that is no sha",
      () => delivery("push", { ref: "refs/heads/main", after: "main; rm -rf /", repository }),
      "invalid",
    ],
    [
      "with a number that is none",
      () =>
        delivery("pull_request", { action: "opened", number: "7", repository, pull_request: {} }),
      "invalid",
    ],
  ])("%s is refused", async (_, make, kind) => {
    expect(await readWebhook(await make(), options)).toMatchObject({
      ok: false,
      failure: { kind },
    });
  });

  it("has the signature of GitHub's documentation", async () => {
    expect(await sign(SECRET, "Hello, World!")).toBe(
      "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );
    const request = await delivery("ping", "Hello, World!");
    expect(await readWebhook(request, options)).toMatchObject({
      ok: false,
      failure: { kind: "invalid" },
    });
  });

  it("of 30 MB is refused by what it says of its length, unread", async () => {
    const request = await delivery("push", "{}", { "content-length": "30000000" });
    expect(await readWebhook(request, options)).toMatchObject({
      ok: false,
      failure: { kind: "tooLarge" },
    });
    expect(request.bodyUsed).toBe(false);
  });

  it("of 30 MB that says nothing of its length is given up at the limit", async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 64 * 1024;
        if (sent > 30_000_000) controller.close();
        else controller.enqueue(new Uint8Array(64 * 1024).fill(32));
      },
    });
    const headers = {
      "x-github-event": "push",
      "x-github-delivery": "1",
      "x-hub-signature-256": `sha256=${"a".repeat(64)}`,
    };
    const request = new Request("https://shards.example/", {
      method: "POST",
      headers,
      body,
      duplex: "half",
    } as RequestInit);
    expect(await readWebhook(request, options)).toMatchObject({
      ok: false,
      failure: { kind: "tooLarge" },
    });
    expect(sent).toBeLessThan(WEBHOOK_BYTES_MAX + 1024 * 1024);
  });

  it("that is not UTF-8 is refused", async () => {
    const headers = {
      "x-github-event": "push",
      "x-github-delivery": "1",
      "x-hub-signature-256": `sha256=${"a".repeat(64)}`,
    };
    const request = new Request("https://shards.example/", {
      method: "POST",
      headers,
      body: new Uint8Array([0x7b, 0xff, 0x7d]),
    });
    expect(await readWebhook(request, options)).toMatchObject({
      ok: false,
      failure: { kind: "invalid" },
    });
  });

  it("may hold any JSON: it is read or refused", async () => {
    await assert(
      asyncProperty(
        constantFrom("push", "pull_request", "issue_comment", "ping"),
        jsonValue(),
        async (event, value) => {
          const payload =
            typeof value === "object" && value !== null && !Array.isArray(value)
              ? { ...value, repository }
              : value;
          const read = await readWebhook(await delivery(event, payload), options);
          expect(read.ok ? "read" : read.failure.kind).toMatch(
            /^(read|invalid|otherRepository|unsigned)$/,
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});

it("understands what the fake GitHub sends over HTTP, and knows a redelivery by its id", async () => {
  const read: Awaited<ReturnType<typeof readWebhook>>[] = [];
  await using github = await startFakeGitHub();
  const repo = github.createRepo({
    owner: "acme",
    name: "data",
    files: { "manifests/a.yaml": "a" },
  });
  const server = createServer((incoming, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
      const headers = Object.entries(incoming.headers).map(([name, value]): [string, string] => [
        name,
        String(value),
      ]);
      const request = new Request("https://shards.example/", {
        method: "POST",
        headers,
        body: Buffer.concat(chunks),
      });
      read.push(await readWebhook(request, { secret: SECRET, repositoryId: String(repo.id) }));
      response.end();
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    github.webhooks.deliverTo({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      secret: SECRET,
    });
    const pull = github.openPull(repo, {
      head: "more",
      title: "More",
      files: { "manifests/a.yaml": "b" },
    });
    github.commentAs("octocat", pull, "/shardctl apply");
    await github.webhooks.settled();
    const events = read.map((one) => (one.ok ? one.value.event.kind : one.failure.message));
    expect(new Set(events)).toEqual(
      new Set(
        ["ping", "push", "pullRequest", "comment"].filter((kind) => events.includes(kind as never)),
      ),
    );
    expect(events).toEqual(expect.arrayContaining(["push", "pullRequest", "comment"]));
    const last = await github.webhooks.last("issue_comment");
    await github.webhooks.redeliver(last.id);
    await github.webhooks.settled();
    const ids = read.flatMap((one) =>
      one.ok && one.value.event.kind === "comment" ? [one.value.deliveryId] : [],
    );
    expect([ids.length, new Set(ids).size]).toEqual([2, 1]);
  } finally {
    server.close();
  }
});

function withoutHeader(request: Request, name: string): Request {
  const headers = new Headers(request.headers);
  headers.delete(name);
  return new Request(request, { headers });
}
