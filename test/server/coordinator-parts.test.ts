import { describe, expect, it } from "vitest";

import type { GithubReader, GithubWriter } from "../../src/github/port.ts";
import type { LiveAccess } from "../../src/live/port.ts";
import { buildPlan } from "../../src/planning/build-plan.ts";
import { newEnvironmentState } from "../../src/reconcile/environment-state.ts";
import { encodeJson } from "../../src/runs/store.ts";
import {
  assembleCoordinator,
  type CoordinatorParts,
} from "../../src/server/coordinator/coordinator-parts.ts";
import { createSettingsReader, type ReconcilerOptions } from "../../src/server/options.ts";
import type { Settings } from "../../src/server/settings.ts";
import { openNodeSql } from "../support/node-sql.ts";
import { desired, hashOf, liveState, spec, world } from "../support/state.ts";

function assemble(settings: Settings | null, sql = openNodeSql()): CoordinatorParts {
  const storage = {
    sql,
    transactionSync: <Value>(write: () => Value): Value => write(),
  } as unknown as DurableObjectStorage;
  return assembleCoordinator({
    id: "0".repeat(64),
    storage,
    settings: () => settings,
    github: () => (settings?.github ? ({} as GithubWriter) : null),
    githubReader: () => (settings?.github ? ({} as GithubReader) : null),
    liveAccess: () => ({}) as LiveAccess,
    readSet: () => Promise.reject(new Error("Nothing is read here")),
  });
}

const FOLLOWING: Partial<ReconcilerOptions<object>> = {
  github: () => ({
    repository: "acme/shop",
    repositoryId: 42,
    ownerId: 7,
    environment: "production",
  }),
};

function settingsOf(options: Partial<ReconcilerOptions<object>>): Settings {
  const read = createSettingsReader(options)({});
  if (!read.ok) throw new Error(read.failure);
  return read.value;
}

describe("the owner's guards", () => {
  it("are under every plan of the coordinator", () => {
    const { api } = assemble(settingsOf({ guards: { budget: { rows: 100 }, selfHeal: "alert" } }));
    expect(api.plans.policies("production")).toEqual({
      applied: [],
      floors: { budgetRows: 100, selfHeal: "alert" },
    });
  });

  it("let nothing start in a Worker that is set up wrongly", () => {
    expect(assemble(null).api.plans.policies("production")).toMatchObject({
      floors: { suspend: true },
    });
  });
});

describe("the specs that guards judge a plan by", () => {
  /** Documents of environments that are read for a plan of so many changes. */
  async function documentsRead(count: number): Promise<number> {
    const inner = openNodeSql();
    let reads = 0;
    const sql = {
      exec(query: string, ...bindings: SqlStorageValue[]) {
        if (
          query.startsWith("SELECT body FROM reconcileDocuments") &&
          bindings[0] === "environment"
        )
          reads++;
        return inner.exec(query, ...bindings);
      },
    } as unknown as SqlStorage;
    const { api } = assemble(settingsOf(FOLLOWING), sql);
    const state = newEnvironmentState("production");
    sql.exec(
      "INSERT INTO reconcileDocuments VALUES ('environment', 'production', ?)",
      JSON.stringify(state),
    );
    const names = Array.from({ length: count }, (_, index) => `n${index}`);
    const wanted = desired(...names.map((name) => spec(name, { count: 12 })));
    const live = liveState(
      wanted,
      names.map((name) => world(name, { layout: hashOf(name, 8) })),
    );
    const plan = await buildPlan({ desired: wanted, live });
    expect(plan.changes).toHaveLength(count);
    const { fingerprint, environment } = plan;
    const bodies = { body: encodeJson(plan), desired: encodeJson(wanted) };
    api.plans.put({ fingerprint, environment, ...bodies }, [], "ada");
    reads = 0;
    expect(api.plans.readGuardedBody(fingerprint)).not.toBeNull();
    return reads;
  }

  it("are put together without a document of the environment for each of its changes", async () => {
    expect(await documentsRead(40)).toBe(await documentsRead(4));
  });
});
