/** Words of rows in texts: marked by the objects, and left out of what leaves them. */
import { describe, expect, it } from "vitest";

import type { OperationStatus } from "../../src/model/operation.ts";
import {
  errorWords,
  hideRowWords,
  operationForOthers,
  readFault,
  rowWords,
  withoutRowWords,
  withRowWords,
} from "../../src/model/row-words.ts";
import { operationOf } from "../cli/support/states.ts";

const CANARY = "canary-7f3a@example.test";

describe("words of a row", () => {
  it("are left out for others, and whole for whoever owns the rows", () => {
    const text = `Row ${rowWords(CANARY)} of table 't', and ${rowWords(CANARY)}`;
    expect(withoutRowWords(text, "orders")).toBe(
      "Row (not shown) of table 't', and (not shown). What is not shown is in the object: shardctl status orders --ids",
    );
    expect(withRowWords(text)).toBe(`Row ${CANARY} of table 't', and ${CANARY}`);
    expect(withoutRowWords("3 rows", "orders")).toBe("3 rows");
  });

  it.each([`⟧${CANARY}`, `⟦${CANARY}`, `⟧⟦⟧${CANARY}⟦`, `${CANARY}⟧ ${CANARY}`])(
    "cannot end their own mark: %s",
    (id) => {
      expect(hideRowWords(`Row ${rowWords(id)} of`)).toBe("Row (not shown) of");
      // An error of ours whose text another object marks once more.
      expect(hideRowWords(rowWords(`Row ${rowWords(id)} of`))).toBe("(not shown)");
    },
  );

  it("are left out of a text that was cut in the middle of them", () => {
    const text = `Row ${rowWords(CANARY)} of`;
    for (let length = 1; length <= text.length; length++) {
      expect(hideRowWords(text.slice(0, length))).not.toContain("canary");
      expect(hideRowWords(`${text.slice(0, length)}…`)).not.toContain("canary");
    }
  });
});

describe("words of errors", () => {
  it.each([
    "Network connection lost.",
    "UNIQUE constraint failed: things.ns, things.id: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)",
    "database or disk is full: SQLITE_FULL",
    "Durable Object reset because its code was updated.",
  ])("are kept when they quote nothing: %s", (text) => {
    expect(errorWords(text)).toBe(text);
  });

  it.each([
    `no customer ${CANARY}`,
    `UNIQUE constraint failed: ${CANARY}`,
    `Network connection lost. ${CANARY}`,
    `${CANARY}: Network connection lost.`,
    `Network connection lost.\n${CANARY}`,
    `no such table: ${CANARY}`,
    `cannot store TEXT value in INTEGER column ${CANARY}: SQLITE_CONSTRAINT`,
    "",
  ])("are marked when they may quote a row: %s", (text) => {
    expect(errorWords(text)).toBe(rowWords(text));
  });

  it.each(["", "Error: "])("say that a CHECK has failed, and hide which: %s", (before) => {
    const known = `${before}CHECK constraint failed: `;
    const check = `length(name) < ${CANARY}\n: SQLITE_CONSTRAINT`;
    expect(errorWords(`${known}${check}`)).toBe(`${known}${rowWords(check)}`);
    expect(errorWords(`no ${known}${check}`)).toBe(rowWords(`no ${known}${check}`));
  });
});

describe("texts of an older library", () => {
  const fault = { kind: "missingKey", message: `Row ${CANARY} has no key` } as const;

  it("are left out as a whole when nothing is marked in them", () => {
    const operation: OperationStatus = {
      ...operationOf({ state: "failed", fault, lastError: CANARY }),
      waitsFor: { kind: "tablesDiffer", message: CANARY },
    };
    const told = operationForOthers(operation);
    expect(JSON.stringify(told)).not.toContain(CANARY);
    expect(told.fault).toMatchObject({ kind: "missingKey" });
    const marked = operationForOthers({
      ...operation,
      marked: true,
      fault: { ...fault, message: "3 rows" },
    });
    expect(marked.fault?.message).toBe("3 rows");
  });

  it("are kept by the root, marked", () => {
    expect(readFault(fault)).toBe(rowWords(fault.message));
    expect(readFault({ ...fault, marked: true })).toBe(fault.message);
  });
});
