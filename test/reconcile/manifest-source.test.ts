/** Reading the merged manifests when whoever reads them may not survive it. */
import { describe, expect, it } from "vitest";

import type { GithubReader } from "../../src/github/port.ts";
import { NoAnswer, readSet, type SetReader } from "../../src/manifest/read-set.ts";
import { success } from "../../src/model/result.ts";
import { adoptManifests } from "../../src/reconcile/adopt-manifests.ts";
import {
  newEnvironmentState,
  type EnvironmentState,
} from "../../src/reconcile/environment-state.ts";
import { BlobStore, createManifestSource } from "../../src/reconcile/manifest-source.ts";
import { ReconcileDocuments } from "../../src/reconcile/state-store.ts";
import { openNodeSql } from "../support/node-sql.ts";
import { HOUR, MINUTE, ReconcilerFixture } from "./support/world.ts";

const SETTINGS = {
  environment: "production",
  manifests: "manifests",
  defaultBranch: "main",
  repository: { owner: "acme", name: "shop", id: 1, ownerId: 2 },
};
const MANIFEST = `apiVersion: shardctl.dev/v1
kind: Namespace
metadata:
  name: orders
spec:
  object: ORDERS
  strategy: hash
  shardKey: id
  count: 4
`;

type Death = "no answer" | "the Worker is killed" | null;

/** A Worker whose storage outlives it, over a branch that a test commits to. */
class Place {
  now = Date.UTC(2026, 2, 2);
  reads = 0;
  /** How a reading of these manifests ends. */
  death: Death = null;
  readonly #sql = openNodeSql();
  readonly #world = new ReconcilerFixture({ live: [], specs: [] });
  #kill: (nothing: null) => void = () => undefined;
  #commits = 0;
  #text = "";
  #env: EnvironmentState = newEnvironmentState("production");

  commit(text: string): void {
    this.#commits++;
    this.#text = text;
  }

  /** Something outside of the manifests. */
  commitElsewhere(): void {
    this.#commits++;
  }

  /** One tick's reading, in an isolate that may be new. */
  async tick(): Promise<EnvironmentState> {
    const documents = new ReconcileDocuments(this.#sql);
    const source = createManifestSource(
      this.#github(),
      { ...SETTINGS, floors: {} },
      {
        blobs: new BlobStore(this.#sql),
        documents,
        readSet: this.#reader(),
        now: () => this.now,
      },
    );
    const ports = { ...this.#world.ports(), manifests: source, now: () => this.now };
    const reading = adoptManifests(this.#env, ports);
    // Only a tick that comes to read the manifests dies of it.
    const killed = new Promise<null>((resolve) => (this.#kill = resolve));
    const env = await Promise.race([reading, killed]);
    if (env !== null) this.#env = { ...env, pass: { ...env.pass, number: env.pass.number + 1 } };
    return this.#env;
  }

  async ticks(times: number, everyMs = MINUTE): Promise<EnvironmentState> {
    for (let tick = 0; tick < times; tick++) {
      await this.tick();
      this.now += everyMs;
    }
    return this.#env;
  }

  #reader(): SetReader {
    return (request) => {
      this.reads++;
      if (this.death === "no answer") return Promise.reject(new NoAnswer("it died of it"));
      if (this.death === "the Worker is killed") {
        this.#kill(null);
        return new Promise(() => undefined);
      }
      return Promise.resolve(readSet(request));
    };
  }

  #github(): GithubReader {
    const text = new TextEncoder().encode(this.#text);
    const blobSha = text.reduce((sum, byte) => (sum * 31 + byte) % 1_000_003, 7);
    const file = { path: "manifests/orders.yaml", bytes: text.length, isLink: false };
    const sha = String(this.#commits).padStart(40, "0");
    return {
      branchHead: async () => success({ sha, treeSha: `t${sha}` }),
      files: async () => success([{ ...file, blobSha: String(blobSha) }]),
      file: async () => success(null),
      blob: async () => success(text),
    } as unknown as GithubReader;
  }
}

describe.each(["no answer", "the Worker is killed"] as const)(
  "merged manifests of which reading ends with: %s",
  (death) => {
    async function givenUp(): Promise<Place> {
      const place = new Place();
      place.commit(MANIFEST);
      await place.tick();
      place.commit(`${MANIFEST}# and more\n`);
      place.death = death;
      place.reads = 0;
      await place.ticks(180);
      return place;
    }

    it("are tried twice and then given up with a word, and the last state is followed", async () => {
      const place = await givenUp();
      expect(place.reads).toBe(2);
      expect(await place.tick()).toMatchObject({
        commit: "1".padStart(40, "0"),
        manifestsProblem: { kind: "givenUp" },
        drifts: [
          {
            kind: "manifests",
            state: "open",
            reason: "reading the manifests on the default branch was given up",
            remedy: expect.stringContaining("read again when others are merged"),
          },
        ],
      });
    });

    it("are not read again for commits elsewhere, but when other manifests are merged", async () => {
      const place = await givenUp();
      place.death = null;
      place.commitElsewhere();
      await place.ticks(5);
      expect(place.reads).toBe(2);
      place.commit(`${MANIFEST}# less\n`);
      const env = await place.ticks(2);
      expect(place.reads).toBe(3);
      expect(env).toMatchObject({ manifestsProblem: null, drifts: [] });
    });

    it("are tried once more after a day, in case it was no fault of theirs", async () => {
      const place = await givenUp();
      await place.ticks(3 * 24, HOUR);
      expect(place.reads).toBeLessThan(6);
      expect(place.reads).toBeGreaterThan(3);
      place.death = null;
      const env = await place.ticks(26, HOUR);
      expect(env).toMatchObject({ manifestsProblem: null, drifts: [] });
    });
  },
);

it("manifests that are read once in a while are not given up for one silence", async () => {
  const place = new Place();
  for (let commit = 0; commit < 5; commit++) {
    place.commit(`${MANIFEST}# ${commit}\n`);
    place.death = "no answer";
    await place.tick();
    place.death = null;
    const env = await place.ticks(3);
    expect(env).toMatchObject({ manifestsProblem: null, silence: null });
  }
});

describe("the contents of manifests that are kept", () => {
  it("are those of the last set, of as many files as there may be", () => {
    const sql = openNodeSql();
    const blobs = new BlobStore(sql);
    const shas = Array.from({ length: 50_001 }, (_, index) => index.toString(16).padStart(40, "0"));
    const bytes = new Uint8Array([1]);
    for (const sha of shas) blobs.set(sha, bytes);
    blobs.dropUnused();
    for (const sha of shas.slice(1)) blobs.get(sha);
    blobs.dropUnused();
    expect(blobs.get(shas[0] ?? "")).toBeNull();
    expect(blobs.get(shas[1] ?? "")).toEqual(bytes);
    blobs.dropUnused();
    expect(blobs.get(shas[2] ?? "")).toBeNull();
  });
});
