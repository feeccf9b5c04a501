/** Options that have no meaning are refused with their name, before anything is sent. */
import { describe, expect, it } from "vitest";

import { requireQueryOptions } from "../../../src/shards/client/query-options.ts";
import {
  type QueryShards,
  mergeShardResults,
  requireAnswer,
} from "../../../src/shards/client/query-shards.ts";
import {
  type RebalanceOptions,
  type ShardOptions,
  type UnshardOptions,
  validateRebalanceOptions,
  validateShardOptions,
  validateUnshardOptions,
} from "../../../src/shards/host/shard-request.ts";
import { completeThing, type ThingInput } from "../../../src/shards/things/things.ts";

describe("options of queryShards", () => {
  const valid = { query: "SELECT id FROM t", aggregation: "merge" };

  it("may be all that there are", () => {
    const full: QueryShards = {
      query: "SELECT id FROM t WHERE n > ? AND a = ? AND b IS ?",
      params: [1.5, "text", null],
      aggregation: "merge",
      orderBy: "id",
      limit: 0,
      timeout: 1_000,
      continueOnError: true,
      unsafePerShard: false,
    };
    expect(() => requireQueryOptions(full)).not.toThrow();
  });

  it.each([
    [{ ...valid, aggregation: "summ" }, "aggregation must be one of concat, merge, sum"],
    [{ query: "SELECT 1" }, "aggregation must be one of"],
    [{ ...valid, query: "" }, "query must be the text"],
    [{ ...valid, limt: 3 }, "takes no 'limt'. Did you mean 'limit'?"],
    [{ ...valid, params: [true] }, "parameter 1 must be a text, a number or null, not boolean"],
    [
      { ...valid, params: [1, Number.NaN] },
      "parameter 2 must be a text, a number or null, not NaN",
    ],
    [{ ...valid, params: [undefined] }, "not undefined"],
    [{ ...valid, params: [10n] }, "not bigint"],
    [{ ...valid, params: "a" }, "params must be a list"],
    [{ ...valid, limit: -1 }, "limit must be an integer from 0, not -1"],
    [{ ...valid, limit: 1.5 }, "limit must be an integer from 0, not 1.5"],
    [{ ...valid, timeout: Number.NaN }, "timeout must be a number of milliseconds"],
    [{ ...valid, timeout: "5s" }, 'not "5s"'],
    [{ ...valid, timeout: 2 ** 31 }, "up to 2147483647"],
    [{ ...valid, orderBy: 1 }, "orderBy must be the name"],
    [{ ...valid, aggregation: "sum", orderBy: "id" }, 'orderBy is for aggregation "merge"'],
    [{ ...valid, aggregation: "sum", limit: 1 }, "limit is for rows"],
    [{ ...valid, continueOnError: "yes" }, "continueOnError must be true or false"],
    [{ ...valid, unsafePerShard: 1 }, "unsafePerShard must be true or false"],
    [null, "takes an object"],
  ])("are refused: %o", (request, message) => {
    expect(() => requireQueryOptions(request as QueryShards)).toThrow(message);
  });

  it("give no answer when every shard has failed", () => {
    const failed = { error: "out of reach", duration: 1 };
    const reply = { reply: { columns: [], rows: [] }, duration: 1 };
    expect(() => requireAnswer([failed, failed])).toThrow("No shard has answered");
    expect(() => requireAnswer([failed, reply])).not.toThrow();
    const request = {
      query: "SELECT id FROM t",
      aggregation: "count",
      continueOnError: true,
    } as const;
    expect(mergeShardResults(request, [failed, reply]).data).toBe(0);
  });
});

describe("options of the direct API", () => {
  const valid = { key: "id", count: 2 };

  it.each([
    [{ ...valid, mode: "bogus" }, "mode must be one of atomic, staged, eventual, resumable"],
    [{ ...valid, timeout: "5s" }, "timeout must be a number of milliseconds"],
    [{ ...valid, timeout: Number.NaN }, "timeout must be a number of milliseconds"],
    [{ ...valid, targetShard: ["a", "b"] }, "Did you mean 'targetShards'?"],
    [{ ...valid, targetShards: [1, 2] }, "targetShards must be a list of names"],
    [{ ...valid, targetShards: ["a", ""] }, "targetShards must be a list of names"],
    [{ ...valid, targetShards: "ab" }, "targetShards must be a list of names"],
    [{ ...valid, keyExtractor: "byRegion" }, "keyExtractor is for strategy 'custom'"],
    [{ ...valid, directory: "yes" }, "directory must be a boolean"],
    [{ ...valid, correlationId: 7 }, "correlationId must be a string"],
  ])("are refused by shard: %j", (options, message) => {
    expect(() => validateShardOptions(options as ShardOptions)).toThrow(message);
  });

  it.each([
    [{ maxSkew: Number.NaN }, "maxSkew must be a number from 1"],
    [{ maxSkew: 0.5 }, "maxSkew must be a number from 1"],
    [{ strategy: "fast" }, "strategy must be one of incremental, full"],
    [{ count: 4 }, "rebalanceShards takes no 'count'"],
    [{ timeout: -1 }, "timeout must be a number of milliseconds"],
  ])("are refused by rebalanceShards: %j", (options, message) => {
    expect(() => validateRebalanceOptions(options as RebalanceOptions)).toThrow(message);
  });

  it("are refused by unshard, which has one target", () => {
    const options = { target: "other" } as unknown as UnshardOptions;
    expect(() => validateUnshardOptions(options)).toThrow("unshard takes no 'target'");
  });
});

describe("a thing", () => {
  it.each([
    [{ id: "a", branch: "main" }, "put takes no 'branch'"],
    [{ id: "a", deleted: true }, "put takes no 'deleted'"],
    [{ id: "a", type: 5 }, "type must be a text, not number"],
    [{ id: "a", name: 5 }, "name must be a text or null, not number"],
    [{ id: "a", visibility: null }, "visibility must be a text"],
    [{ id: "a", createdAt: new Date(0) }, "createdAt must be whole milliseconds, not a Date: pass"],
    [{ id: "a", updatedAt: 1.5 }, "updatedAt must be whole milliseconds"],
    [{ id: "a", data: [1] }, "data must be an object"],
    [{ id: "a", data: "text" }, "data must be an object"],
    [{ id: 5 }, "A thing needs an id"],
  ])("is refused when it could not be stored as given: %j", (thing, message) => {
    expect(() => completeThing(thing as unknown as ThingInput, 1)).toThrow(message);
  });

  it("takes a field that is undefined for one that is absent", () => {
    const thing = { id: "a", type: undefined, createdAt: undefined } as unknown as ThingInput;
    expect(completeThing(thing, 7)).toMatchObject({ type: "", createdAt: 7 });
  });
});
