/** The one comment of a pull request, whatever people, other writers and the network do to it. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { headMarker, planMarker, readHead } from "../../src/github/markers.ts";
import { type CommentRequest, upsertComment } from "../../src/github/upsert-comment.ts";
import type { Pull } from "../support/github/index.ts";
import {
  closePlace,
  failureOf,
  firstOf,
  openPlace,
  PERMISSIONS,
  type Place,
  valueOf,
  withToken,
} from "./support.ts";

const MARKER = planMarker("production");
let place: Place;
let pull: Pull;

beforeEach(async () => {
  place = await openPlace();
  pull = place.github.openPull(place.repo, {
    head: "more",
    title: "More",
    files: { "manifests/orders.yaml": "x" },
  });
});

afterEach(() => closePlace(place));

function request(fields: Partial<CommentRequest> = {}): CommentRequest {
  return {
    pull: pull.number,
    marker: MARKER,
    headSha: pull.head.sha,
    body: "the plan",
    createIfAbsent: true,
    ...fields,
  };
}

const bodies = () => place.github.comments(pull).map(({ body }) => body);
const bodyOf = (text: string, headSha = pull.head.sha) =>
  `${MARKER}\n${headMarker(headSha)}\n\n${text}`;
const writes = () => place.github.journal.writes.filter(({ path }) => path !== "/graphql");

describe("the comment", () => {
  it("is made once, then changed in place, and left alone while it is right", async () => {
    const created = valueOf(await upsertComment(place.client, request()));
    expect(created).toEqual({ kind: "created" });
    expect(bodies()).toEqual([bodyOf("the plan")]);
    expect(valueOf(await upsertComment(place.client, request())).kind).toBe("unchanged");
    expect(writes()).toHaveLength(1);
    const updated = valueOf(await upsertComment(place.client, request({ body: "another" })));
    expect(updated).toEqual({ kind: "updated" });
    expect(bodies()).toEqual([bodyOf("another")]);
  });

  it("is not made for what is worth saying only in place of something else", async () => {
    expect(valueOf(await upsertComment(place.client, request({ createIfAbsent: false })))).toEqual({
      kind: "absent",
    });
    expect(bodies()).toEqual([]);
    valueOf(await upsertComment(place.client, request()));
    expect(
      valueOf(
        await upsertComment(place.client, request({ body: "no changes", createIfAbsent: false })),
      ).kind,
    ).toBe("updated");
    expect(bodies()).toEqual([bodyOf("no changes")]);
  });

  it("of another environment is another comment", async () => {
    valueOf(await upsertComment(place.client, request()));
    valueOf(await upsertComment(place.client, request({ marker: planMarker("staging") })));
    expect(bodies()).toHaveLength(2);
  });

  it("is made again when somebody deleted it, even just before its update", async () => {
    valueOf(await upsertComment(place.client, request()));
    place.github.deleteComment(firstOf(place.github.comments(pull)));
    expect(valueOf(await upsertComment(place.client, request())).kind).toBe("created");
    place.github.faults.before("PATCH", "/issues/comments/", () =>
      place.github.deleteComment(firstOf(place.github.comments(pull))),
    );
    expect(valueOf(await upsertComment(place.client, request({ body: "next" }))).kind).toBe(
      "created",
    );
    expect(bodies()).toEqual([bodyOf("next")]);
  });

  it("is ours by marker and author: others that quote, copy or forge it are left alone", async () => {
    const forged = [bodyOf("forged"), `> ${MARKER}\nquoted`, `${MARKER} and more`, ` ${MARKER}`];
    for (const body of forged) place.github.commentAs("mallory", pull, body);
    expect(valueOf(await upsertComment(place.client, request())).kind).toBe("created");
    expect(bodies()).toEqual([...forged, bodyOf("the plan")]);
  });

  it("found many times is reduced to the oldest", async () => {
    for (const text of ["one", "two", "three"])
      valueOf(await place.client.createComment(pull.number, bodyOf(text)));
    place.github.commentAs("octocat", pull, "a word in between");
    const done = valueOf(await upsertComment(place.client, request()));
    expect(done).toEqual({ kind: "updated" });
    expect(bodies()).toEqual([bodyOf("the plan"), "a word in between"]);
  });

  it("found behind 250 others is still the same one", async () => {
    for (let index = 0; index < 250; index++)
      place.github.commentAs("octocat", pull, `word ${index}`);
    valueOf(await upsertComment(place.client, request()));
    expect(valueOf(await upsertComment(place.client, request({ body: "next" }))).kind).toBe(
      "updated",
    );
    expect(bodies().filter((body) => body.startsWith(MARKER))).toEqual([bodyOf("next")]);
  });

  it("that was edited by hand is put right", async () => {
    valueOf(await upsertComment(place.client, request()));
    place.github.editCommentAs(
      "octocat",
      firstOf(place.github.comments(pull)),
      `${MARKER}\r\nnothing to see here`,
    );
    expect(valueOf(await upsertComment(place.client, request())).kind).toBe("updated");
    expect(bodies()).toEqual([bodyOf("the plan")]);
  });
});

describe("two writers", () => {
  it("that create at the same moment end with one comment", async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        upsertComment(place.clientWith(), request({ body: `plan ${index}` })),
      ),
    );
    expect(outcomes.filter((outcome) => !outcome.ok)).toEqual([]);
    valueOf(await upsertComment(place.client, request()));
    expect(bodies()).toEqual([bodyOf("the plan")]);
  });

  it("of two pushes within a second: the later head wins, whoever writes last", async () => {
    const first = pull.head.sha;
    const second = place.github.push(pull, { "manifests/orders.yaml": "y" });
    valueOf(await upsertComment(place.client, request({ headSha: second, body: "second" })));
    const late = valueOf(
      await upsertComment(place.client, request({ headSha: first, body: "first" })),
    );
    expect(late).toEqual({ kind: "superseded" });
    expect(bodies()).toEqual([bodyOf("second", second)]);
  });

  it("a push between plan and comment, forced or not, keeps the old plan out", async () => {
    const planned = pull.head.sha;
    place.github.push(pull, { "manifests/orders.yaml": "z" }, { isForced: true });
    expect(valueOf(await upsertComment(place.client, request({ headSha: planned })))).toEqual({
      kind: "superseded",
    });
    expect(writes()).toEqual([]);
  });

  it("a push while the comment is written is noticed", async () => {
    place.github.faults.before("POST", "/comments", () => {
      place.github.push(pull, { "manifests/orders.yaml": "y" });
    });
    const planned = pull.head.sha;
    const done = valueOf(await upsertComment(place.client, request()));
    expect(done).toEqual({ kind: "superseded" });
    expect(readHead(bodies()[0] ?? "")).toBe(planned);
  });
});

describe("trouble", () => {
  it("a body that GitHub would refuse is refused before anything is sent", async () => {
    const refused = failureOf(
      await upsertComment(place.client, request({ body: "x".repeat(100_000) })),
    );
    expect(refused).toMatchObject({
      kind: "invalid",
      message: expect.stringMatching(/100,\d{3} characters, and GitHub takes 65,535/) as string,
    });
    expect(place.github.journal.requests).toEqual([]);
  });

  it("a body of exactly the limit arrives", async () => {
    const room = 65_535 - bodyOf("").length;
    valueOf(await upsertComment(place.client, request({ body: "x".repeat(room) })));
    expect(bodies()[0]).toHaveLength(65_535);
    expect(
      failureOf(await upsertComment(place.client, request({ body: "x".repeat(room + 1) }))).kind,
    ).toBe("invalid");
  });

  it("an answer that is lost does not make a second comment", async () => {
    place.github.faults.failNext({ method: "POST", path: "/comments", status: "lostAnswer" });
    expect(valueOf(await upsertComment(place.client, request())).kind).toBe("created");
    expect(bodies()).toEqual([bodyOf("the plan")]);
    place.github.faults.failNext({ method: "PATCH", path: "/comments", status: "lostAnswer" });
    expect(valueOf(await upsertComment(place.client, request({ body: "next" }))).kind).toBe(
      "updated",
    );
    expect(bodies()).toEqual([bodyOf("next")]);
  });

  it("GitHub that refuses every write is given up", async () => {
    place.github.faults.failNext({ method: "POST", path: "/comments", status: 502, times: 4 });
    expect(failureOf(await upsertComment(place.client, request())).kind).toBe("unreachable");
    expect(writes()).toHaveLength(4);
  });

  it("GitHub that is down is told", async () => {
    place.github.faults.down = 503;
    expect(failureOf(await upsertComment(place.client, request())).kind).toBe("unreachable");
  });

  it("a token without the permission to write says which it needs", async () => {
    const token = place.github.createActionsToken(place.repo, {
      ...PERMISSIONS,
      pull_requests: "read",
      issues: "read",
    });
    const refused = failureOf(await upsertComment(place.clientWith(withToken(token)), request()));
    expect(refused).toMatchObject({
      kind: "forbidden",
      message: expect.stringContaining("`pull_requests: write`") as string,
    });
  });

  it("a pull request that is closed meanwhile still gets its comment", async () => {
    place.github.closePull(pull);
    expect(valueOf(await upsertComment(place.client, request())).kind).toBe("created");
  });
});

describe("markers", () => {
  it("cannot be ended by the name of an environment", () => {
    expect(planMarker("a--> <b>\n")).toBe("<!-- shardctl:plan:a-%2D%3E%20%3Cb%3E%0A -->");
    expect(planMarker("a---b")).not.toMatch(/--.*--.*-->/);
  });

  it("of a head are read from the second line only", () => {
    expect(readHead(bodyOf("x"))).toBe(pull.head.sha);
    expect(readHead(`${MARKER}\n\n${headMarker(pull.head.sha)}`)).toBeNull();
    expect(readHead("")).toBeNull();
  });
});
