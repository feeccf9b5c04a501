/**
 * A target on which rows count as the same that a source tells apart is known by its definitions,
 * before a row moves.
 */
import { describe, expect, it } from "vitest";
import { refuseOtherRules, uniqueRules } from "../../../src/shards/move/unique-rules.ts";
import { messageOf } from "../../../src/shards/storage/faults.ts";
import { resolveTables } from "../../../src/shards/storage/tables.ts";
import { openSql } from "../support/node-storage.ts";

const PLAIN = ["CREATE TABLE items (id TEXT PRIMARY KEY, mail TEXT, state)"];

function rulesOf(member: string, statements: readonly string[]) {
  const sql = openSql();
  for (const statement of statements) sql.run(statement);
  return { member, uniqueRules: uniqueRules(sql, resolveTables(sql, [{ name: "items" }])) };
}

function verdict(source: readonly string[], target: readonly string[]): string {
  try {
    refuseOtherRules([rulesOf("s-0", source)], [rulesOf("s-1", target)]);
    return "moves";
  } catch (error) {
    return messageOf(error);
  }
}

describe("a target", () => {
  const mail = (columns: string, name = "by_mail"): string[] => [
    ...PLAIN,
    `CREATE UNIQUE INDEX ${name} ON items (${columns})`,
  ];
  const table = (columns: string): string[] => [`CREATE TABLE items (${columns})`];
  it.each<[string, readonly string[], readonly string[], RegExp | "moves"]>([
    ["with the same definitions", mail("mail"), mail("mail"), "moves"],
    ["whose index has another name", mail("mail"), mail("mail", "other"), "moves"],
    [
      "whose index is a constraint of the table",
      mail("mail"),
      table("state, mail TEXT UNIQUE, id TEXT PRIMARY KEY"),
      "moves",
    ],
    [
      "whose index is not unique",
      PLAIN,
      [...PLAIN, "CREATE INDEX by_mail ON items (mail)"],
      "moves",
    ],
    ["without an index of the source", mail("mail"), PLAIN, "moves"],
    [
      "with an index of its own",
      PLAIN,
      mail("mail"),
      /'items' .* on s-1 by its index by_mail, UNIQUE \("mail" COLLATE "BINARY"\)/,
    ],
    [
      "with an index over fewer columns",
      mail("mail, state"),
      mail("mail"),
      /create the index on s-0 as well, or drop it on s-1/,
    ],
    [
      "with an index of another collation",
      mail("mail"),
      mail("mail COLLATE NOCASE"),
      /COLLATE "NOCASE"\), as it does not on s-0/,
    ],
    [
      "with another key",
      PLAIN,
      table("id TEXT, mail TEXT PRIMARY KEY, state"),
      /by its PRIMARY KEY \("mail" COLLATE "BINARY"\)/,
    ],
    [
      "with a key of another collation",
      PLAIN,
      table("id TEXT PRIMARY KEY COLLATE RTRIM, mail, state"),
      /COLLATE "RTRIM"\)/,
    ],
    [
      "with a key in another order",
      table("id, mail, state, PRIMARY KEY (id, mail)"),
      table("id, mail, state, PRIMARY KEY (mail, id)"),
      /let the table be the same/,
    ],
    [
      "with the same condition",
      mail("mail) WHERE (state = 1"),
      mail("mail)  WHERE  (state = 1"),
      "moves",
    ],
    [
      "with another condition",
      mail("mail) WHERE (state = 1"),
      mail("mail) WHERE (state = 2"),
      /WHERE \(state = 2\)/,
    ],
    ["without the condition", mail("mail) WHERE (state = 1"), mail("mail"), /by its index by_mail/],
    ["with an expression", PLAIN, mail("lower(mail)"), /lower\(mail\)/],
    [
      "with another generated column",
      table("id TEXT PRIMARY KEY, mail TEXT, state, short AS (mail) UNIQUE"),
      table("id TEXT PRIMARY KEY, mail TEXT, state, short AS (substr(mail, 1, 1)) UNIQUE"),
      /substr\(mail, 1, 1\)/,
    ],
  ])("%s", (_, source, target, expected) => {
    const found = verdict(source, target);
    expect(found).toMatch(expected === "moves" ? /^moves$/ : expected);
  });

  it("is compared with every source", () => {
    const rules = (member: string, statements: readonly string[]) => rulesOf(member, statements);
    const sources = [rules("s-0", mail("mail")), rules("s-1", PLAIN), rules("s-2", mail("mail"))];
    expect(() => refuseOtherRules(sources, [rules("s-3", mail("mail"))])).toThrow(
      "as it does not on s-1",
    );
  });
});
