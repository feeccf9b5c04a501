import { expect, it } from "vitest";

import { createTraceFilter, hideTracesIn } from "./quiet-runtime.ts";

it("takes the runtime's traces out, and nothing else", () => {
  const filter = createTraceFilter();
  const parts = [
    "before\nuncaught exception; source = a promise; stack = Error: lost\n    at f (a.ts:1:2)\n",
    "    at g (b.ts:3:4)\nstack: 1f 2e\nafter\n    at the end of a sentence\n",
    "NOSENTRY SQLite alarm overdue\nlast",
  ];
  expect(parts.map(filter)).toEqual(["before\n", "after\n    at the end of a sentence\n", "last"]);
});

it("filters a stream, whether text or bytes are written, and tells every writer that it was", () => {
  const written: string[] = [];
  const stream = {
    write: (part: string, done?: () => void): boolean => {
      written.push(part);
      done?.();
      return true;
    },
  };
  hideTracesIn(stream as Pick<NodeJS.WriteStream, "write">);
  let told = 0;
  const parts = ["uncaught exception; source = a promise\n    at f (a.ts:1:2)\n", "kept\n"];
  for (const part of parts.flatMap((text) => [text, Buffer.from(text)]))
    (stream as unknown as NodeJS.WriteStream).write(part, () => told++);
  expect(written.join("")).toBe("kept\nkept\n");
  expect(told).toBe(4);
});
