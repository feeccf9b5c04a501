/**
 * Check runs: one for a plan, all of its annotations once, and no stop where none may be written.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Annotation, Check } from "../../src/github/port.ts";
import { publishCheck } from "../../src/github/publish-check.ts";
import type { Pull } from "../support/github/index.ts";
import {
  closePlace,
  failureOf,
  openPlace,
  PERMISSIONS,
  type Place,
  valueOf,
  withToken,
} from "./support.ts";

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

function annotations(count: number, fields: Partial<Annotation> = {}): Annotation[] {
  return Array.from({ length: count }, (_, index) => ({
    path: "manifests/orders.yaml",
    line: index + 1,
    column: 3,
    level: "failure",
    title: "Manifest error",
    message: `Problem ${index}`,
    ...fields,
  }));
}

function check(fields: Partial<Check> = {}): Check {
  return {
    name: "shardctl / production",
    headSha: pull.head.sha,
    externalId: "production:abc",
    conclusion: "success",
    title: "1 to shard",
    summary: "the plan",
    text: "",
    annotations: [],
    detailsUrl: "https://ci.example/run/1",
    ...fields,
  };
}

const runs = () => place.github.checkRuns(place.repo, pull.head.sha);
const checkWrites = () =>
  place.github.journal.writes.filter(({ path }) => path.includes("/check-runs"));

describe("a check run", () => {
  it("is made once, then updated, and left alone while it is right", async () => {
    expect(valueOf(await publishCheck(place.client, check({ conclusion: null }))).kind).toBe(
      "created",
    );
    expect(runs()).toMatchObject([{ status: "in_progress", conclusion: null }]);
    expect(valueOf(await publishCheck(place.client, check())).kind).toBe("updated");
    expect(runs()).toMatchObject([
      {
        status: "completed",
        conclusion: "success",
        title: "1 to shard",
        detailsUrl: "https://ci.example/run/1",
        externalId: "production:abc",
      },
    ]);
    expect(valueOf(await publishCheck(place.client, check())).kind).toBe("unchanged");
    expect(checkWrites()).toHaveLength(2);
  });

  it("of another plan on the same commit is another run", async () => {
    valueOf(await publishCheck(place.client, check()));
    valueOf(await publishCheck(place.client, check({ externalId: "production:def" })));
    expect(runs().map(({ externalId }) => externalId)).toEqual([
      "production:abc",
      "production:def",
    ]);
  });

  it("with 70 annotations has all 70, each once, on line and column", async () => {
    const wanted = check({ conclusion: "failure", annotations: annotations(70) });
    expect(valueOf(await publishCheck(place.client, wanted)).kind).toBe("created");
    expect(runs()[0]?.annotations).toHaveLength(70);
    expect(runs()[0]?.annotations[69]).toMatchObject({
      start_line: 70,
      end_line: 70,
      start_column: 3,
      end_column: 3,
      annotation_level: "failure",
      message: "Problem 69",
    });
    expect(valueOf(await publishCheck(place.client, wanted)).kind).toBe("unchanged");
    const more = check({ conclusion: "failure", annotations: annotations(75) });
    expect(valueOf(await publishCheck(place.client, more)).kind).toBe("updated");
    expect(new Set(runs()[0]?.annotations.map(({ message }) => message)).size).toBe(75);
    expect(runs()[0]?.annotations).toHaveLength(75);
  });

  it("that broke off after 50 annotations is completed, not repeated", async () => {
    const wanted = check({ annotations: annotations(70) });
    place.github.faults.failNext({ method: "PATCH", path: "/check-runs/", status: 502 });
    expect(failureOf(await publishCheck(place.client, wanted)).kind).toBe("unreachable");
    expect(runs()[0]?.annotations).toHaveLength(50);
    expect(valueOf(await publishCheck(place.client, wanted)).kind).toBe("updated");
    expect(runs()).toHaveLength(1);
    expect(runs()[0]?.annotations).toHaveLength(70);
  });

  it("whose annotations are no longer true is replaced", async () => {
    valueOf(await publishCheck(place.client, check({ annotations: annotations(2) })));
    expect(
      valueOf(await publishCheck(place.client, check({ annotations: annotations(1) }))).kind,
    ).toBe("created");
    expect(runs().map(({ annotations: shown }) => shown.length)).toEqual([2, 1]);
    expect(
      valueOf(await publishCheck(place.client, check({ annotations: annotations(1) }))).kind,
    ).toBe("unchanged");
  });

  it("with 2,000 annotations shows the 500 worst and says so", async () => {
    const notices = annotations(1990, { level: "notice" });
    const worst = annotations(10, { path: "manifests/z.yaml" });
    valueOf(await publishCheck(place.client, check({ annotations: [...notices, ...worst] })));
    const [run] = runs();
    expect(run?.annotations).toHaveLength(500);
    expect(
      run?.annotations.slice(0, 10).every(({ annotation_level: level }) => level === "failure"),
    ).toBe(true);
    expect(run?.summary).toMatch(
      /^The 500 most severe annotations are shown, 1,500 more are left out\.\n\nthe plan$/,
    );
  });

  it("with a title of 300 characters on an annotation is cut to what GitHub takes", async () => {
    valueOf(
      await publishCheck(
        place.client,
        check({ annotations: annotations(1, { title: "t".repeat(300), column: null }) }),
      ),
    );
    expect(runs()[0]?.annotations[0]).toMatchObject({ title: "t".repeat(255), start_column: null });
  });

  it.each(["summary", "text"] as const)(
    "with a %s that is too long is refused before anything is sent",
    async (part) => {
      const refused = failureOf(
        await publishCheck(place.client, check({ [part]: "x".repeat(70_000) })),
      );
      expect(refused).toMatchObject({
        kind: "invalid",
        message: expect.stringContaining(`the ${part} has 70,000 characters`) as string,
      });
      expect(checkWrites()).toEqual([]);
    },
  );
});

describe("a credential that cannot write check runs", () => {
  it("of a person says so, and is no failure", async () => {
    place.github.addCollaborator(place.repo, "robot", "write");
    const client = place.clientWith(withToken(place.github.createUserToken("robot")));
    expect(valueOf(await publishCheck(client, check()))).toMatchObject({
      kind: "notAllowed",
      message: expect.stringContaining("GitHub App") as string,
    });
  });

  it("of a workflow without the permission names it", async () => {
    const { checks: _, ...permissions } = PERMISSIONS;
    const client = place.clientWith(
      withToken(place.github.createActionsToken(place.repo, permissions)),
    );
    expect(valueOf(await publishCheck(client, check()))).toMatchObject({
      kind: "notAllowed",
      message: expect.stringMatching(/`checks: (read|write)`/) as string,
    });
  });

  it("leaves the runs of other Apps alone", async () => {
    valueOf(await publishCheck(place.client, check()));
    const app = await place.github.createApp({ slug: "shardctl-acme", permissions: PERMISSIONS });
    place.github.installApp(app, "acme");
    const client = place.clientWith({
      credentials: { kind: "app", appId: app.id, privateKey: app.keys?.pkcs8 ?? "" },
    });
    expect(valueOf(await publishCheck(client, check({ summary: "mine" }))).kind).toBe("created");
    expect(runs().map(({ summary }) => summary)).toEqual(["the plan", "mine"]);
  });
});
