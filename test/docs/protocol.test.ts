/**
 * Keeps docs/protocol.md complete and true: every rule that the code names has its section there
 * and is named by somebody, every section says what proves the rule, and what it points at exists.
 * The steps and the messages are those of the code.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { STEPS } from "../../src/model/operation.ts";
import { listVariants } from "../protocol-model/checks.ts";
import { RULES } from "../protocol-model/rules.ts";
import { FORMER_BUGS } from "../sim/former-bugs.ts";
import { HAZARD_MUTANTS } from "../sim/hazard-mutants.ts";
import { MUTANTS } from "../sim/mutants.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const DOCS = join(ROOT, "docs");
const PAGE = readFileSync(join(DOCS, "protocol.md"), "utf8");
const NAME = "[a-z]+(?:-[a-z]+)+";
const ALL_MUTANTS = [...MUTANTS, ...HAZARD_MUTANTS, ...FORMER_BUGS];

interface Citation {
  readonly name: string;
  readonly by: string;
}

/**
 * `rule "name"`, also over the end of a line of a comment, or in a list: `rules "one", "two" and
 * "three"`.
 */
const CITED = /\brules?[\s/*]+("[^"]+"(?:(?:,|,? and)[\s/*]+"[^"]+")*)/giu;
/** The model's comments name rules in brackets: `[one, two]`. */
const IN_BRACKETS = new RegExp(`\\[(${NAME}(?:, ${NAME})*)\\]`, "gu");
/** Pages name rules as ``rules `one`, `two` ``. */
const ON_PAGES = new RegExp(`\\brules? (\`${NAME}\`(?:(?:,|,? and) \`${NAME}\`)*)`, "giu");

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(ending))
    .map((path) => `${folder}/${path}`)
    .toSorted();
}

function citationsIn(path: string, form: RegExp): Citation[] {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(form)].flatMap(([, list = ""]) =>
    list
      .split(/,? and |,\s*|(?<=["`])[\s/*]+(?=["`])/u)
      .map((name) => ({ name: name.replaceAll(/["`]|^[\s/*]+|[\s/*]+$/gu, ""), by: path })),
  );
}

/** The name that a mutant's rule begins with, if it goes by one. */
function nameOfRule(rule: string): string | undefined {
  return new RegExp(`^(${NAME})(?::|$)`, "u").exec(rule)?.[1];
}

const SOURCES = [
  ...filesBelow("src", ".ts"),
  ...filesBelow("test", ".ts").filter((path) => !path.startsWith("test/docs/")),
];
const CITATIONS: readonly Citation[] = [
  ...SOURCES.flatMap((path) => citationsIn(path, CITED)),
  ...filesBelow("test/protocol-model", ".ts").flatMap((path) => citationsIn(path, IN_BRACKETS)),
  ...Object.keys(RULES).map((name) => ({ name, by: "test/protocol-model/rules.ts" })),
  ...ALL_MUTANTS.flatMap(({ name, rule }) => {
    const named = nameOfRule(rule);
    return named === undefined ? [] : [{ name: named, by: `mutant ${name}` }];
  }),
];

interface Section {
  readonly name: string;
  readonly text: string;
}

const SECTIONS: readonly Section[] = PAGE.split(/^(?=#{2,3} )/mu).flatMap((text) => {
  const name = new RegExp(`^### (${NAME})\\n`, "u").exec(text)?.[1];
  return name === undefined ? [] : [{ name, text }];
});

/** The text between a heading of the second level and the next one. */
function partOf(heading: string): string {
  const found = PAGE.split(/^## /mu).find((text) => text.startsWith(`${heading}\n`));
  if (found === undefined) throw new Error(`docs/protocol.md has no part "${heading}"`);
  return found;
}

/** The rows of the tables in a text, as their cells, without the head. */
function rowsOf(text: string): string[][] {
  return [...text.matchAll(/^\|(.*)\|$/gmu)]
    .map((match) => (match[1] ?? "").split("|").map((cell) => cell.trim()))
    .slice(2);
}

function lineOf({ name, text }: Section, begins: string): string {
  const line = text.split("\n").find((each) => each.startsWith(begins));
  if (line === undefined) throw new Error(`${name} has no line that begins with "${begins}"`);
  return line;
}

/** Names in ``model (`one`, `two`)`` of the line of proofs. */
function proofsOf(section: Section, kind: "model" | "simulator"): string[] {
  const [, list = ""] =
    new RegExp(`${kind} \\(([^)]*)\\)`, "u").exec(lineOf(section, "- Proven by:")) ?? [];
  return [...list.matchAll(/`([^`]+)`/gu)].map((match) => match[1] ?? "");
}

function linksIn(text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s#]+)\)/gu)].map((match) => match[1] ?? "");
}

const MUTANT_ROWS = rowsOf(partOf("Rules that go by their mutant"));
const mutantOfRow = ([cell = ""]: readonly string[]): string => cell.replaceAll("`", "");

describe("the rules", () => {
  it("that the code names have their section", () => {
    const known = new Set(SECTIONS.map(({ name }) => name));
    expect(CITATIONS.filter(({ name }) => !known.has(name))).toEqual([]);
  });

  it("that other pages name have their section", () => {
    const known = new Set(SECTIONS.map(({ name }) => name));
    const named = ["CONTRIBUTING.md", "README.md", ...filesBelow("docs", ".md")].flatMap((path) =>
      citationsIn(path, ON_PAGES),
    );
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter(({ name }) => !known.has(name))).toEqual([]);
  });

  it("that have a section are named by somebody, and have one section", () => {
    const cited = new Set(CITATIONS.map(({ name }) => name));
    expect(SECTIONS.map(({ name }) => name).filter((name) => !cited.has(name))).toEqual([]);
    expect(new Set(SECTIONS.map(({ name }) => name)).size).toBe(SECTIONS.length);
  });

  it("are found in each form that they are cited in", () => {
    const by = (path: string): string[] =>
      CITATIONS.filter((each) => each.by === path).map(({ name }) => name);
    expect(by("src/shards/root/confirm-duplicates.ts")).toContain("judged-under-the-fence");
    expect(by("test/protocol-model/swap.ts")).toEqual(
      expect.arrayContaining(["no-late-rows", "operation-numbers"]),
    );
    expect(by("test/shards/directory/claims.test.ts")).toEqual(["probe-revokes"]);
    expect(by("mutant skip-the-last-drain")).toEqual(["drain-before-cutover"]);
  });
});

describe.each(SECTIONS)("$name", (section) => {
  const { name, text } = section;

  it("says what must hold, and what goes wrong without it", () => {
    const [, statement = "", without = ""] = text.split("\n\n");
    expect(statement.length).toBeGreaterThan(40);
    expect(without).toMatch(/^\*\*Without it:\*\* .{40,}/su);
  });

  it("says where it is kept, and what proves it", () => {
    const kept = linksIn(lineOf(section, "- Kept in:"));
    expect(kept.filter((link) => link.startsWith("../src/")).length).toBeGreaterThan(0);
    const tests = linksIn(lineOf(section, "- Proven by:"));
    expect(tests.filter((link) => !/^\.\.\/test\/.*\.test\.ts$/u.test(link))).toEqual([]);
    expect(
      [...proofsOf(section, "model"), ...proofsOf(section, "simulator"), ...tests].length,
    ).toBeGreaterThan(0);
    expect([...kept, ...tests].filter((link) => !existsSync(join(DOCS, link)))).toEqual([]);
  });

  it("lists the variants of the model that leave it out, and no others", () => {
    const variants = listVariants().filter(({ rule }) => rule === name);
    expect(new Set(proofsOf(section, "model"))).toEqual(
      new Set(variants.map((variant) => variant.name)),
    );
  });

  it("lists the mutants that are named for it, and none that is named for another rule", () => {
    const listed = proofsOf(section, "simulator");
    const own = ALL_MUTANTS.filter(({ rule }) => nameOfRule(rule) === name).map(
      (mutant) => mutant.name,
    );
    expect(listed).toEqual(expect.arrayContaining(own));
    const ruleOf = (mutant: string): string =>
      nameOfRule(ALL_MUTANTS.find((each) => each.name === mutant)?.rule ?? "") ?? name;
    expect(listed.filter((mutant) => ruleOf(mutant) !== name)).toEqual([]);
  });
});

describe("mutants of the simulator", () => {
  it("stand with the rule that they take away, or in the table of their own: each once, and no others", () => {
    const listed = [
      ...SECTIONS.flatMap((section) => proofsOf(section, "simulator")),
      ...MUTANT_ROWS.map(mutantOfRow),
    ];
    expect(listed.toSorted()).toEqual(ALL_MUTANTS.map(({ name }) => name).toSorted());
  });

  it.each(MUTANT_ROWS.map((row) => ({ name: mutantOfRow(row), row })))(
    "$name has its row whole",
    ({ row }) => {
      const [, holds = "", without = "", kept = ""] = row;
      expect(Math.min(holds.length, without.length)).toBeGreaterThan(20);
      expect(linksIn(kept).length).toBeGreaterThan(0);
      expect(
        linksIn(kept).filter(
          (link) => !link.startsWith("../src/") || !existsSync(join(DOCS, link)),
        ),
      ).toEqual([]);
    },
  );
});

it("the steps are those of an operation, in order", () => {
  expect(rowsOf(partOf("The steps")).map(([step = ""]) => step.replaceAll("`", ""))).toEqual(STEPS);
});

it("every message between objects has its row, and no others", () => {
  const source = readFileSync(join(ROOT, "src/shards/protocol/messages.ts"), "utf8");
  const kinds = new Set([...source.matchAll(/\bkind: "(\w+)"/gu)].map((match) => match[1] ?? ""));
  const listed = rowsOf(partOf("The messages")).map(([kind = ""]) => kind.replaceAll("`", ""));
  expect(listed.toSorted()).toEqual([...kinds].toSorted());
});
