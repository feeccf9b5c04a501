/**
 * Checks a desired state that did not come from manifests by the rules of manifests: each namespace
 * is turned back into the document that would declare it.
 */
import type * as z from "zod";

import type { Key } from "../model/layout/key.ts";
import type { NamespaceSpec, Policy } from "../model/spec.ts";
import { checkSpec } from "./check-spec.ts";
import {
  ENVIRONMENT_EXPECTED,
  ENVIRONMENT_NAME,
  WHY,
  renderDuration,
  parseDuration,
} from "./fields.ts";
import { API_VERSION, NAMESPACE_KIND, type RawSpec, namespaceSchema } from "./namespace-schema.ts";
import { normalizeName } from "./normalize-name.ts";

/** Something that no manifest could say, and where: a path below what was checked. */
export interface DesiredFault {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Says what is wrong with a namespace, whose fields have the types of `NamespaceSpec`. */
export function checkNamespace(spec: NamespaceSpec): DesiredFault[] {
  const unwritable = [
    ...spec.policy.windows.flatMap(({ durationMs }, index) => checkDuration(durationMs, index)),
    ...(spec.splitPoints ?? []).flatMap((key, index) => checkKey(key, index)),
  ];
  if (unwritable.length > 0) return unwritable;
  const document = declare(spec);
  const parsed = namespaceSchema.safeParse(document);
  if (!parsed.success)
    return parsed.error.issues.map((issue) => ({
      path: fieldPath(issue.path),
      message: messageOf(issue).replace(WHY, ": "),
    }));
  const { environments: _none, ...options } = parsed.data.spec;
  return checkSpec({ options, broken: new Set() }).map(({ paths, message }) => ({
    path: paths[0] ?? [],
    message: message.replace(/\.$/u, ""),
  }));
}

/** Of a key that is refused, what the key itself must be. */
function messageOf(issue: z.core.$ZodIssue): string {
  const [first] = issue.code === "invalid_key" ? issue.issues : [];
  return first?.message ?? issue.message;
}

/** Why an environment cannot have this name, or null. */
export function environmentFault(name: string): string | null {
  return ENVIRONMENT_NAME.test(name) ? null : ENVIRONMENT_EXPECTED;
}

/** Names that were given before, also where people cannot tell the two apart. */
export function findRepeatedNames(names: readonly string[]): DesiredFault[] {
  const seen = new Map<string, string>();
  return names.flatMap((name, index) => {
    const first = seen.get(normalizeName(name));
    if (first === undefined) {
      seen.set(normalizeName(name), name);
      return [];
    }
    const message =
      first === name ? "is given twice" : "is given twice, in two forms that look alike";
    return [{ path: [index, "name"], message }];
  });
}

interface Declared {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly [Option in keyof RawSpec]: unknown };
}

function declare(spec: NamespaceSpec): Declared {
  const { strategy, count, directory } = spec;
  const given = <Value>(option: string, value: Value | null): Record<string, Value> =>
    value === null ? {} : { [option]: value };
  return {
    apiVersion: API_VERSION,
    kind: NAMESPACE_KIND,
    metadata: { name: spec.name, labels: spec.labels },
    spec: {
      object: spec.object,
      strategy,
      directory,
      ...given("shardKey", spec.shardKey),
      ...given("count", strategy === "none" && count === 1 ? null : count),
      ...given("splitPoints", spec.splitPoints?.map(rawKey) ?? null),
      ...given("partitioner", spec.partitioner),
      dependsOn: spec.dependsOn,
      policy: declarePolicy(spec.policy),
    },
  };
}

function declarePolicy({ windows, budgetRows, rowsPerSecondMax, ...plain }: Policy): object {
  return {
    ...plain,
    windows: windows.map(({ start, durationMs, timezone }) => ({
      start,
      duration: renderDuration(durationMs),
      timezone,
    })),
    ...(budgetRows === null ? {} : { budget: { rows: budgetRows } }),
    ...(rowsPerSecondMax === null ? {} : { rowsPerSecondMax }),
  };
}

function checkDuration(durationMs: number, index: number): DesiredFault[] {
  if (parseDuration(renderDuration(durationMs)) === durationMs) return [];
  const path = ["policy", "windows", index, "durationMs"];
  return [{ path, message: "must be whole seconds, from 1000 to 604800000 (7 days)" }];
}

const INTEGER = /^-?(?:0|[1-9]\d{0,18})$/u;
const HEX = /^(?:[0-9A-F]{2})*$/u;

function checkKey({ type, text }: Key, index: number): DesiredFault[] {
  const isKey =
    (type === "integer" && INTEGER.test(text)) ||
    (type === "real" && text.trim() === text && text !== "" && !Number.isNaN(Number(text))) ||
    (type === "blob" && HEX.test(text)) ||
    type === "text";
  return isKey ? [] : [{ path: ["splitPoints", index], message: `is no key of type ${type}` }];
}

function rawKey({ type, text }: Key): unknown {
  switch (type) {
    case "integer":
      return BigInt(text);
    case "real":
      return Number(text);
    case "blob":
      return { blob: text };
    case "text":
    case "null":
      return text;
  }
}

/** The field of a spec behind a path of its document. */
function fieldPath([head, ...rest]: readonly PropertyKey[]): readonly PropertyKey[] {
  if (head !== "spec" && head !== "metadata") return [];
  const [option, second, third, last, ...below] = rest;
  if (option !== "policy") return rest;
  if (second === "budget") return ["policy", "budgetRows"];
  return last === "duration" ? ["policy", "windows", third ?? 0, "durationMs", ...below] : rest;
}
