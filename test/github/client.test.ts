/**
 * The client against the fake GitHub over HTTP: what it reads, what it costs, and what it says when
 * something is wrong.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createGithubClient, readOnly } from "../../src/github/client.ts";
import type { LoggedRequest } from "../../src/github/client.ts";
import { startFakeGitHub } from "../support/github/index.ts";
import {
  closePlace,
  failureOf,
  openPlace,
  ORDERS,
  PERMISSIONS,
  type Place,
  valueOf,
  withToken,
} from "./support.ts";

let place: Place;

beforeEach(async () => {
  place = await openPlace({
    "manifests/orders.yaml": ORDERS,
    "manifests/deep/carts.yml": "kind: Namespace\n#2\n",
    "README.md": "r",
  });
});

afterEach(() => closePlace(place));

describe("files", () => {
  it("are listed below a folder with the bytes that their hashes name", async () => {
    const head = valueOf(await place.client.branchHead("main"));
    const files = valueOf(await place.client.files(head, "manifests/"));
    expect(files.map(({ path, bytes, isLink }) => [path, bytes, isLink])).toEqual([
      ["manifests/deep/carts.yml", 19, false],
      ["manifests/orders.yaml", 16, false],
    ]);
    const blob = valueOf(await place.client.blob(files[1]?.blobSha ?? ""));
    expect(new TextDecoder().decode(blob)).toBe(ORDERS);
    expect(valueOf(await place.client.files(head, "."))).toHaveLength(3);
    expect(valueOf(await place.client.files(head, "nowhere/below"))).toEqual([]);
    expect(valueOf(await place.client.commit(head.sha))).toEqual(head);
    expect(valueOf(await place.client.file(head, "README.md"))).toMatchObject({
      path: "README.md",
      bytes: 1,
    });
    expect(valueOf(await place.client.file(head, "manifests"))).toBeNull();
    expect(valueOf(await place.client.file(head, "README.md/x"))).toBeNull();
  });

  it("of a folder that is a file are refused", async () => {
    const head = valueOf(await place.client.branchHead("main"));
    expect(failureOf(await place.client.files(head, "README.md"))).toMatchObject({
      kind: "invalid",
      message: expect.stringContaining("it is a file") as string,
    });
  });

  it("with bytes that are not those of the hash are refused", async () => {
    const blobSha = "a".repeat(40);
    place.github.faults.failNext({
      path: "/git/blobs/",
      status: 200,
      body: { content: btoa("other"), encoding: "base64" },
    });
    expect(failureOf(await place.client.blob(blobSha))).toMatchObject({
      kind: "unreachable",
      message: expect.stringContaining("have the hash") as string,
    });
  });

  it("of a tree that GitHub cuts off are refused with the way out", async () => {
    await using github = await startFakeGitHub({ treeEntriesMax: 2 });
    const files = Object.fromEntries(
      ["a", "b", "c"].map((name) => [`manifests/${name}.yaml`, name]),
    );
    const repo = github.createRepo({
      owner: "acme",
      name: "data",
      private: true,
      files: { ...files, "only/one.yaml": "1" },
    });
    const client = place.clientWith({
      apiUrl: github.url,
      ...withToken(github.createActionsToken(repo, PERMISSIONS)),
    });
    const head = valueOf(await client.branchHead("main"));
    expect(failureOf(await client.files(head, "manifests")).message).toMatch(
      /more files than GitHub lists.*folder of their own/,
    );
    // A folder that fits is not hurt by a repository that does not.
    expect(valueOf(await client.files(head, "only"))).toHaveLength(1);
  });
});

describe("what has not changed", () => {
  it("costs nothing: an unchanged branch head is a 304", async () => {
    const first = valueOf(await place.client.branchHead("main"));
    const before = place.client.rateBudget();
    expect(valueOf(await place.client.branchHead("main"))).toEqual(first);
    const asked = place.github.journal.find("GET", "/branches/main");
    expect(asked.map(({ status }) => status)).toEqual([200, 304]);
    expect(place.client.rateBudget()?.remaining).toBe(before?.remaining);
    const moved = place.github.commit(place.repo, { files: { "manifests/orders.yaml": "new" } });
    expect(valueOf(await place.client.branchHead("main")).sha).toBe(moved);
  });

  it("costs nothing for a client that is made anew with the same store", async () => {
    const kept = new Map<string, { etag: string; link: string | null; body: string }>();
    const etags = {
      get: (address: string) => kept.get(address) ?? null,
      set: (address: string, entry: { etag: string; link: string | null; body: string }) =>
        void kept.set(address, entry),
    };
    const first = valueOf(await place.clientWith({ etags }).branchHead("main"));
    expect(valueOf(await place.clientWith({ etags }).branchHead("main"))).toEqual(first);
    expect(place.github.journal.find("GET", "/branches/main").map(({ status }) => status)).toEqual([
      200, 304,
    ]);
  });

  it("is not shared between clients of two repositories", async () => {
    const other = place.github.createRepo({ owner: "acme", name: "other", private: true });
    const otherToken = place.github.createActionsToken(other, PERMISSIONS);
    const otherClient = place.clientWith({
      repository: { owner: "acme", name: "other" },
      ...withToken(otherToken),
    });
    const [mine, theirs] = await Promise.all([
      place.client.branchHead("main"),
      otherClient.branchHead("main"),
    ]);
    expect(valueOf(mine).sha).toBe(place.repo.refs.get("refs/heads/main"));
    expect(valueOf(theirs).sha).toBe(other.refs.get("refs/heads/main"));
    // Its token opens nothing else.
    expect(failureOf(await place.clientWith(withToken(otherToken)).branchHead("main")).kind).toBe(
      "notFound",
    );
  });
});

describe("pull requests", () => {
  it("tell their state, their head, and whether they come from a fork", async () => {
    const { github, repo, client } = place;
    const pull = github.openPull(repo, {
      head: "more",
      title: "More",
      files: { "manifests/orders.yaml": "x" },
    });
    const forked = github.openPull(repo, {
      head: "more",
      title: "Fork",
      fork: "mallory",
      files: { "README.md": "y" },
    });
    expect(
      valueOf(await client.openPulls("main")).map(({ number, isFork }) => [number, isFork]),
    ).toEqual([
      [pull.number, false],
      [forked.number, true],
    ]);
    expect(valueOf(await client.pull(pull.number))).toMatchObject({
      state: "open",
      headSha: pull.head.sha,
      baseRef: "main",
      author: "octocat",
      isFork: false,
    });
    expect(valueOf(await client.pullFiles(pull.number))).toEqual({
      paths: ["manifests/orders.yaml"],
      isComplete: true,
    });
    github.deleteRepo(forked.head.repo);
    expect(valueOf(await client.pull(forked.number)).isFork).toBe(true);
    github.closePull(forked);
    expect(valueOf(await client.pull(forked.number)).state).toBe("closed");
    const head = github.push(pull, { "manifests/orders.yaml": "z" });
    expect(valueOf(await client.pull(pull.number)).headSha).toBe(head);
    github.mergePull(pull);
    expect(valueOf(await client.pull(pull.number)).state).toBe("merged");
  });

  it("list every page", async () => {
    const { github, repo, client } = place;
    const files = Object.fromEntries(
      Array.from({ length: 230 }, (_, index) => [`manifests/n${index}.yaml`, "n"]),
    );
    const pull = github.openPull(repo, { head: "many", title: "Many", files });
    const { paths, isComplete } = valueOf(await client.pullFiles(pull.number));
    expect([new Set(paths).size, isComplete]).toEqual([230, true]);
  });

  it("people's permissions are asked of GitHub", async () => {
    place.github.addCollaborator(place.repo, "writer", "maintain");
    place.github.addCollaborator(place.repo, "reader", "read");
    place.github.createUser("mallory");
    const found = await Promise.all(
      ["writer", "reader", "mallory"].map((login) => place.client.permissionOf(login)),
    );
    expect(found.map((one) => valueOf(one))).toEqual(["write", "read", "none"]);
  });
});

describe("who writes", () => {
  it("is known for every credential", async () => {
    const { github, repo } = place;
    github.addCollaborator(repo, "robot", "write");
    const app = await github.createApp({ slug: "shardctl-acme", permissions: PERMISSIONS });
    github.installApp(app, "acme");
    const asApp = place.clientWith({
      credentials: { kind: "app", appId: app.id, privateKey: app.keys?.pkcs8 ?? "" },
    });
    const asUser = place.clientWith(
      withToken(github.createUserToken("robot", { permissions: PERMISSIONS })),
    );
    expect(valueOf(await place.client.login())).toBe("github-actions[bot]");
    expect(valueOf(await asUser.login())).toBe("robot");
    expect(valueOf(await asApp.login())).toBe("shardctl-acme[bot]");
  });
});

describe("an App", () => {
  it("gets one token for its repository only, and another when that one ends", async () => {
    const { github } = place;
    github.createRepo({ owner: "acme", name: "secret", private: true });
    const app = await github.createApp({ slug: "shardctl-acme", permissions: PERMISSIONS });
    github.installApp(app, "acme");
    let now = Date.now();
    const credentials = {
      kind: "app",
      appId: app.id,
      privateKey: (app.keys?.pkcs8 ?? "").replaceAll("\n", "\\n"),
    } as const;
    const client = place.clientWith({ credentials, now: () => now });
    valueOf(await client.branchHead("main"));
    valueOf(await client.branchHead("main"));
    const made = () => github.journal.find("POST", "/access_tokens");
    expect(made().map(({ body }) => JSON.parse(body) as unknown)).toEqual([
      { repositories: ["data"] },
    ]);
    now += 56 * 60 * 1000;
    valueOf(await client.branchHead("main"));
    expect(made()).toHaveLength(2);
  });

  it("asks again after its token was revoked", async () => {
    const { github } = place;
    const app = await github.createApp({ slug: "shardctl-acme", permissions: PERMISSIONS });
    github.installApp(app, "acme");
    const client = place.clientWith({
      credentials: { kind: "app", appId: app.id, privateKey: app.keys?.pkcs8 ?? "" },
    });
    valueOf(await client.branchHead("main"));
    github.faults.failNext({
      path: "/branches/",
      status: 401,
      body: { message: "Bad credentials" },
    });
    valueOf(await client.branchHead("main"));
    expect(github.journal.find("POST", "/access_tokens")).toHaveLength(2);
  });

  it.each([
    ["PKCS#1, as GitHub hands it out", "pkcs1", /PKCS#1.*openssl pkcs8 -topk8/],
    ["nonsense", "nonsense", /not a PKCS#8 PEM.*openssl/],
    ["a damaged key", "damaged", /cannot be read/],
  ])("refuses %s without sending anything", async (_, form, message) => {
    const app = await place.github.createApp({ slug: "shardctl-acme", permissions: PERMISSIONS });
    const keys = {
      pkcs1: app.keys?.pkcs1 ?? "",
      nonsense: "hunter2",
      damaged: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    };
    const privateKey = keys[form as keyof typeof keys];
    const client = place.clientWith({ credentials: { kind: "app", appId: app.id, privateKey } });
    const refused = failureOf(await client.branchHead("main"));
    expect(refused).toMatchObject({
      kind: "unauthenticated",
      message: expect.stringMatching(message) as string,
    });
    expect(refused.message).not.toContain(privateKey.slice(40, 80) || "never");
    expect(place.github.journal.requests).toEqual([]);
  });

  it("that is not installed says so", async () => {
    const app = await place.github.createApp({ slug: "shardctl-acme", permissions: PERMISSIONS });
    const client = place.clientWith({
      credentials: { kind: "app", appId: app.id, privateKey: app.keys?.pkcs8 ?? "" },
    });
    expect(failureOf(await client.branchHead("main")).kind).toBe("notFound");
  });
});

describe("when GitHub is in trouble", () => {
  it.each([502, 503, "reset"] as const)(
    "a read is tried four times and then says so (%s)",
    async (down) => {
      place.github.faults.down = down;
      const refused = failureOf(await place.client.branchHead("main"));
      expect(refused).toMatchObject({ kind: "unreachable", retryAt: null });
      expect(refused.message).toMatch(/^Could not read branch main of acme\/data: /);
      expect(place.github.journal.requests).toHaveLength(4);
    },
  );

  it("a read goes well at the second try", async () => {
    place.github.faults.failNext({ path: "/branches/", status: 502 });
    expect(valueOf(await place.client.branchHead("main")).sha).toBe(
      place.repo.refs.get("refs/heads/main"),
    );
  });

  it("a write is never sent twice", async () => {
    const pull = place.github.openPull(place.repo, { head: "more", title: "More" });
    for (const status of [502, "lostAnswer"] as const) {
      place.github.faults.failNext({ method: "POST", status });
      expect(failureOf(await place.client.createComment(pull.number, "hello")).kind).toBe(
        "unreachable",
      );
    }
    expect(place.github.journal.find("POST", "/comments")).toHaveLength(2);
    expect(place.github.comments(pull)).toHaveLength(1);
  });

  it("a server that hangs is given up, once", async () => {
    place.github.faults.failNext({ path: "/branches/", status: "hang" });
    const refused = failureOf(await place.clientWith({ timeoutMs: 100 }).branchHead("main"));
    expect(refused).toMatchObject({
      kind: "unreachable",
      message: expect.stringContaining("no whole answer within 0.1 seconds") as string,
    });
  });

  it("an answer that breaks off or never ends is no answer", async () => {
    const server = createServer((request, response) => {
      response.writeHead(200, {
        "content-type": "application/json",
        ...(request.url?.includes("short") ? { "content-length": "100" } : {}),
      });
      response.write('{"commit":');
      if (request.url?.includes("short")) response.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const client = place.clientWith({ apiUrl: `http://127.0.0.1:${port}`, timeoutMs: 200 });
      expect(failureOf(await client.branchHead("short")).kind).toBe("unreachable");
      expect(failureOf(await client.branchHead("endless")).kind).toBe("unreachable");
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it("another server's page is not taken for an answer", async () => {
    place.github.faults.failNext({
      path: "/branches/",
      status: 200,
      body: { hello: "from the proxy" },
    });
    expect(failureOf(await place.client.branchHead("main"))).toMatchObject({
      kind: "unreachable",
      message: expect.stringContaining("not what GitHub's API answers (commit") as string,
    });
  });
});

describe("rate limits", () => {
  it("of an hour are told, not waited for, and nothing more is asked", async () => {
    place.github.limits.exhaust(3_600_000);
    const refused = failureOf(await place.client.branchHead("main"));
    expect(refused.kind).toBe("rateLimited");
    expect(refused.message).toMatch(
      /accepts no more requests from shardctl until \d{4}-\d\d-\d\dT/,
    );
    expect((refused.retryAt ?? 0) - Date.now()).toBeGreaterThan(3_500_000);
    expect(failureOf(await place.client.pull(1)).kind).toBe("rateLimited");
    expect(place.github.journal.requests).toHaveLength(1);
    expect(place.sleeps).toEqual([]);
  });

  it("that end soon are waited for, a write too", async () => {
    const pull = place.github.openPull(place.repo, { head: "more", title: "More" });
    let now = 1_000_000;
    const sleeps: number[] = [];
    const sleep = async (durationMs: number) => {
      sleeps.push(durationMs);
      now += durationMs;
    };
    const client = place.clientWith({ now: () => now, sleep });
    place.github.faults.failNext({
      method: "POST",
      status: 403,
      headers: { "retry-after": "7" },
      body: { message: "You have exceeded a secondary rate limit." },
    });
    valueOf(await client.createComment(pull.number, "hello"));
    expect(sleeps).toEqual([7000]);
    expect(place.github.comments(pull)).toHaveLength(1);
  });

  it("that come again and again end in an answer", async () => {
    let now = 1_000_000;
    const client = place.clientWith({
      now: () => now,
      sleep: async (durationMs) => void (now += durationMs),
    });
    place.github.faults.failNext({
      path: "/branches/",
      status: 429,
      headers: { "retry-after": "8" },
      times: 4,
    });
    expect(failureOf(await client.branchHead("main"))).toMatchObject({
      kind: "rateLimited",
      retryAt: now + 8000,
    });
    expect(place.github.journal.requests.length).toBeLessThanOrEqual(4);
  });

  it("without a time are taken for a minute", async () => {
    place.github.faults.failNext({
      path: "/branches/",
      status: 403,
      body: { message: "You have exceeded a secondary rate limit." },
    });
    const client = place.clientWith({ now: () => 5000 });
    expect(failureOf(await client.branchHead("main"))).toMatchObject({
      kind: "rateLimited",
      retryAt: 65_000,
    });
  });

  it("are kept away from by a pause between writes, one after the other", async () => {
    const pull = place.github.openPull(place.repo, { head: "more", title: "More" });
    let now = 0;
    const sleeps: number[] = [];
    const sleep = async (durationMs: number) => {
      sleeps.push(durationMs);
      now += durationMs;
    };
    const client = place.clientWith({ now: () => now, sleep, writeSpacingMs: 1000 });
    await Promise.all(["a", "b", "c"].map((body) => client.createComment(pull.number, body)));
    expect(sleeps).toEqual([1000, 1000]);
    expect(place.github.comments(pull).map(({ body }) => body)).toEqual(["a", "b", "c"]);
  });
});

describe("a missing permission", () => {
  it.each([
    ["contents", "branchHead", "`contents: read`"],
    ["pull_requests", "openPulls", "`pull_requests: read`"],
  ] as const)("%s is named", async (missing, call, named) => {
    const { [missing]: _, ...permissions } = PERMISSIONS;
    const client = place.clientWith(
      withToken(place.github.createActionsToken(place.repo, permissions)),
    );
    const refused = failureOf(await client[call]("main"));
    expect(refused.kind).toBe("forbidden");
    expect(refused.message).toContain(named);
  });

  it("to write is named, as GitHub says it", async () => {
    const pull = place.github.openPull(place.repo, { head: "more", title: "More" });
    const reading = {
      contents: "read",
      pull_requests: "read",
      issues: "read",
      checks: "read",
    } as const;
    const client = place.clientWith(
      withToken(place.github.createActionsToken(place.repo, reading)),
    );
    expect(failureOf(await client.createComment(pull.number, "hi")).message).toMatch(
      /`pull_requests: write`/,
    );
    expect(
      failureOf(await client.createIssue({ title: "t", body: "b", labels: [] })).message,
    ).toContain("`issues: write`");
  });

  it("never shows the credential", async () => {
    const lines: LoggedRequest[] = [];
    const secret = "ghs_veryverysecret0000000000000000000000";
    const client = place.clientWith({
      credentials: { kind: "token", token: secret },
      log: (line) => lines.push(line),
    });
    const refused = failureOf(await client.branchHead("main"));
    expect(refused).toMatchObject({
      kind: "unauthenticated",
      message: expect.stringContaining("give a new one") as string,
    });
    const echoed = place.clientWith({
      credentials: { kind: "token", token: secret },
      fetch: () => Promise.reject(new TypeError(`bad header: token ${secret}`)),
    });
    expect(failureOf(await echoed.branchHead("main")).message).toContain("[hidden]");
    expect(JSON.stringify([refused, lines, await echoed.branchHead("main")])).not.toContain(
      "verysecret",
    );
    expect(lines).toMatchObject([
      { method: "GET", path: "/repos/acme/data/branches/main", status: 401 },
    ]);
  });
});

describe("a read-only client", () => {
  it("has no way to write, and reads the same", async () => {
    const reader = readOnly(place.client);
    const writes = Object.keys(place.client)
      .filter((name) => !(name in reader))
      .toSorted();
    expect(writes).toEqual([
      "commentOnIssue",
      "createCheck",
      "createComment",
      "createIssue",
      "deleteComment",
      "reactTo",
      "updateCheck",
      "updateComment",
      "updateIssue",
    ]);
    expect(valueOf(await reader.branchHead("main"))).toEqual(
      valueOf(await place.client.branchHead("main")),
    );
    expect(place.github.journal.writes).toEqual([]);
  });
});

it("speaks to GitHub's own API unless it is told otherwise", async () => {
  const asked: string[] = [];
  const send: typeof fetch = async (input) => {
    asked.push(input as string);
    return Response.json({ message: "Not Found" }, { status: 404 });
  };
  const client = createGithubClient({
    repository: { owner: "acme", name: "data" },
    credentials: { kind: "token", token: "x" },
    fetch: send,
  });
  expect(failureOf(await client.branchHead("a/b")).kind).toBe("notFound");
  expect(asked).toEqual(["https://api.github.com/repos/acme/data/branches/a%2Fb"]);
});

it("asks GitHub Enterprise Server's GraphQL beside its REST API", async () => {
  const asked: string[] = [];
  const send: typeof fetch = async (input) => {
    asked.push(input as string);
    if (asked.length === 1)
      return Response.json({ message: "Resource not accessible by integration" }, { status: 403 });
    return Response.json({ data: { viewer: { login: "github-actions[bot]" } } });
  };
  const client = place.clientWith({ apiUrl: "https://git.example/api/v3", fetch: send });
  expect(valueOf(await client.login())).toBe("github-actions[bot]");
  expect(asked).toEqual(["https://git.example/api/v3/user", "https://git.example/api/graphql"]);
});
