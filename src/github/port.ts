/**
 * The port to GitHub: one repository, as plain values. Everything above it is tested without a
 * network, and what only plans takes `GithubReader`, so that "a plan writes nothing" is checked by
 * the compiler.
 *
 * Shas are 40 lower-case hex digits. Times are milliseconds since the Unix epoch. Text from GitHub
 * is hostile: whoever shows it, escapes it.
 */
import type { Result } from "../model/result.ts";

export type GithubFailureKind =
  | "unauthenticated" // the token is unknown or expired
  | "forbidden" // a permission is missing; the message names it
  | "notFound"
  | "invalid" // 422
  | "conflict" // 409
  | "rateLimited" // primary or secondary; `retryAt` says until when
  | "unreachable"; // no answer, or 5xx after the retries

export interface GithubFailure {
  readonly kind: GithubFailureKind;
  /** The request, GitHub's answer, and the next step. Never holds a credential. */
  readonly message: string;
  readonly retryAt: number | null;
}

export type GithubResult<Value> = Result<Value, GithubFailure>;

export interface GithubRepository {
  readonly owner: string;
  readonly name: string;
}

export interface CommitRef {
  readonly sha: string;
  readonly treeSha: string;
}

/** `merged` implies closed. */
export interface Pull {
  readonly number: number;
  readonly state: "open" | "closed" | "merged";
  readonly title: string;
  readonly author: string;
  readonly headSha: string;
  /** Name of the branch, without `refs/heads/`. */
  readonly baseRef: string;
  readonly mergeCommitSha: string | null;
  /** True when the head lies in another repository, or that one is gone. */
  readonly isFork: boolean;
  readonly url: string;
}

export interface TreeFile {
  /** Path from the root of the repository, with `/`. */
  readonly path: string;
  readonly blobSha: string;
  readonly bytes: number;
  /** True for a symbolic link: its blob holds the path that it points to. */
  readonly isLink: boolean;
}

export interface Comment {
  readonly id: number;
  readonly author: string;
  readonly body: string;
  readonly url: string;
}

export interface Issue {
  readonly number: number;
  readonly state: "open" | "closed";
  readonly title: string;
  readonly body: string;
  readonly author: string;
  readonly url: string;
}

export type Permission = "none" | "read" | "write" | "admin";

export interface Annotation {
  readonly path: string;
  readonly line: number;
  /** 1-based; null marks the whole line. */
  readonly column: number | null;
  readonly level: "notice" | "warning" | "failure";
  readonly title: string;
  readonly message: string;
}

export type CheckConclusion = "success" | "failure" | "neutral" | "action_required" | "cancelled";

/**
 * A check run as a whole; the client sends its annotations in batches. `conclusion` null: still in
 * progress.
 */
export interface Check {
  readonly name: string;
  readonly headSha: string;
  /** Tells our runs on one commit apart, such as environment and fingerprint. */
  readonly externalId: string;
  readonly conclusion: CheckConclusion | null;
  readonly title: string;
  readonly summary: string;
  readonly text: string;
  readonly annotations: readonly Annotation[];
  readonly detailsUrl: string | null;
}

export interface CheckRef {
  readonly id: number;
  readonly externalId: string;
  readonly headSha: string;
  readonly conclusion: CheckConclusion | null;
  readonly title: string;
  readonly summary: string;
  readonly text: string;
  readonly annotationCount: number;
}

/** Remainder of the primary limit, as of the last answer; null before the first. */
export interface RateBudget {
  readonly limit: number;
  readonly remaining: number;
  readonly resetsAt: number;
}

export interface GithubReader {
  readonly repository: GithubRepository;
  /** Login under which this client writes, such as `github-actions[bot]`. */
  login(): Promise<GithubResult<string>>;
  /** The head of a branch. Free of the rate limit while it has not moved. */
  branchHead(branch: string): Promise<GithubResult<CommitRef>>;
  commit(sha: string): Promise<GithubResult<CommitRef>>;
  /**
   * All files below a folder (`.` for all) of a commit's tree; an absent folder has none. Refuses a
   * tree that GitHub truncates.
   */
  files(commit: CommitRef, folder: string): Promise<GithubResult<readonly TreeFile[]>>;
  /** One file of a commit's tree by its path; null when there is none, or a folder. */
  file(commit: CommitRef, path: string): Promise<GithubResult<TreeFile | null>>;
  /**
   * The bytes of one file. Contents are addressed by their hash: callers may keep them for ever.
   */
  blob(blobSha: string): Promise<GithubResult<Uint8Array>>;
  pull(number: number): Promise<GithubResult<Pull>>;
  /** Open pull requests into a branch, oldest first. */
  openPulls(baseRef: string): Promise<GithubResult<readonly Pull[]>>;
  /**
   * Paths that a pull request touches, old names included. `isComplete` is false beyond GitHub's
   * 3,000.
   */
  pullFiles(
    number: number,
  ): Promise<GithubResult<{ readonly paths: readonly string[]; readonly isComplete: boolean }>>;
  /** Pull requests that a commit belongs to, merged ones first. */
  pullsOfCommit(sha: string): Promise<GithubResult<readonly Pull[]>>;
  /** Own comments whose first line is exactly the marker, oldest first. */
  commentsWith(pull: number, marker: string): Promise<GithubResult<readonly Comment[]>>;
  /** Own issues whose body's first line is exactly the marker, oldest first, open or closed. */
  issuesWith(marker: string): Promise<GithubResult<readonly Issue[]>>;
  /**
   * Own check runs of one name on a commit, newest first. Empty for a credential that cannot create
   * any.
   */
  checks(headSha: string, name: string): Promise<GithubResult<readonly CheckRef[]>>;
  /** Annotations that a check run shows, in the order in which they were sent. */
  checkAnnotations(id: number): Promise<GithubResult<readonly Annotation[]>>;
  permissionOf(login: string): Promise<GithubResult<Permission>>;
  rateBudget(): RateBudget | null;
}

export interface GithubWriter extends GithubReader {
  createComment(pull: number, body: string): Promise<GithubResult<Comment>>;
  updateComment(id: number, body: string): Promise<GithubResult<Comment>>;
  deleteComment(id: number): Promise<GithubResult<null>>;
  /** Creates the run, and adds annotations 50 at a time. */
  createCheck(check: Check): Promise<GithubResult<CheckRef>>;
  /** Replaces what is shown; existing annotations stay, since GitHub only appends. */
  updateCheck(id: number, check: Check): Promise<GithubResult<CheckRef>>;
  createIssue(issue: {
    readonly title: string;
    readonly body: string;
    readonly labels: readonly string[];
  }): Promise<GithubResult<Issue>>;
  updateIssue(
    number: number,
    change: { readonly title?: string; readonly body?: string; readonly state?: "open" | "closed" },
  ): Promise<GithubResult<Issue>>;
  commentOnIssue(number: number, body: string): Promise<GithubResult<Comment>>;
  reactTo(
    commentId: number,
    reaction: "+1" | "-1" | "eyes" | "rocket" | "confused",
  ): Promise<GithubResult<null>>;
}
