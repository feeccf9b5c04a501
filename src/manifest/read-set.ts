/**
 * Reads manifests together with their config: one question and one answer, both plain data, so that
 * they can be read elsewhere than they are used.
 */
import type { DesiredState } from "../model/spec.ts";
import type { ManifestError, ManifestFile } from "./manifest-error.ts";
import { parseConfig } from "./parse-config.ts";
import { type ParseOptions, parseManifests } from "./parse-manifests.ts";

export interface SetRequest extends Pick<ParseOptions, "environment" | "commit" | "strangers"> {
  readonly files: readonly ManifestFile[];
  /** Null without one: any environment may be overridden. */
  readonly config: ManifestFile | null;
}

export interface ReadSet {
  /** Null when a manifest has an error. */
  readonly desired: DesiredState | null;
  /** Of the manifests, sorted. */
  readonly errors: readonly ManifestError[];
  readonly configErrors: readonly ManifestError[];
}

/** Reads a set, here or elsewhere. @throws NoAnswer when the place that reads did not answer. */
export type SetReader = (request: SetRequest) => Promise<ReadSet>;

/** The object that reads died, or could not be reached: what it was given may be the reason. */
export class NoAnswer extends Error {
  override readonly name = "NoAnswer";
}

export function readSet({ files, config, ...options }: SetRequest): ReadSet {
  const parsed = config === null ? null : parseConfig(config);
  const known = Object.keys(parsed?.config?.environments ?? {});
  const { desired, errors } = parseManifests(files, {
    ...options,
    ...(known.length === 0 ? {} : { knownEnvironments: known }),
  });
  return { desired, errors, configErrors: parsed?.errors ?? [] };
}
