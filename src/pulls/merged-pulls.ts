/**
 * Asks GitHub whether a pull request is merged, for an apply job that names one: the plan that an
 * open one has shown cannot be applied yet.
 */
import type { GithubReader } from "../github/port.ts";
import type { GithubSettings } from "../github/settings.ts";

/** `unknown`: this Worker has no credentials, so nobody can be asked. */
export type MergeAnswer =
  | { readonly kind: "merged" | "unknown" }
  | { readonly kind: "not" | "failed"; readonly message: string };

/** The calls about what is merged. */
export interface MergeCalls {
  check(pull: number): Promise<MergeAnswer>;
}

export interface MergedPullsParts {
  readonly settings: () => GithubSettings | null;
  /** Null without credentials. */
  readonly github: () => GithubReader | null;
}

export class MergedPulls implements MergeCalls {
  readonly #parts: MergedPullsParts;

  constructor(parts: MergedPullsParts) {
    this.#parts = parts;
  }

  async check(pull: number): Promise<MergeAnswer> {
    const settings = this.#parts.settings();
    const github = this.#parts.github();
    if (settings === null || github === null) return { kind: "unknown" };
    const found = await github.pull(pull);
    if (!found.ok) {
      const { kind, message } = found.failure;
      return kind === "notFound"
        ? { kind: "not", message: `there is no pull request #${pull}` }
        : { kind: "failed", message };
    }
    const { state, baseRef } = found.value;
    if (state !== "merged") return { kind: "not", message: `pull request #${pull} is ${state}` };
    return baseRef === settings.defaultBranch
      ? { kind: "merged" }
      : { kind: "not", message: `pull request #${pull} was merged into ${baseRef}` };
  }
}
