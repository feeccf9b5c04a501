/**
 * Keeps the documentation true where that is cheap: links, manifests, JSON, imports, options, and
 * the lists that the code owns.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { PROBLEM_KINDS, ROLES } from "../../src/model/api.ts";
import { blockOf } from "../../src/planning/check-safety.ts";
import { GUARDS } from "../../src/model/plan.ts";
import { EXIT } from "../../src/cli/exit-codes.ts";
import { jsonSchemas, parseConfig, parseManifests } from "../../src/manifest/index.ts";
import { runInProcess } from "../cli/support/run-cli.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url).href);
const PAGES = ["README.md", "CONTRIBUTING.md", ...pagesBelow("docs")];
const COMMANDS = [
  "init",
  "validate",
  "plan",
  "apply",
  "status",
  "drift",
  "history",
  "pause",
  "resume",
  "cancel",
  "repair",
  "forget",
  "import",
  "export",
  "token",
  "dev",
];

interface CodeBlock {
  readonly page: string;
  readonly line: number;
  /** The text behind the fence: `yaml manifest`. */
  readonly info: string;
  readonly text: string;
}

function pagesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md"))
    .map((path) => join(folder, path))
    .toSorted();
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function blocksOf(page: string): CodeBlock[] {
  const text = read(page);
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gmsu)].map((match) => ({
    page,
    line: text.slice(0, match.index).split("\n").length,
    info: match[1] ?? "",
    text: match[2] ?? "",
  }));
}

const BLOCKS = PAGES.flatMap(blocksOf);

/** Blocks with this info string, as named rows. */
function blocksWith(info: string): [string, CodeBlock][] {
  return BLOCKS.filter((block) => block.info === info).map((block) => [
    `${block.page}:${block.line}`,
    block,
  ]);
}

/** The names that the anchors of a page have on GitHub. */
function anchorsOf(page: string): string[] {
  const prose = read(page).replaceAll(/^```.*?^```$/gmsu, "");
  return [...prose.matchAll(/^#+ (.+)$/gmu)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** The text between a heading of the second level and the next one. */
function sectionOf(page: string, heading: string): string {
  const found = read(page)
    .split(/^## /mu)
    .find((section) => section.startsWith(`${heading}\n`));
  if (found === undefined) throw new Error(`${page} has no section "${heading}"`);
  return found;
}

/** The first cells of the tables in a text, without their marks. */
function firstCells(text: string): string[] {
  return [...text.matchAll(/^\| *([^|]*?) *\|/gmu)]
    .map((match) => (match[1] ?? "").replaceAll("`", ""))
    .filter((cell) => !/^-+$/u.test(cell));
}

/** Long options in a text: `--plan`. */
function optionsIn(text: string): string[] {
  return [...text.matchAll(/(?<![\w-])--[a-z][a-z-]*/gu)].map((match) => match[0]);
}

describe("links", () => {
  it.each(PAGES)("of %s resolve", (page) => {
    const prose = read(page).replaceAll(/^```.*?^```$/gmsu, "");
    const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/gu)]
      .map((match) => match[1] ?? "")
      .filter((target) => !/^[a-z]+:/u.test(target));
    const broken = targets.filter((target) => {
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : relative(ROOT, join(ROOT, dirname(page), path));
      return (
        !existsSync(join(ROOT, file)) || (anchor !== undefined && !anchorsOf(file).includes(anchor))
      );
    });
    expect(broken).toEqual([]);
  });

  it("lead from the README to every page of docs", () => {
    for (const page of PAGES.filter((path) => /^docs\/[\w-]+\.md$/u.test(path)))
      expect(read("README.md")).toContain(`](${page})`);
  });
});

describe("code blocks", () => {
  it.each(blocksWith("yaml manifest"))("the manifest at %s is valid", (_, { page, text }) => {
    expect(
      parseManifests([{ path: page, text: new TextEncoder().encode(text) }], { environment: null })
        .errors,
    ).toEqual([]);
  });

  it.each(blocksWith("yaml config"))("the config at %s is valid", (_, { page, text }) => {
    expect(parseConfig({ path: page, text: new TextEncoder().encode(text) }).errors).toEqual([]);
  });

  it.each(blocksWith("json"))("the JSON at %s parses", (_, { text }) => {
    expect(JSON.parse(text)).toBeTypeOf("object");
  });

  it("no manifest goes unchecked", () => {
    const unmarked = BLOCKS.filter(
      ({ info, text }) => info === "yaml" && text.includes("apiVersion: shardctl.dev"),
    );
    expect(unmarked.map(({ page, line }) => `${page}:${line}`)).toEqual([]);
  });

  const MODULES = {
    "shardctl/durable-object": "src/shards/index.ts",
    "shardctl/router": "src/shards/router.ts",
    "shardctl/worker": "src/server/index.ts",
    "shardctl/manifest": "src/manifest/index.ts",
  };
  const imports = BLOCKS.flatMap(({ page, line, text }) =>
    [...text.matchAll(/import (?:type )?\{([^}]*)\} from "(shardctl\/[\w-]+)"/gu)].flatMap(
      (match) =>
        (match[1] ?? "")
          .split(",")
          .map(
            (name) =>
              [name.trim().replace(/^type /u, ""), match[2] ?? "", `${page}:${line}`] as const,
          ),
    ),
  );
  it.each(imports)("%s of %s, imported at %s, is there", (name, module) => {
    const source = read(MODULES[module as keyof typeof MODULES]);
    const exported = [
      ...source.matchAll(
        /export (?:type )?(?:\{([^}]*)\}|(?:abstract )?(?:class|function|interface|type|const) (\w+))/gu,
      ),
    ];
    expect(
      exported.flatMap((match) =>
        (match[1] ?? match[2] ?? "").split(",").map((part) => part.trim().replace(/^type /u, "")),
      ),
    ).toContain(name);
  });
});

describe("options", () => {
  const help = async (command: string): Promise<string> =>
    (await runInProcess(["help", command], { cwd: ROOT })).stdout;

  it.each(COMMANDS)("docs/cli.md has those of %s, and no others", async (command) => {
    const defined = [...(await help(command)).matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gmu)].map(
      (match) => match[1],
    );
    const common = firstCells(sectionOf("docs/cli.md", "Common to all")).flatMap(optionsIn);
    const own = firstCells(sectionOf("docs/cli.md", command)).flatMap(optionsIn);
    expect(defined).toEqual(expect.arrayContaining(own));
    expect([...own, ...common]).toEqual(expect.arrayContaining(defined));
  });

  it("that are used in a command line are in the help of the command", async () => {
    const uses = BLOCKS.flatMap(({ page, line, text }) =>
      [...text.matchAll(/(?<![\w./-])shardctl (\w+)([^\n|#]*)/gu)].map((match) => ({
        command: match[1] ?? "",
        rest: match[2] ?? "",
        at: `${page}:${line}`,
      })),
    ).filter(({ command }) => COMMANDS.includes(command));
    expect(uses.length).toBeGreaterThan(20);
    for (const { command, rest, at } of uses) {
      for (const option of optionsIn(rest))
        expect(await help(command), `${at}: shardctl ${command} ${option}`).toContain(option);
    }
  });

  it("the list of commands is the program's", async () => {
    const { stdout } = await runInProcess(["--help"], { cwd: ROOT });
    const listed = [
      ...(stdout.split("Commands:")[1]?.split("Examples:")[0] ?? "").matchAll(/^ {2}([a-z]+) /gmu),
    ].map((match) => match[1]);
    expect(new Set(listed)).toEqual(new Set([...COMMANDS, "help"]));
  });
});

describe("lists", () => {
  it("guards, and whether they can be overridden", () => {
    const rows = [
      ...sectionOf("docs/manifests.md", "Guards").matchAll(/^\| `(\w+)` .*\| (yes|no) +\|$/gmu),
    ];
    expect(rows.map((row) => [row[1], row[2]])).toEqual(
      GUARDS.map((guard) => [guard, blockOf(guard, null, "").overridable ? "yes" : "no"]),
    );
  });

  it("exit codes", () => {
    const cells = firstCells(sectionOf("docs/cli.md", "Common to all")).filter((cell) =>
      /^\d+$/u.test(cell),
    );
    expect(cells.map(Number)).toEqual(Object.values(EXIT));
  });

  it("problem kinds", () => {
    const cells = firstCells(sectionOf("docs/http-api.md", "Problems")).filter(
      (cell) => cell !== "kind",
    );
    expect(cells.toSorted()).toEqual([...PROBLEM_KINDS].toSorted());
  });

  it("routes, with their roles", () => {
    const sources = readdirSync(join(ROOT, "src/server/routes")).map((name) =>
      read(`src/server/routes/${name}`),
    );
    const routes = sources.flatMap((source) => [
      ...source.matchAll(
        /api\.(get|post|put|delete)\(\s*"(\/v1[^"]*)",\s*requireRole\("(\w+)", "\w+"\)/gu,
      ),
    ]);
    const documented = [
      ...sectionOf("docs/http-api.md", "Who may ask").matchAll(
        /^\| `(GET|POST|PUT|DELETE) (\/v1\S*)` +\| `(\w+)`/gmu,
      ),
    ];
    expect(documented.map((row) => row.slice(1, 4).join(" ")).toSorted()).toEqual(
      routes
        .map(([, method = "", path, role]) => `${method.toUpperCase()} ${path} ${role}`)
        .toSorted(),
    );
    expect(documented.every((row) => ROLES.some((role) => role === row[3]))).toBe(true);
  });

  it("every field of manifests and config has its row", () => {
    const cells = firstCells(read("docs/manifests.md")).map((cell) => cell.split(".").at(-1));
    for (const { text } of jsonSchemas())
      for (const field of fieldsOf(JSON.parse(text))) expect(cells).toContain(field);
  });
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
}

/** Names of the fields that hold no fields themselves. The form of a split point is prose. */
function fieldsOf(schema: Schema): string[] {
  const below = (name: string, child: Schema): string[] => {
    const inside = name === "splitPoints" ? [] : fieldsOf(child);
    return inside.length === 0 ? [name] : inside;
  };
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, child]) =>
    below(name, child),
  );
  const items = schema.items === undefined ? [] : fieldsOf(schema.items);
  const values =
    typeof schema.additionalProperties === "object" ? fieldsOf(schema.additionalProperties) : [];
  return [...new Set([...own, ...items, ...values])];
}
