/**
 * An object that does not know the binding of its own class: nothing starts that could never end.
 */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";

import { freshHashLayout } from "../../../src/model/strategies/hash.ts";
import { shardNames } from "../../../src/model/layout/layout.ts";
import { DEFAULT_OPERATION_POLICY } from "../../../src/model/operation.ts";
import { TestNamespace } from "../support/namespace.ts";
import type { Lonely, ShardsEnv } from "../../support/shards-worker.ts";

it("an operation is refused with the way out, and nothing is journaled", async () => {
  const lonely = new TestNamespace<Lonely>((env as unknown as ShardsEnv).LONELY, "lonely-start");
  await lonely.stub().put({ id: "a" });
  const start = lonely.ask({
    kind: "start",
    operation: {
      kind: "shard",
      epoch: 0,
      to: freshHashLayout("id", 0, shardNames("lonely-start", 0, 2)),
      policy: DEFAULT_OPERATION_POLICY,
      correlationId: "lonely",
      requestedBy: "test",
      refuseEmpty: false,
    },
  });
  await expect(start).rejects.toThrow(/^DO namespace not configured: .*namespace: env\.<BINDING>/);
  expect(await lonely.ask({ kind: "history", limit: 10 })).toEqual([]);
  expect(await lonely.stub().get("a")).toMatchObject({ id: "a" });
});
