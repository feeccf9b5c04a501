/** An object finds the namespace of its own class, on runtimes of several ages. */
import { expect, it } from "vitest";

import { ownNamespace } from "../../../src/shards/platform/platform.ts";

class Orders {
  readonly name = "orders";
}
const binding = { idFromName: () => "id", get: () => null };

it.each([
  ["the class is exported under its own name", { exports: { Orders: binding } }, binding],
  ["it is exported under another name only", { exports: { Shop: binding } }, null],
  ["what has its name is no namespace", { exports: { Orders: { fetch: () => null } } }, null],
  ["the compatibility date is older than ctx.exports", { exports: undefined }, null],
  ["the runtime is", {}, null],
])("when %s", (_, ctx, expected) => {
  expect(ownNamespace(ctx as unknown as DurableObjectState, new Orders())).toBe(expected);
});
