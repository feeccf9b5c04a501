/**
 * Our client through the life of a pull request against `emulate`, which others wrote: a second
 * opinion beside the strict fake, as far as that one goes. It has no files of pull requests, no
 * heads that move, no `commits/:sha/pulls` and no limits.
 */
import { createEmulator, type Emulator } from "emulate";
import { afterAll, beforeAll, expect, it } from "vitest";

import { createGithubClient } from "../../src/github/client.ts";
import { findManifests } from "../../src/github/find-manifests.ts";
import { planMarker } from "../../src/github/markers.ts";
import type { GithubResult, GithubWriter } from "../../src/github/port.ts";
import { publishCheck } from "../../src/github/publish-check.ts";
import { upsertComment } from "../../src/github/upsert-comment.ts";

const TOKEN = "second-opinion";
const MANIFEST = "kind: Namespace\n";

let emulator: Emulator;
let client: GithubWriter;
let pull: { readonly number: number; readonly headSha: string };

beforeAll(async () => {
  const tokens = { [TOKEN]: { login: "acme", scopes: ["repo"] } };
  const seed = {
    tokens,
    github: { users: [{ login: "acme" }], repos: [{ owner: "acme", name: "data" }] },
  };
  emulator = await createEmulator({ service: "github", port: 0, seed });
  client = createGithubClient({
    repository: { owner: "acme", name: "data" },
    credentials: { kind: "token", token: TOKEN },
    apiUrl: emulator.url,
    writeSpacingMs: 0,
  });
  const main = await send("GET", "git/ref/heads/main");
  const { sha } = main["object"] as { readonly sha: string };
  await send("POST", "git/refs", { ref: "refs/heads/topic", sha });
  const content = Buffer.from(MANIFEST).toString("base64");
  await send("PUT", "contents/manifests/orders.yaml", {
    message: "Add orders",
    content,
    branch: "topic",
  });
  const opened = await send("POST", "pulls", { title: "Orders", head: "topic", base: "main" });
  pull = {
    number: opened["number"] as number,
    headSha: (opened["head"] as { readonly sha: string }).sha,
  };
});
afterAll(async () => {
  await emulator?.close();
});

async function send(
  method: string,
  path: string,
  body?: object,
): Promise<Readonly<Record<string, unknown>>> {
  const response = await fetch(`${emulator.url}/repos/acme/data/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      "content-type": "application/json",
      "user-agent": "test",
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text) as Readonly<Record<string, unknown>>;
}

function valueOf<Value>(result: GithubResult<Value>): Value {
  if (!result.ok) throw new Error(result.failure.message);
  return result.value;
}

it("goes from the first plan to the merge with one comment", async () => {
  expect(
    valueOf(await client.openPulls("main")).map(({ number, state }) => [number, state]),
  ).toEqual([[pull.number, "open"]]);
  const commit = valueOf(await client.commit(pull.headSha));
  const found = valueOf(
    await findManifests(client, commit, "manifests", { get: () => null, set: () => {} }),
  );
  expect(found).toMatchObject({ kind: "complete", files: [{ path: "manifests/orders.yaml" }] });
  const request = {
    pull: pull.number,
    marker: planMarker("production"),
    headSha: pull.headSha,
    createIfAbsent: true,
  };
  expect(
    valueOf(await upsertComment(client, { ...request, body: "1 to shard", onlyWhileOpen: true }))
      .kind,
  ).toBe("created");
  expect(
    valueOf(await upsertComment(client, { ...request, body: "2 to shard", onlyWhileOpen: true }))
      .kind,
  ).toBe("updated");
  expect(
    valueOf(await upsertComment(client, { ...request, body: "2 to shard", onlyWhileOpen: true }))
      .kind,
  ).toBe("unchanged");
  const check = {
    name: "shardctl (production)",
    headSha: pull.headSha,
    externalId: "production",
    conclusion: "success" as const,
    title: "Plan: 2 to shard.",
    summary: "2 to shard",
    text: "",
    annotations: [],
    detailsUrl: null,
  };
  expect(valueOf(await publishCheck(client, check)).kind).toBe("created");
  await send("PUT", `pulls/${pull.number}/merge`, {});
  expect(valueOf(await client.pull(pull.number))).toMatchObject({
    state: "merged",
    headSha: pull.headSha,
  });
  expect(
    valueOf(await upsertComment(client, { ...request, body: "late", onlyWhileOpen: true })).kind,
  ).toBe("closed");
  expect(valueOf(await upsertComment(client, { ...request, body: "Applied." })).kind).toBe(
    "updated",
  );
  expect(
    valueOf(await client.commentsWith(pull.number, request.marker)).map(({ body }) => body),
  ).toEqual([expect.stringContaining("Applied.")]);
});
