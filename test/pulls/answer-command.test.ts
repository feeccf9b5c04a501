/** Commands in pull requests of a Worker that leaves applying to the workflow. */
import { describe, expect, it } from "vitest";

import { answerCommand, answerMarker } from "../../src/pulls/answer-command.ts";
import type { PullParts } from "../../src/pulls/pull-parts.ts";
import { MemoryGithub } from "../support/memory-github.ts";

const FINGERPRINT = "f".repeat(64);

/** A command after the merge; the coordinator has nothing that could start a run. */
async function command(login: string): Promise<{ answer: string; released: unknown[] }> {
  const github = new MemoryGithub();
  github.permissions.set("ada", "write");
  github.openPull(7, { files: {} });
  github.mergePull(7);
  const released: unknown[] = [];
  const parts = {
    github,
    settings: { environment: "production", defaultBranch: "main", applies: "workflow" },
    coordinator: {
      plans: { environmentOf: () => "production" },
      reviews: {
        release: (place: object, release: object) => {
          released.push(release);
          return { ...place, release };
        },
      },
    },
    now: () => 0,
  } as unknown as PullParts;
  const { id } = github.addComment(7, login, `/shardctl apply ${FINGERPRINT}`);
  await answerCommand(parts, {
    pull: 7,
    commentId: id,
    login,
    fingerprint: FINGERPRINT,
    overrides: [],
    message: null,
  });
  const answer = github.comments.find(({ body }) => body.startsWith(answerMarker(id)));
  return { answer: answer?.body ?? "", released };
}

describe("a command where the workflow applies", () => {
  it("releases the plan, and leaves its start to the apply job and its environment", async () => {
    const { answer, released } = await command("ada");
    expect(released).toMatchObject([{ releasedBy: "ada" }]);
    expect(answer).toContain("The workflow's apply job starts it");
  });

  it("of a stranger does nothing at all", async () => {
    expect(await command("mallory")).toEqual({ answer: "", released: [] });
  });
});
