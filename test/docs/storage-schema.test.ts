/**
 * Keeps docs/storage-schema.md complete: every field of the documents that objects keep stands
 * there, and every field that stands there is stored.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

const ROOT = new URL("../../", import.meta.url).href;
const PAGE = read("docs/storage-schema.md");

/** Documents by the name that the page gives them, and the interface that has their fields. */
const DOCUMENTS = [
  { document: "membership", file: "src/shards/member/membership.ts", type: "Membership" },
  { document: "moving", file: "src/shards/move/moving.ts", type: "Moving" },
  { document: "record", file: "src/shards/root/operation-record.ts", type: "OperationRecord" },
] as const;

function read(path: string): string {
  return readFileSync(fileURLToPath(ROOT + path), "utf8");
}

/** The fields that an interface declares itself. */
function fieldsOf(file: string, type: string): string[] {
  const body = new RegExp(`^export interface ${type}\\b[^{]*\\{\\n(.*?)^\\}`, "msu").exec(
    read(file),
  )?.[1];
  return [...(body ?? "").matchAll(/^ {2}readonly (\w+)\??:/gmu)].map(([, name = ""]) => name);
}

/** The fields in the second column of the document's rows. */
function describedOf(document: string): string[] {
  const rows = PAGE.matchAll(new RegExp(`^\\| \`${document}\` +\\| ([^|]+) \\| [^|]+\\|$`, "gmu"));
  return [...rows].flatMap(([, column = ""]) =>
    [...column.matchAll(/`(\w+)`/gu)].map(([, name = ""]) => name),
  );
}

describe("the page on what objects store", () => {
  it.each(DOCUMENTS)("names the fields of $document, and no others", ({ document, file, type }) => {
    const fields = fieldsOf(file, type);
    expect(fields.length).toBeGreaterThan(5);
    expect(describedOf(document).toSorted()).toEqual(fields.toSorted());
  });
});
