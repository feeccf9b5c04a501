/**
 * One repository on GitHub in memory, behind the port: for tests of what the Worker does with it,
 * in workerd. What GitHub itself refuses is tested against the fake server.
 */
import { failure, success } from "../../src/model/result.ts";
import { firstLine } from "../../src/github/read-own.ts";
import type {
  Check,
  CheckRef,
  Comment,
  CommitRef,
  GithubFailure,
  GithubResult,
  GithubWriter,
  Issue,
  Permission,
  Pull,
} from "../../src/github/port.ts";

type Files = ReadonlyMap<string, string>;
type Call = keyof GithubWriter;

export interface NewPull {
  readonly files: Readonly<Record<string, string | null>>;
  readonly isFork?: boolean;
  readonly baseRef?: string;
}

interface StoredPull extends Pull {
  /** The default branch when it was opened. */
  readonly baseSha: string;
  readonly touched: readonly string[];
}

const LOGIN = "shardctl[bot]";

export class MemoryGithub implements GithubWriter {
  readonly repository = { owner: "acme", name: "shop" };
  readonly issues: Issue[] = [];
  readonly comments: (Comment & { readonly pull: number })[] = [];
  readonly checkRuns: (Check & { readonly id: number })[] = [];
  readonly reactions: { readonly commentId: number; readonly reaction: string }[] = [];
  readonly permissions = new Map<string, Permission>();
  /** Calls in order. */
  readonly journal: Call[] = [];
  /** Calls that fail, by name, until taken out. */
  readonly failing = new Map<Call, GithubFailure>();
  /** Runs before each call of that name. */
  readonly before = new Map<Call, () => void | Promise<void>>();
  readonly #commits = new Map<string, Files>();
  readonly #blobs = new Map<string, string>();
  readonly #pulls = new Map<number, StoredPull>();
  #serial = 0;
  #main = "";

  constructor() {
    this.pushMain({});
  }

  /** Makes it a new repository again. */
  clear(): void {
    for (const list of [this.issues, this.comments, this.checkRuns, this.reactions, this.journal])
      list.length = 0;
    const maps = [
      this.permissions,
      this.failing,
      this.before,
      this.#commits,
      this.#blobs,
      this.#pulls,
    ];
    for (const map of maps) map.clear();
    this.#serial = 0;
    this.#main = "";
    this.pushMain({});
  }

  /** Every write that was asked for. */
  writes(): Call[] {
    return this.journal.filter((call) => /^(create|update|delete|react|commentOn)/.test(call));
  }

  /** Puts files on the default branch; null takes one away. */
  pushMain(changes: Readonly<Record<string, string | null>>): string {
    this.#main = this.#commit(this.#commits.get(this.#main) ?? new Map(), changes);
    return this.#main;
  }

  openPull(number: number, { files, isFork = false, baseRef = "main" }: NewPull): Pull {
    const headSha = this.#commit(this.#commits.get(this.#main) ?? new Map(), files);
    const pull: Pull = {
      number,
      state: "open",
      title: `Pull request ${number}`,
      author: "octocat",
      headSha,
      baseRef,
      mergeCommitSha: null,
      isFork,
      url: `https://github.com/acme/shop/pull/${number}`,
    };
    this.#pulls.set(number, { ...pull, baseSha: this.#main, touched: Object.keys(files) });
    return pull;
  }

  /** A force-push: the head is another commit now. */
  pushPull(number: number, files: NewPull["files"]): string {
    const pull = this.#known(number);
    const headSha = this.#commit(this.#commits.get(pull.baseSha) ?? new Map(), files);
    this.#pulls.set(number, { ...pull, headSha, touched: Object.keys(files) });
    return headSha;
  }

  closePull(number: number): void {
    this.#pulls.set(number, { ...this.#known(number), state: "closed" });
  }

  mergePull(number: number): void {
    const pull = this.#known(number);
    const files = this.#commits.get(pull.headSha) ?? new Map<string, string>();
    const mergeCommitSha = this.pushMain(
      Object.fromEntries(pull.touched.map((path) => [path, files.get(path) ?? null])),
    );
    this.#pulls.set(number, { ...pull, state: "merged", mergeCommitSha });
  }

  /** A merged pull request of that number, unless there is one already. */
  ensureMerged(number: number): void {
    if (this.#pulls.has(number)) return;
    this.openPull(number, { files: {} });
    this.mergePull(number);
  }

  login = (): Promise<GithubResult<string>> => this.#answer("login", () => LOGIN);
  branchHead = (branch: string): Promise<GithubResult<CommitRef>> =>
    this.#answer("branchHead", () => (branch === "main" ? this.#ref(this.#main) : null));
  commit = (sha: string): Promise<GithubResult<CommitRef>> =>
    this.#answer("commit", () => this.#ref(sha));
  files: GithubWriter["files"] = (commit, folder) =>
    this.#answer("files", () =>
      this.#list(commit.sha).filter(({ path }) => path.startsWith(`${folder}/`)),
    );
  file: GithubWriter["file"] = (commit, path) =>
    this.#answer("file", () => ({
      found: this.#list(commit.sha).find((file) => file.path === path) ?? null,
    })).then((read) => (read.ok ? success(read.value.found) : read));
  blob = (blobSha: string): Promise<GithubResult<Uint8Array>> =>
    this.#answer("blob", () => new TextEncoder().encode(this.#blobs.get(blobSha)));
  pull = (number: number): Promise<GithubResult<Pull>> =>
    this.#answer("pull", () => this.#pulls.get(number) ?? null);
  openPulls = (baseRef: string): Promise<GithubResult<readonly Pull[]>> =>
    this.#answer("openPulls", () =>
      [...this.#pulls.values()].filter((pull) => pull.state === "open" && pull.baseRef === baseRef),
    );
  pullFiles: GithubWriter["pullFiles"] = (number) =>
    this.#answer("pullFiles", () => ({ paths: this.#known(number).touched, isComplete: true }));
  pullsOfCommit = (sha: string): Promise<GithubResult<readonly Pull[]>> =>
    this.#answer("pullsOfCommit", () =>
      [...this.#pulls.values()].filter(({ mergeCommitSha }) => mergeCommitSha === sha),
    );
  commentsWith = (pull: number, marker: string): Promise<GithubResult<readonly Comment[]>> =>
    this.#answer("commentsWith", () =>
      this.comments.filter(
        (comment) =>
          comment.pull === pull && comment.author === LOGIN && firstLine(comment.body) === marker,
      ),
    );
  issuesWith = (marker: string): Promise<GithubResult<readonly Issue[]>> =>
    this.#answer("issuesWith", () =>
      this.issues.filter(({ body }) => firstLine(body) === marker).map((issue) => ({ ...issue })),
    );
  checks = (headSha: string, name: string): Promise<GithubResult<readonly CheckRef[]>> =>
    this.#answer("checks", () =>
      this.checkRuns
        .filter((check) => check.headSha === headSha && check.name === name)
        .map((check) => ({ ...check, annotationCount: check.annotations.length }))
        .toReversed(),
    );
  checkAnnotations: GithubWriter["checkAnnotations"] = (id) =>
    this.#answer(
      "checkAnnotations",
      () => this.checkRuns.find((check) => check.id === id)?.annotations ?? null,
    );
  permissionOf = (login: string): Promise<GithubResult<Permission>> =>
    this.#answer("permissionOf", () => this.permissions.get(login) ?? "read");
  rateBudget = (): null => null;
  createComment = (pull: number, body: string): Promise<GithubResult<Comment>> =>
    this.#answer("createComment", () => this.addComment(pull, LOGIN, body));
  updateComment = (id: number, body: string): Promise<GithubResult<Comment>> =>
    this.#answer("updateComment", () => {
      const at = this.comments.findIndex((comment) => comment.id === id);
      const old = this.comments[at];
      if (!old) return null;
      this.comments[at] = { ...old, body };
      return { ...old, body };
    });
  deleteComment: GithubWriter["deleteComment"] = (id) =>
    this.#answer("deleteComment", () => ({
      removed: this.comments.splice(
        this.comments.findIndex((c) => c.id === id),
        1,
      ),
    })).then((done) => (done.ok ? success(null) : done));
  createCheck = (check: Check): Promise<GithubResult<CheckRef>> =>
    this.#answer("createCheck", () => {
      const run = { ...check, id: ++this.#serial };
      this.checkRuns.push(run);
      return { ...run, annotationCount: run.annotations.length };
    });
  updateCheck = (id: number, check: Check): Promise<GithubResult<CheckRef>> =>
    this.#answer("updateCheck", () => {
      const at = this.checkRuns.findIndex((run) => run.id === id);
      const old = this.checkRuns[at];
      if (!old) return null;
      const run = { ...check, id, annotations: [...old.annotations, ...check.annotations] };
      this.checkRuns[at] = run;
      return { ...run, annotationCount: run.annotations.length };
    });
  createIssue = ({
    title,
    body,
  }: {
    readonly title: string;
    readonly body: string;
  }): Promise<GithubResult<Issue>> =>
    this.#answer<Issue>("createIssue", () => {
      const number = 1000 + this.issues.length;
      const url = `https://github.com/acme/shop/issues/${number}`;
      this.issues.push({ number, state: "open", title, body, author: LOGIN, url });
      return this.issues.at(-1) ?? null;
    });
  updateIssue = (
    number: number,
    change: Partial<Pick<Issue, "title" | "body" | "state">>,
  ): Promise<GithubResult<Issue>> =>
    this.#answer<Issue>("updateIssue", () => {
      const at = this.issues.findIndex((issue) => issue.number === number);
      const issue = this.issues[at];
      if (!issue) return null;
      this.issues[at] = { ...issue, ...change };
      return this.issues[at] ?? null;
    });
  commentOnIssue = (issue: number, body: string): Promise<GithubResult<Comment>> =>
    this.#answer<Comment>("commentOnIssue", () => this.addComment(issue, LOGIN, body));
  reactTo: GithubWriter["reactTo"] = (commentId, reaction) =>
    this.#answer("reactTo", () => this.reactions.push({ commentId, reaction })).then((done) =>
      done.ok ? success(null) : done,
    );

  /** A comment of anybody. */
  addComment(pull: number, author: string, body: string): Comment {
    const id = ++this.#serial;
    const comment = {
      id,
      author,
      body,
      url: `https://github.com/acme/shop/pull/${pull}#issuecomment-${id}`,
      pull,
    };
    this.comments.push(comment);
    return comment;
  }

  async #answer<Value>(call: Call, give: () => Value | null): Promise<GithubResult<Value>> {
    this.journal.push(call);
    await this.before.get(call)?.();
    const failed = this.failing.get(call);
    if (failed) return failure(failed);
    const value = give();
    return value === null
      ? failure({ kind: "notFound", message: `${call} found nothing`, retryAt: null })
      : success(value);
  }

  #commit(base: Files, changes: Readonly<Record<string, string | null>>): string {
    const files = new Map(base);
    for (const [path, text] of Object.entries(changes)) {
      if (text === null) files.delete(path);
      else files.set(path, text);
    }
    const sha = (++this.#serial).toString(16).padStart(40, "c");
    this.#commits.set(sha, files);
    return sha;
  }

  #ref(sha: string): CommitRef | null {
    return this.#commits.has(sha) ? { sha, treeSha: sha } : null;
  }

  #list(sha: string): { path: string; blobSha: string; bytes: number; isLink: boolean }[] {
    return [...(this.#commits.get(sha) ?? [])].map(([path, text]) => {
      const known = [...this.#blobs].find(([, content]) => content === text)?.[0];
      const blobSha = known ?? this.#blobs.size.toString(16).padStart(40, "b");
      this.#blobs.set(blobSha, text);
      return { path, blobSha, bytes: text.length, isLink: false };
    });
  }

  #known(number: number): StoredPull {
    const pull = this.#pulls.get(number);
    if (!pull) throw new Error(`There is no pull request ${number}`);
    return pull;
  }
}
