/**
 * Rows on a target that does not serve yet belong to an operation that may be given up, or to a
 * source that may still delete them: nothing of the user's may come to point at them before it
 * serves.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { interceptMessages } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
const NOTES = Array.from(
  { length: 60 },
  (_, index) => `INSERT INTO notes VALUES ('o${index}', 'r${index}')`,
);

describe(
  "writers 3: an object's own code writes to an undeclared table on a target, before it serves",
  { timeout: 60_000 },
  () => {
    it.each([
      { what: "a swap, once its rows are copied", shards: 0, at: "fence" },
      { what: "a shift, once its rows are promoted", shards: 2, at: "promote" },
    ])("of $what, and is refused where it points at one of them", async ({ shards, at }) => {
      const namespace = new TestNamespace<Cases>(CASES, `outside~promoted-${shards}`);
      for (const statement of NOTES) await namespace.sql(namespace.name, statement);
      if (shards > 0) await namespace.toHash("region", shards);
      const before = (await namespace.live()).layout.members;

      let target = "";
      let outcome = "";
      const pin = (): Promise<string> =>
        namespace.inside(target, (_, { storage: { sql } }) => {
          const [note] = sql.exec<{ id: string }>("SELECT id FROM notes LIMIT 1").toArray();
          if (!note) return "there are no notes";
          try {
            sql.exec("INSERT INTO pins VALUES (?, ?)", `p${outcome.length}`, note.id);
            return "stored";
          } catch (error) {
            return String(error);
          }
        });
      interceptMessages(namespace.name, async ({ member, request }, forward) => {
        if (request.kind === "receive" && !before.includes(member)) target = member;
        if (
          request.kind !== at ||
          target === "" ||
          outcome !== "" ||
          (at === "promote" && member !== target)
        )
          return forward();
        await forward();
        outcome = await pin();
        // Its answer is lost, and the attempt with it.
        throw new Error("lost");
      });
      await namespace.toHash("region", 3);
      expect(outcome).toContain("shardctl: ");
      expect((await namespace.contents("notes")).length).toBe(NOTES.length);
      expect(await namespace.sql(target, "PRAGMA foreign_key_check")).toEqual([]);
      // As a member it stores what it likes.
      expect(await pin()).toBe("stored");
    });
  },
);
