/**
 * Converts GitHub's answers into the port's values. Unused fields are ignored; a missing field
 * makes the whole answer invalid.
 */
import * as z from "zod";

import type {
  CheckConclusion,
  CheckRef,
  Comment,
  CommitRef,
  Issue,
  Permission,
  Pull,
} from "./port.ts";

const sha = z.string().regex(/^[0-9a-f]{40}$/);
/** An account that was deleted is null; GitHub shows it as "ghost". */
const account = z
  .object({ login: z.string() })
  .nullish()
  .transform((value) => value?.login ?? "ghost");
const id = z.int().min(1);

/**
 * One schema for a pull request and for an item of a list of them: the latter has `merged_at` only.
 */
export const pullSchema: z.ZodType<Pull> = z
  .object({
    number: id,
    state: z.enum(["open", "closed"]),
    title: z.string(),
    user: account,
    merged_at: z.string().nullish(),
    merge_commit_sha: sha.nullish(),
    html_url: z.string(),
    head: z.object({ sha, repo: z.object({ id }).nullish() }),
    base: z.object({ ref: z.string(), repo: z.object({ id }) }),
  })
  .transform(
    ({ number, state, title, user, merged_at, merge_commit_sha, html_url, head, base }) => ({
      number,
      state: (merged_at ?? null) === null ? state : ("merged" as const),
      title,
      author: user,
      headSha: head.sha,
      baseRef: base.ref,
      mergeCommitSha: merge_commit_sha ?? null,
      isFork: head.repo?.id !== base.repo.id,
      url: html_url,
    }),
  );

export const pullsSchema: z.ZodType<readonly Pull[]> = z.array(pullSchema);

export const branchSchema: z.ZodType<CommitRef> = z
  .object({ commit: z.object({ sha, commit: z.object({ tree: z.object({ sha }) }) }) })
  .transform(({ commit }) => ({ sha: commit.sha, treeSha: commit.commit.tree.sha }));

export const commitSchema: z.ZodType<CommitRef> = z
  .object({ sha, tree: z.object({ sha }) })
  .transform((commit) => ({ sha: commit.sha, treeSha: commit.tree.sha }));

export interface Tree {
  readonly entries: readonly {
    readonly path: string;
    readonly mode: string;
    readonly type: string;
    readonly sha: string;
    readonly bytes: number;
  }[];
  readonly isTruncated: boolean;
}

export const treeSchema: z.ZodType<Tree> = z
  .object({
    tree: z.array(
      z.object({
        path: z.string(),
        mode: z.string(),
        type: z.string(),
        sha,
        size: z.number().optional(),
      }),
    ),
    truncated: z.boolean(),
  })
  .transform(({ tree, truncated }) => ({
    entries: tree.map(({ size, ...entry }) => ({ ...entry, bytes: size ?? 0 })),
    isTruncated: truncated,
  }));

export const blobSchema: z.ZodType<Uint8Array<ArrayBuffer>> = z
  .object({ content: z.string(), encoding: z.literal("base64") })
  .transform(({ content }) =>
    Uint8Array.from(atob(content.replace(/\s/g, "")), (char) => char.charCodeAt(0)),
  );

export const fileNamesSchema: z.ZodType<readonly (readonly string[])[]> = z.array(
  z
    .object({ filename: z.string(), previous_filename: z.string().optional() })
    .transform(({ filename, previous_filename }) =>
      previous_filename === undefined ? [filename] : [filename, previous_filename],
    ),
);

export const commentSchema: z.ZodType<Comment> = z
  .object({ id, user: account, body: z.string().nullish(), html_url: z.string() })
  .transform(({ id: number, user, body, html_url }) => ({
    id: number,
    author: user,
    body: body ?? "",
    url: html_url,
  }));

export const commentsSchema: z.ZodType<readonly Comment[]> = z.array(commentSchema);

export const issueSchema: z.ZodType<Issue> = z
  .object({
    number: id,
    state: z.enum(["open", "closed"]),
    title: z.string(),
    body: z.string().nullish(),
    user: account,
    html_url: z.string(),
  })
  .transform(({ number, state, title, body, user, html_url }) => ({
    number,
    state,
    title,
    body: body ?? "",
    author: user,
    url: html_url,
  }));

export const issuesSchema: z.ZodType<readonly Issue[]> = z.array(issueSchema);

const CONCLUSIONS: readonly string[] = [
  "success",
  "failure",
  "neutral",
  "action_required",
  "cancelled",
] satisfies CheckConclusion[];

/** A run as GitHub shows it, with the app that made it. */
export interface ShownCheck {
  readonly check: CheckRef;
  readonly app: string | null;
}

export const checkSchema: z.ZodType<ShownCheck> = z
  .object({
    id,
    head_sha: sha,
    external_id: z.string().nullish(),
    conclusion: z.string().nullish(),
    app: z.object({ slug: z.string().nullish() }).nullish(),
    output: z.object({
      title: z.string().nullish(),
      summary: z.string().nullish(),
      text: z.string().nullish(),
      annotations_count: z.number(),
    }),
  })
  .transform(({ id: number, head_sha, external_id, conclusion, app, output }) => ({
    check: {
      id: number,
      headSha: head_sha,
      externalId: external_id ?? "",
      // A conclusion that we never give, such as `stale` after 14 days, is none of ours.
      conclusion: CONCLUSIONS.includes(conclusion ?? "") ? (conclusion as CheckConclusion) : null,
      title: output.title ?? "",
      summary: output.summary ?? "",
      text: output.text ?? "",
      annotationCount: output.annotations_count,
    },
    app: app?.slug ?? null,
  }));

export const checksSchema: z.ZodType<readonly ShownCheck[]> = z
  .object({ check_runs: z.array(checkSchema) })
  .transform(({ check_runs }) => check_runs);

export const annotationsSchema = z.array(
  z
    .object({
      path: z.string(),
      start_line: z.int(),
      start_column: z.int().nullish(),
      annotation_level: z.enum(["notice", "warning", "failure"]),
      title: z.string().nullish(),
      message: z.string().nullish(),
    })
    .transform(({ path, start_line, start_column, annotation_level, title, message }) => ({
      path,
      line: start_line,
      column: start_column ?? null,
      level: annotation_level,
      title: title ?? "",
      message: message ?? "",
    })),
);

export const permissionSchema: z.ZodType<Permission> = z
  .object({ permission: z.string() })
  .transform(({ permission }) =>
    permission === "admin" || permission === "write" || permission === "read"
      ? permission
      : ("none" as const),
  );

export const userSchema = z.object({ login: z.string().min(1) }).transform(({ login }) => login);
export const appSchema = z
  .object({ slug: z.string().min(1) })
  .transform(({ slug }) => `${slug}[bot]`);
export const viewerSchema = z
  .object({ data: z.object({ viewer: z.object({ login: z.string().min(1) }) }) })
  .transform(({ data }) => data.viewer.login);

/** For answers without a body. */
export const nothingSchema: z.ZodType<null> = z.unknown().transform(() => null);
