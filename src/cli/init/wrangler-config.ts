/**
 * A wrangler config that already exists: found, read as far as it is JSON, and answered with what
 * must be added to it. It is never written: it is the user's, with comments and an order that a
 * program would lose.
 */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import * as z from "zod";

import {
  CRON,
  type ConfiguredBinding,
  bindingsOf,
  inlineJson,
  ownClassesOf,
} from "./worker-files.ts";
import { COORDINATOR_CLASS, type WorkerObject, type WorkerRequest } from "./worker-request.ts";

/** In the order in which wrangler looks for them. */
const CONFIG_NAMES = ["wrangler.json", "wrangler.jsonc", "wrangler.toml"] as const;
const TAG = "shardctl";

const configSchema = z.looseObject({
  main: z.string().optional(),
  durable_objects: z
    .looseObject({
      bindings: z.array(z.looseObject({ name: z.string(), class_name: z.string() })).default([]),
    })
    .default({ bindings: [] }),
  migrations: z
    .array(
      z.looseObject({
        tag: z.string(),
        new_classes: z.array(z.string()).default([]),
        new_sqlite_classes: z.array(z.string()).default([]),
      }),
    )
    .default([]),
  triggers: z.looseObject({ crons: z.array(z.string()).default([]) }).default({ crons: [] }),
});

export type WranglerConfig = z.infer<typeof configSchema>;

export interface FoundConfig {
  /** Relative to the working directory. */
  readonly path: string;
  /** Null when it is TOML, or JSON that cannot be read. */
  readonly config: WranglerConfig | null;
}

/**
 * Entries that a config lacks. A class that has rows in another kind of storage is a warning: no
 * addition can mend it.
 */
export interface Additions {
  readonly bindings: readonly ConfiguredBinding[];
  readonly migration: {
    readonly tag: string;
    readonly new_sqlite_classes: readonly string[];
  } | null;
  readonly crons: readonly string[];
  readonly warnings: readonly string[];
}

/** The config that wrangler would take in this folder, or null. */
export async function findWranglerConfig(cwd: string, folder: string): Promise<FoundConfig | null> {
  for (const name of CONFIG_NAMES) {
    const path = join(folder, name);
    const text = await readIfThere(resolve(cwd, path));
    if (text !== null) return { path, config: name.endsWith(".toml") ? null : readConfig(text) };
  }
  return null;
}

/** The classes that a config binds, but for the coordinator. */
export function objectsOf(config: WranglerConfig | null): readonly WorkerObject[] {
  const bound = config?.durable_objects.bindings ?? [];
  return bound
    .filter(({ class_name }) => class_name !== COORDINATOR_CLASS)
    .map(({ name, class_name }) => ({ binding: name, className: class_name }));
}

/**
 * Reads JSON with comments and trailing commas; null when it is not that, or no wrangler config.
 */
export function readConfig(text: string): WranglerConfig | null {
  // A string comes first in each pattern, so that what looks like a comment inside one stays.
  const bare = text
    .replaceAll(
      /("(?:\\.|[^"\\])*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
      (_, quoted?: string) => quoted ?? " ",
    )
    .replaceAll(/("(?:\\.|[^"\\])*")|,(?=\s*[}\]])/g, (_, quoted?: string) => quoted ?? "");
  try {
    return configSchema.safeParse(JSON.parse(bare)).data ?? null;
  } catch {
    // wrangler will say where it is wrong; here it only means that nothing is known about it.
    return null;
  }
}

/** @param config Null: nothing is known, so everything is listed. */
export function findAdditions(request: WorkerRequest, config: WranglerConfig | null): Additions {
  const bound = config?.durable_objects.bindings ?? [];
  const migrations = config?.migrations ?? [];
  const stored = new Set(
    migrations.flatMap((migration) => [...migration.new_sqlite_classes, ...migration.new_classes]),
  );
  const classes = ownClassesOf(request).filter((name) => !stored.has(name));
  const tags = new Set(migrations.map(({ tag }) => tag));
  let number = 1;
  while (tags.has(`${TAG}-${number}`)) number++;
  const unfit = new Set(migrations.flatMap((migration) => migration.new_classes));
  return {
    bindings: bindingsOf(request).filter(
      ({ name }) => !bound.some((binding) => binding.name === name),
    ),
    migration:
      classes.length === 0 ? null : { tag: `${TAG}-${number}`, new_sqlite_classes: classes },
    crons: config?.triggers.crons.includes(CRON) === true ? [] : [CRON],
    warnings: ownClassesOf(request)
      .filter((name) => unfit.has(name))
      .map(
        (name) =>
          `${name} was created by new_classes, so it has no SQLite: its rows cannot be sharded.`,
      ),
  };
}

/** The additions as lines for people, in the form of the config; null when nothing is missing. */
export function describeAdditions(
  { bindings, migration, crons }: Additions,
  path: string,
): string | null {
  if (bindings.length === 0 && migration === null && crons.length === 0) return null;
  return path.endsWith(".toml")
    ? tomlLines(bindings, migration, crons)
    : jsonLines(bindings, migration, crons);
}

function jsonLines(
  bindings: Additions["bindings"],
  migration: Additions["migration"],
  crons: Additions["crons"],
): string {
  return [
    ...bindings.map((binding) => `  to durable_objects.bindings:  ${inlineJson(binding)}`),
    ...(migration === null ? [] : [`  to migrations, at the end:    ${inlineJson(migration)}`]),
    ...crons.map((cron) => `  to triggers.crons:            ${inlineJson(cron)}`),
  ].join("\n");
}

function tomlLines(
  bindings: Additions["bindings"],
  migration: Additions["migration"],
  crons: Additions["crons"],
): string {
  const fields = (record: object): string[] =>
    Object.entries(record).map(([name, value]) => `  ${name} = ${inlineJson(value)}`);
  return [
    ...bindings.flatMap((binding) => ["  [[durable_objects.bindings]]", ...fields(binding), ""]),
    ...(migration === null ? [] : ["  [[migrations]]", ...fields(migration), ""]),
    ...(crons.length === 0 ? [] : ["  [triggers]", `  crons = ${inlineJson(crons)}`]),
  ]
    .join("\n")
    .trimEnd();
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
