/**
 * Renders a spec as the manifest that declares it, as a person would write it. `parseManifests`
 * returns the same spec.
 */
import { Document, Scalar, type YAMLMap, isCollection } from "yaml";

import type { Key } from "../model/layout/key.ts";
import { DEFAULT_POLICY, type NamespaceSpec, type Policy } from "../model/spec.ts";
import { renderDuration } from "./fields.ts";
import { API_VERSION, NAMESPACE_KIND } from "./namespace-schema.ts";

/**
 * Where editors find the schema from a file in `manifests/` of a project that has the package
 * installed.
 */
export const DEFAULT_NAMESPACE_SCHEMA = "../node_modules/shardctl/schemas/namespace.schema.json";

export interface RenderOptions {
  /**
   * Path or address of the schema for the `yaml-language-server` line, relative to the manifest.
   */
  readonly schema?: string;
}

/** Longer lists of split points stand below each other. */
const FLOW_ITEMS_MAX = 10;

/** Renders a spec as YAML text that ends with a line break. Defaults are left out. */
export function renderManifest(
  spec: NamespaceSpec,
  { schema = DEFAULT_NAMESPACE_SCHEMA }: RenderOptions = {},
): string {
  const labels = Object.keys(spec.labels).length === 0 ? {} : { labels: spec.labels };
  const document = new Document(
    {
      apiVersion: API_VERSION,
      kind: NAMESPACE_KIND,
      metadata: { name: spec.name, ...labels },
      spec: specFields(spec),
    },
    { version: "1.2", schema: "core", aliasDuplicateObjects: false },
  );
  const short = (spec.splitPoints?.length ?? 0) <= FLOW_ITEMS_MAX ? [["spec", "splitPoints"]] : [];
  for (const path of [
    ["metadata", "labels"],
    ["spec", "dependsOn"],
    ["spec", "policy", "windows"],
    ["spec", "policy", "budget"],
    ...short,
  ]) {
    setFlow(document.getIn(path));
  }
  quoteText(document.getIn(["metadata", "name"], true));
  return `${schemaLine(schema)}\n${document.toString({ lineWidth: 0 })}`;
}

/** The comment by which editors find the schema of a file. */
export function schemaLine(schema: string): string {
  return `# yaml-language-server: $schema=${schema}`;
}

function specFields(spec: NamespaceSpec): Record<string, unknown> {
  const policy = policyFields(spec.policy);
  return {
    object: spec.object,
    strategy: spec.strategy,
    ...(spec.shardKey === null ? {} : { shardKey: spec.shardKey }),
    ...(spec.strategy === "none" ? {} : { count: spec.count }),
    ...(spec.directory && spec.strategy !== "roundRobin" ? { directory: true } : {}),
    ...(spec.splitPoints === null ? {} : { splitPoints: spec.splitPoints.map(keyValue) }),
    ...(spec.partitioner === null ? {} : { partitioner: spec.partitioner }),
    ...(spec.dependsOn.length === 0 ? {} : { dependsOn: spec.dependsOn }),
    ...(Object.keys(policy).length === 0 ? {} : { policy }),
  };
}

function policyFields(policy: Policy): Record<string, unknown> {
  const { windows, budgetRows, ...plain } = policy;
  const changed = Object.entries(plain).filter(
    ([key, value]) => value !== DEFAULT_POLICY[key as keyof typeof plain],
  );
  return {
    ...Object.fromEntries(changed),
    ...(windows.length === 0
      ? {}
      : {
          windows: windows.map(({ start, durationMs, timezone }) => ({
            start,
            duration: renderDuration(durationMs),
            timezone,
          })),
        }),
    ...(budgetRows === null ? {} : { budget: { rows: budgetRows } }),
  };
}

/**
 * A split point as written. A whole number above 2^53 is a bigint, and is written with all its
 * digits.
 */
function keyValue(key: Key): unknown {
  switch (key.type) {
    case "null":
      throw new Error("NULL cannot be a split point: it is below every key");
    case "integer":
      return BigInt(key.text);
    case "real":
      return realScalar(Number(key.text));
    case "text":
      return key.text;
    case "blob":
      return { blob: key.text };
  }
}

/** With an exponent: a real above 2^63 would else be read as a whole number that is none. */
function realScalar(value: number): Scalar<number> {
  const scalar = new Scalar(value);
  if (Number.isInteger(value)) scalar.format = "EXP";
  return scalar;
}

function setFlow(node: unknown): void {
  if (isCollection(node)) (node as YAMLMap).flow = true;
}

/** A name is read by people and programs: in doubt, in quotes. */
function quoteText(node: unknown): void {
  const scalar = node as Scalar<string>;
  if (!/^[A-Za-z][\w.-]*$/u.test(scalar.value)) scalar.type = "QUOTE_DOUBLE";
}
