/**
 * Loads the desired state of one environment from manifests on disk, or every error of every file.
 */
import { resolve } from "node:path";

import type { DesiredState } from "../model/spec.ts";
import {
  type ManifestError,
  type ParsedManifests,
  formatErrors,
  parseManifests,
} from "../manifest/index.ts";
import { type CliResult, fail } from "./failure.ts";
import { findCommit } from "./git-commit.ts";
import type { Host } from "./host.ts";
import { readManifestFiles } from "./manifest-files.ts";
import type { Project } from "./project.ts";

export interface ParsedProject extends ParsedManifests {
  readonly fileCount: number;
}

/**
 * Reads and checks the manifests; errors in them fail the command. `paths` empty means those of the
 * config.
 */
export async function loadDesired(
  host: Host,
  project: Project,
  paths: readonly string[],
): Promise<CliResult<DesiredState>> {
  const parsed = await parseProject(host, project, paths);
  if (!parsed.ok) return parsed;
  const { desired, errors } = parsed.value;
  return desired === null ? failInvalid(errors) : { ok: true, value: desired };
}

function failInvalid(errors: readonly ManifestError[]): ReturnType<typeof fail> {
  const count = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  return fail(
    "manifests",
    `The manifests have ${count}.\n${formatErrors(errors, "text")}`,
    "Nothing was sent. Correct them; check with: shardctl validate",
    {
      errors,
    },
  );
}

/** The same, with the errors as part of the value. */
export async function parseProject(
  host: Host,
  project: Project,
  paths: readonly string[],
): Promise<CliResult<ParsedProject>> {
  const roots = paths.length === 0 ? project.manifests : paths;
  const files = await readManifestFiles(host.cwd, roots);
  if (!files.ok) return files;
  const first = roots[0];
  const commit =
    roots.length === 1 && first !== undefined ? await findCommit(resolve(host.cwd, first)) : null;
  const { environment, knownEnvironments } = project;
  const parsed = parseManifests(files.value, {
    environment,
    commit,
    ...(knownEnvironments === null ? {} : { knownEnvironments }),
  });
  return { ok: true, value: { ...parsed, fileCount: files.value.length } };
}
