import { describe, expect, it } from "vitest";

import type { LiveAccess } from "../../src/live/port.ts";
import {
  assembleCoordinator,
  type CoordinatorParts,
} from "../../src/server/coordinator/coordinator-parts.ts";
import { createSettingsReader, type ReconcilerOptions } from "../../src/server/options.ts";
import type { Settings } from "../../src/server/settings.ts";
import { openNodeSql } from "../support/node-sql.ts";

function assemble(settings: Settings | null): CoordinatorParts {
  const storage = {
    sql: openNodeSql(),
    transactionSync: <Value>(write: () => Value): Value => write(),
  } as unknown as DurableObjectStorage;
  return assembleCoordinator({
    id: "0".repeat(64),
    storage,
    settings: () => settings,
    github: () => null,
    githubReader: () => null,
    live: () => ({}) as LiveAccess,
    readSet: () => Promise.reject(new Error("Nothing is read here")),
  });
}

function settingsOf(guards: NonNullable<ReconcilerOptions<object>["guards"]>): Settings {
  const read = createSettingsReader({ guards })({});
  if (!read.ok) throw new Error(read.failure);
  return read.value;
}

describe("the owner's guards", () => {
  it("are under every plan of the coordinator", () => {
    const { api } = assemble(settingsOf({ budget: { rows: 100 }, selfHeal: "alert" }));
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
