/**
 * Holds reading to its budget in tokens, of every shape that is hard on a parser, and of what is
 * valid.
 */
import { describe, expect, it } from "vitest";

import { NAMESPACES_MAX, parseConfig, parseManifests } from "../../src/manifest/index.ts";
import {
  CONFIG_TOKENS_MAX,
  DOCUMENT_TOKENS_MAX,
  FILE_TOKENS_MAX,
  STRANGER_TOKENS_MAX,
} from "../../src/manifest/manifest-error.ts";
import { readYaml } from "../../src/manifest/read-yaml.ts";
import { isLongRun, sample, size } from "../support/sample.ts";
import { LENGTHS, SHAPES } from "../programs/fuzz-manifests/shapes.ts";
import { manifest } from "./bad-manifests.ts";

const LONG = LENGTHS.at(-1) ?? 0;
const cases = Object.entries(SHAPES);

function shapeOf(name: string, length = LONG): string {
  const shape = SHAPES[name];
  if (shape === undefined) throw new Error(`No shape ${name}`);
  return shape(length).slice(0, length);
}

describe("a stranger's file of any shape", () => {
  it.each(sample(cases, 20))("is read for %s within the tokens it may have", (_name, shape) => {
    const { tokens } = readYaml("a.yaml", shape(LONG), STRANGER_TOKENS_MAX);
    expect(tokens).toBeLessThanOrEqual(STRANGER_TOKENS_MAX + 1);
  });

  it.each([
    ["flow lists, opened", 40],
    ["flow lists with empty entries, opened", 200],
    ["flow maps, opened", 200],
    ["block lists, opened", 70],
    ["block ?, opened", 70],
    ["block :, opened", 70],
    ["block maps, indented", 170],
    ["flow list, empty entries", 110],
    ["flow list, empty entries, not closed", 110],
    ["flow map, empty entries", 110],
    ["flow closers", 110],
    ["flow maps side by side", 220],
    ["tags", 320],
    ["anchors", 320],
    ["directives", 320],
  ])("is left after a few tokens of %s, by a writer too", (name, most) => {
    const { tokens, errors } = readYaml("a.yaml", shapeOf(name));
    expect(tokens).toBeLessThanOrEqual(most);
    expect(errors.map(({ kind }) => kind)).toContain("limit");
  });
});

describe("a budget of tokens", () => {
  it.runIf(isLongRun())("is one for each byte of a writer's file", () => {
    const { tokens, errors } = readYaml("a.yaml", `{${":,".repeat(60_000)}}\n---\n`.repeat(6));
    expect(tokens).toBe(FILE_TOKENS_MAX + 1);
    expect(errors.at(-1)?.message).toContain("more than 1,048,576 tokens");
  });

  it("is smaller for one document, which is held whole", () => {
    const { tokens, errors } = readYaml("a.yaml", shapeOf("flow numbers"));
    expect(tokens).toBe(DOCUMENT_TOKENS_MAX + 1);
    expect(errors).toMatchObject([{ kind: "limit", line: 1 }]);
  });

  it.runIf(isLongRun())(
    "is shared by all the files of a stranger, and not by those of others",
    () => {
      const text = Array.from({ length: 100 }, (_, index) => manifest(SPEC, `n-${index}`)).join(
        "---\n",
      );
      const files = Array.from({ length: 30 }, (_, index) => ({
        path: `${index}.yaml`,
        text: text.replaceAll("name: n-", `name: n-${index}-`),
      }));
      const paths = files.map(({ path }) => path);
      const parse = (strangers: readonly string[]): ReturnType<typeof parseManifests> =>
        parseManifests(files, { environment: null, strangers });
      expect(parse([]).desired?.namespaces).toHaveLength(3_000);
      expect(parse(paths.slice(0, 5)).errors).toEqual([]);
      const { desired, errors } = parse(paths);
      expect(desired).toBeNull();
      expect(errors[0]?.message).toContain("from a fork have more than 65,536 tokens");
      const refused = new Set(errors.map(({ file }) => file));
      expect(refused.size).toBeGreaterThan(1);
      expect(refused.size).toBeLessThan(files.length);
    },
  );

  it("is small for a config", () => {
    const text = `apiVersion: shardctl.dev/v1\nkind: Config\nenvironments:\n${"  a: 1\n".repeat(CONFIG_TOKENS_MAX / 4)}`;
    expect(parseConfig({ path: "shardctl.yaml", text }).errors.at(-1)?.message).toContain(
      "more than 65,536 tokens",
    );
  });

  const SPEC = "object: A\nstrategy: none";
});

describe("what is valid", () => {
  it.each(sample(["manifests", "manifests of split points"], 1))(
    "is read up to 1 MiB: %s",
    (name) => {
      const whole = shapeOf(name);
      const text = whole.slice(0, whole.lastIndexOf("---\n"));
      const { desired, errors } = parseManifests([{ path: "a.yaml", text }], { environment: null });
      expect(errors).toEqual([]);
      expect(desired?.namespaces.length).toBeGreaterThan(name === "manifests" ? 8_000 : 200);
    },
  );

  // That one more is too many, and none of these, stands in `parse-manifests.test.ts`.
  const count = size(NAMESPACES_MAX, 5_000);
  it(`is read up to ${count} namespaces`, () => {
    const perFile = 5_000;
    const files = Array.from({ length: count / perFile }, (_unused, file) => ({
      path: `${file}.yaml`,
      text: Array.from(
        { length: perFile },
        (_, index) =>
          `{apiVersion: shardctl.dev/v1, kind: Namespace, metadata: {name: n${file * perFile + index}}, spec: {object: A, strategy: none}}`,
      ).join("\n---\n"),
    }));
    const { desired } = parseManifests(files, { environment: null });
    expect(desired?.namespaces).toHaveLength(count);
  }, 120_000);

  it("may have empty texts, tags and anchors side by side", () => {
    const text = `[!!str a, !!str b, &x c, &y d, "", '', [], {}, ","]`;
    expect(readYaml("a.yaml", text).errors).toEqual([]);
  });
});

describe("a set with many environments and unknown names", () => {
  it("is not searched for cycles once for each of thousands of environments", () => {
    const overrides = Array.from({ length: 150 }, (_, index) => `  e${index}: { dependsOn: [] }`);
    const text = manifest(`object: A\nstrategy: none\nenvironments:\n${overrides.join("\n")}`);
    expect(parseManifests([{ path: "a.yaml", text }], { environment: null }).errors).toMatchObject([
      { kind: "limit", message: expect.stringContaining("more than 100 environments") as string },
    ]);
  });

  it("compares an unknown name with no more names than it has to", () => {
    const set = Array.from({ length: 1_000 }, (_, index) =>
      manifest("object: A\nstrategy: none", `name-${index}`),
    );
    const unknown = manifest(
      `object: A\nstrategy: none\ndependsOn: [${Array.from({ length: 100 }, (_, index) => `nam-${index}`).join(", ")}]`,
    );
    for (let index = 0; index < 5; index++)
      set.push(unknown.replace("name: orders", `name: orders-${index}`));
    const { errors } = parseManifests([{ path: "a.yaml", text: set.join("---\n") }], {
      environment: null,
    });
    expect(errors).toHaveLength(500);
    const hinted = errors.filter(({ message }) => message.includes("Did you mean"));
    expect(hinted.length).toBeGreaterThan(0);
    expect(hinted.length).toBeLessThan(400);
  });
});

describe("a number that begins with 0", () => {
  it.each(["010", "-010", "+07", "00", "0777", "08", "01.5", "010e1"])(
    "is refused, since readers differ: %s",
    (number) => {
      const { errors } = parseManifests(
        [
          {
            path: "a.yaml",
            text: manifest(`object: A\nstrategy: hash\nshardKey: id\ncount: ${number}`),
          },
        ],
        { environment: null },
      );
      expect(errors).toMatchObject([{ line: 9, column: 10, kind: "unsupported" }]);
      expect(errors[0]?.message).toContain(`The number ${number} begins with 0`);
    },
  );

  it.each(["0", "0.5", "-0", "0x10", "0o10", '"010"', "'010'", "010a", "0-1"])(
    "is taken as it is: %s",
    (text) => {
      expect(readYaml("a.yaml", `a: ${text}`).errors).toEqual([]);
    },
  );
});
