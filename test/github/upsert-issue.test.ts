/** The one issue of an alert: opened, edited, closed, opened again, never repeated. */
import { afterEach, beforeEach, expect, it } from "vitest";

import { alertMarker } from "../../src/github/markers.ts";
import { type IssueRequest, upsertIssue } from "../../src/github/upsert-issue.ts";
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

const MARKER = alertMarker("production");
let place: Place;

beforeEach(async () => {
  place = await openPlace();
});

afterEach(() => closePlace(place));

function request(fields: Partial<IssueRequest> = {}): IssueRequest {
  const title = "shardctl: production has drifted";
  return {
    marker: MARKER,
    title,
    body: "orders: 9 misplaced rows",
    fingerprint: null,
    labels: ["drift"],
    isOpen: true,
    closingComment: "All is well.",
    ...fields,
  };
}

const upsert = async (fields: Partial<IssueRequest> = {}) =>
  valueOf(await upsertIssue(place.client, request(fields))).kind;
const issues = () =>
  place.github.issues(place.repo).map(({ number, state, title }) => [number, state, title]);
const writes = () => place.github.journal.writes.filter(({ path }) => path !== "/graphql").length;

it("goes through its life as one issue", async () => {
  expect(await upsert({ isOpen: false })).toBe("absent");
  expect(await upsert()).toBe("created");
  const issue = firstOf(place.github.issues(place.repo));
  expect(issue).toMatchObject({
    state: "open",
    body: `${MARKER}\n\norders: 9 misplaced rows`,
    labels: ["drift"],
  });
  expect(await upsert()).toBe("unchanged");
  expect(writes()).toBe(1);
  expect(await upsert({ body: "orders: 12 misplaced rows" })).toBe("updated");
  expect(await upsert({ isOpen: false })).toBe("closed");
  expect(issue).toMatchObject({ state: "closed" });
  expect(place.github.comments(issue).map(({ body }) => body)).toEqual(["All is well."]);
  expect(await upsert({ isOpen: false })).toBe("unchanged");
  // The very same alert again.
  expect(await upsert({ body: "orders: 12 misplaced rows" })).toBe("reopened");
  expect(issues()).toHaveLength(1);
  expect(issue).toMatchObject({ state: "open", body: `${MARKER}\n\norders: 12 misplaced rows` });
});

it("that a person closed stays closed until there is news", async () => {
  await upsert();
  const number = place.github.issues(place.repo)[0]?.number ?? 0;
  valueOf(await place.client.updateIssue(number, { state: "closed" }));
  expect(await upsert()).toBe("unchanged");
  expect(await upsert({ body: "carts: unhealthy" })).toBe("reopened");
});

it("is ours by marker and author, whatever its title is", async () => {
  place.github.createIssueAs("mallory", place.repo, {
    title: request().title,
    body: `${MARKER}\n\nforged`,
  });
  place.github.createIssueAs("octocat", place.repo, { title: request().title, body: "by hand" });
  expect(await upsert()).toBe("created");
  const own = firstOf(place.github.issues(place.repo).toReversed());
  valueOf(await place.client.updateIssue(own.number, { title: "renamed by a person" }));
  expect(await upsert()).toBe("unchanged");
  expect(await upsert({ body: "carts: unhealthy" })).toBe("updated");
  expect(own.title).toBe("renamed by a person");
  expect(await upsert({ isOpen: false })).toBe("closed");
  expect(await upsert({ body: "carts: skew" })).toBe("reopened");
  expect(own.title).toBe("renamed by a person");
  expect(await upsert({ isOpen: false })).toBe("closed");
  expect(issues().map(([, state]) => state)).toEqual(["open", "open", "closed"]);
});

it("that was opened twice goes on as the older one", async () => {
  for (const body of ["one", "two"])
    valueOf(
      await place.client.createIssue({ title: "t", body: `${MARKER}\n\n${body}`, labels: [] }),
    );
  expect(await upsert()).toBe("updated");
  const older = firstOf(place.github.issues(place.repo));
  const newer = firstOf(place.github.issues(place.repo).slice(1));
  expect([older.state, newer.state]).toEqual(["open", "closed"]);
  expect(place.github.comments(newer).map(({ body }) => body)).toEqual([
    `This repeats #${older.number}, which continues.`,
  ]);
});

it("needs a permission, which is named", async () => {
  const { issues: _, ...permissions } = PERMISSIONS;
  const client = place.clientWith(
    withToken(place.github.createActionsToken(place.repo, permissions)),
  );
  expect(failureOf(await upsertIssue(client, request())).message).toMatch(/`issues: (read|write)`/);
});

it("that tells of the same drifts by other words stays as it is, until we have closed it", async () => {
  const fingerprint = "ab".repeat(32);
  expect(await upsert({ fingerprint })).toBe("created");
  expect(await upsert({ fingerprint, body: "orders: seen since yesterday" })).toBe("unchanged");
  expect(await upsert({ fingerprint: "cd".repeat(32) })).toBe("updated");
  expect(await upsert({ isOpen: false, fingerprint: null })).toBe("closed");
  expect(await upsert({ fingerprint: "cd".repeat(32) })).toBe("reopened");
});
