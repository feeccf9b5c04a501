/**
 * The schemas in `schemas/` are those of the code, describe every option, and the repository's own
 * manifests are valid.
 */
import { readFileSync, readdirSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { jsonSchemas, parseManifests } from "../../src/manifest/index.ts";

const ROOT = `${import.meta.dirname}/../..`;

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** Every option of a schema, with its path. */
function options(schema: Schema, path: string): [path: string, schema: Schema][] {
  const own = Object.entries(schema.properties ?? {}).map(([key, inner]): [string, Schema] => [
    `${path}.${key}`,
    inner,
  ]);
  const inner = [
    schema.items,
    typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined,
    ...(schema.anyOf ?? []),
  ];
  const below = inner.flatMap((part) => (part === undefined ? [] : options(part, `${path}[]`)));
  return [...own, ...own.flatMap(([at, part]) => options(part, at)), ...below];
}

describe("JSON schemas", () => {
  it.each(jsonSchemas())(
    "schemas/$name is up to date (else: npm run schemas)",
    ({ name, text }) => {
      expect(readFileSync(`${ROOT}/schemas/${name}`, "utf8")).toBe(text);
    },
  );

  it.each(jsonSchemas())("$name describes every option and allows no other", ({ name, text }) => {
    const schema = JSON.parse(text) as Schema;
    const all = options(schema, name);
    expect(all.length).toBeGreaterThan(5);
    const silent = all.filter(
      ([path, { description }]) => description === undefined && !/\.(?:metadata|blob)$/u.test(path),
    );
    expect(silent.map(([path]) => path)).toEqual([]);
    const open = [[name, schema] as const, ...all].filter(
      ([, { properties, additionalProperties }]) => properties && additionalProperties !== false,
    );
    expect(open.map(([path]) => path)).toEqual([]);
  });

  it("has examples that the parser takes", () => {
    const [, namespace] = jsonSchemas();
    const { properties } = JSON.parse(namespace?.text ?? "") as Schema;
    const example = (schema: Schema | undefined, key: string): unknown =>
      schema?.properties?.[key]?.examples?.[0];
    const keys = ["object", "strategy", "shardKey", "count"];
    const spec = Object.fromEntries(keys.map((key) => [key, example(properties?.["spec"], key)]));
    const policyKeys = ["maxSkew", "rowsPerSecondMax", "retainHours", "storageBytesMax"];
    const policy = Object.fromEntries(
      policyKeys.map((key) => [key, example(properties?.["spec"]?.properties?.["policy"], key)]),
    );
    const metadata = {
      name: example(properties?.["metadata"], "name"),
      labels: example(properties?.["metadata"], "labels"),
    };
    const environments = example(properties?.["spec"], "environments");
    const text = JSON.stringify({
      apiVersion: "shardctl.dev/v1",
      kind: "Namespace",
      metadata,
      spec: { ...spec, policy, environments },
    });
    expect(parseManifests([{ path: "a.yaml", text }], { environment: "staging" })).toMatchObject({
      errors: [],
      environments: ["staging"],
    });
  });
});

describe("the repository's own manifests", () => {
  it("are valid and name the schema for editors", () => {
    const files = readdirSync(`${ROOT}/manifests`).map((name) => ({
      path: name,
      text: readFileSync(`${ROOT}/manifests/${name}`, "utf8"),
    }));
    const { desired, errors } = parseManifests(files, { environment: null });
    expect(errors).toEqual([]);
    expect(
      desired?.namespaces.map(({ name, object, shardKey, count }) => ({
        name,
        object,
        shardKey,
        count,
      })),
    ).toContainEqual({
      name: "cities",
      object: "CITIES",
      shardKey: "id",
      count: 8,
    });
    for (const { text } of files)
      expect(text).toMatch(
        /^# yaml-language-server: \$schema=\.\.\/schemas\/namespace\.schema\.json\n/u,
      );
  });
});
