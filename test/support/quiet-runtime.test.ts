import { expect, it } from "vitest";

import { createTraceFilter } from "./quiet-runtime.ts";

it("takes the runtime's traces out, and nothing else", () => {
  const filter = createTraceFilter();
  const parts = [
    "before\nuncaught exception; source = a promise; stack = Error: lost\n    at f (a.ts:1:2)\n",
    "    at g (b.ts:3:4)\nstack: 1f 2e\nafter\n    at the end of a sentence\n",
    "NOSENTRY SQLite alarm overdue\nlast",
  ];
  expect(parts.map(filter)).toEqual(["before\n", "after\n    at the end of a sentence\n", "last"]);
});
