/**
 * A strict fake GitHub for tests: the REST API, webhooks, Apps and the OIDC issuer of Actions on
 * 127.0.0.1, with GitHub's limits and refusals.
 *
 *         await using github = await startFakeGitHub();                       // or: { now, limits, treeEntriesMax }
 *         const repo = github.createRepo({ owner: "acme", name: "data", private: true, files: { "manifests/orders.yaml": "…" } });
 *         const pull = github.openPull(repo, { head: "more-shards", title: "12 shards", files: { "manifests/orders.yaml": "…" } });
 *         const token = github.createActionsToken(repo, { contents: "read", pull_requests: "write", checks: "write" }).value;
 *     new Octokit({ auth: token, baseUrl: github.url });
 *
 *     State     createUser(login) · createRepo({owner, name, private?, files?, defaultBranch?, id?, createdAtMs?}) ·
 *               deleteRepo(repo) · commit(repo, {branch?, files, message?, author?}) → sha · addCollaborator(repo, login, role)
 *     Pulls     openPull(repo, {head, title, files?, base?, body?, author?, fork?, draft?}) · push(pull, files, {isForced?, message?, author?}) → sha ·
 *               mergePull(pull, {method?, by?}) → sha · closePull(pull) · enqueue(pull) → {ref, sha} · landQueue(pull) → sha
 *     Talk      commentAs(login, pull | issue, body) · editCommentAs(login, comment, body) · deleteComment(comment) · createIssueAs(login, repo, {title, …}) ·
 *               comments(pull | issue) · checkRuns(repo, sha?) · issues(repo)
 *     Tokens    createActionsToken(repo, permissions) · createUserToken(login, {permissions?, repositories?}) · createApp({slug, permissions}) ·
 *               installApp(app, owner, {repositories?}): each a Token, its text is `.value`
 *     Actions   actionsEnv({kind: "pull_request", pull} | {kind: "push", repo} | {kind: "merge_group", pull} | {kind: "issue_comment", repo, comment},
 *               {directory, workflow?, environment?, permissions?, hasIdToken?}) → {env, payload, token, oidcJob, readSummary(), readOutputs()}
 *     OIDC      oidc.issuer · oidc.mintOidcToken(job, {claims?, audience?, alg?: "none", key?: "unknown" | "retired"}) · oidc.rotateKeys()
 *     Webhooks webhooks.deliverTo({url, secret}) · webhooks.settled() · webhooks.last(event) ·
 * webhooks.redeliver(id) · webhooks.sign(event, body, {secret})
 *     Trouble   faults.failNext({method?, path?, status: 503 | "reset" | "hang" | "lostAnswer", times?, headers?, body?}) · faults.down ·
 *               faults.before(method, path, hook) · faults.after(…) · limits.exhaust(durationMs) · limits.settings
 *     Journal   journal.requests · journal.writes · journal.unknown (assert it empty) · journal.find(method, path)
 *
 * `files` map a path to its content, to `{ linkTo }`, to `{ submodule }`, or to null to remove it.
 * Pages for people (`html_url`) are on github.com, so golden files do not depend on the port. Time
 * is `now`, the real one unless given; ids count up from 1,000,001. Public repositories are
 * readable without a permission, as on GitHub: test missing ones on private ones.
 */
import type { Files } from "./git-objects.ts";
import {
  actionsEnv,
  type ActionsEvent,
  type ActionsOptions,
  type ActionsRun,
} from "./actions-env.ts";
import { Faults } from "./faults.ts";
import { createComment, createIssue, deleteComment, updateComment } from "./issue-changes.ts";
import { Journal } from "./journal.ts";
import { Limits, type LimitSettings } from "./limits.ts";
import { Oidc } from "./oidc.ts";
import {
  enqueuePull,
  landQueue,
  mergePull,
  moveRef,
  openPull,
  setPullState,
  writeCommit,
  type MergeMethod,
} from "./pull-changes.ts";
import { appRoutes } from "./routes/apps.ts";
import { checkRoutes, checkRunsOf } from "./routes/checks.ts";
import { commentRoutes } from "./routes/comments.ts";
import { gitRoutes } from "./routes/git.ts";
import { graphqlRoutes } from "./routes/graphql.ts";
import { issueRoutes } from "./routes/issues.ts";
import { pullRoutes } from "./routes/pulls.ts";
import { repoRoutes } from "./routes/repos.ts";
import { buildServer, listen } from "./server.ts";
import {
  State,
  commentsOf,
  fullName,
  type Account,
  type App,
  type CheckRun,
  type Comment,
  type Installation,
  type Issue,
  type Permissions,
  type Pull,
  type Repository,
  type Role,
  type Token,
} from "./state.ts";
import { createActionsToken, createToken, generateAppKeys } from "./tokens.ts";
import { Webhooks } from "./webhooks.ts";
import type { FakeParts } from "./world.ts";
import { GitObjects } from "./git-objects.ts";

export type { ActionsEvent, ActionsOptions, ActionsRun } from "./actions-env.ts";
export type { OidcJob, MintOptions } from "./oidc.ts";
export type {
  Account,
  App,
  CheckRun,
  Comment,
  Installation,
  Issue,
  Permissions,
  Pull,
  Repository,
  Role,
  Token,
} from "./state.ts";

export interface FakeGitHubOptions {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly limits?: Partial<LimitSettings>;
  /** Entries of a recursive tree above which GitHub says `truncated`; 100,000 when missing. */
  readonly treeEntriesMax?: number;
  readonly port?: number;
}

export interface CommitOptions {
  readonly branch?: string;
  readonly files: Files;
  readonly message?: string;
  readonly author?: string;
}

export interface PullOptions {
  /** Branch; made from the base with `files` on top when it does not exist yet. */
  readonly head: string;
  readonly title: string;
  readonly files?: Files;
  readonly base?: string;
  readonly body?: string;
  /** Login; the fork's owner, or a collaborator called `octocat`, when missing. */
  readonly author?: string;
  /** Login of the owner of a fork that the pull request comes from; forked when it is not yet. */
  readonly fork?: string;
  readonly draft?: boolean;
}

const DEFAULT_AUTHOR = "octocat";
const TREE_ENTRIES_MAX = 100_000;

/** Starts a fake with no repositories. @throws Error when the port is taken. */
export async function startFakeGitHub(options: FakeGitHubOptions = {}): Promise<FakeGitHub> {
  const github = new FakeGitHub(options);
  await github.start();
  return github;
}

export class FakeGitHub implements AsyncDisposable {
  readonly state: State;
  readonly limits: Limits;
  readonly faults = new Faults();
  readonly journal = new Journal();
  readonly webhooks: Webhooks;
  readonly oidc: Oidc;
  readonly world: FakeParts;
  readonly #options: FakeGitHubOptions;
  readonly #server: ReturnType<typeof buildServer>;
  #url = "";

  constructor(options: FakeGitHubOptions) {
    const now = options.now ?? Date.now;
    this.#options = options;
    this.state = new State(now);
    this.limits = new Limits(now, options.limits ?? {});
    this.webhooks = new Webhooks(() => this.world);
    this.oidc = new Oidc(now, () => this.#url);
    const address = () => this.#url;
    this.world = {
      state: this.state,
      get api() {
        return address();
      },
      emit: (event) => this.webhooks.emit(event),
    };
    this.#server = buildServer({
      world: this.world,
      faults: this.faults,
      limits: this.limits,
      journal: this.journal,
      // In this order: hono takes the first that fits, and paths of checks begin like those of
      // commits.
      routes: [
        ...appRoutes,
        ...repoRoutes,
        ...graphqlRoutes,
        ...checkRoutes,
        ...commentRoutes,
        ...issueRoutes,
        ...pullRoutes,
        ...gitRoutes(options.treeEntriesMax ?? TREE_ENTRIES_MAX),
      ],
      sidePaths: (request) => this.oidc.handle(request),
    });
  }

  /** Address of the REST API, for `baseUrl` and GITHUB_API_URL; without a slash at its end. */
  get url(): string {
    return this.#url;
  }

  async start(): Promise<void> {
    this.#url = await listen(this.#server, this.#options.port ?? 0);
  }

  /** Ends every connection, hanging ones too. */
  async stop(): Promise<void> {
    await this.webhooks.stop();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  createUser(login: string, id = this.state.newId()): Account {
    const account: Account = { id, login, type: "User" };
    this.state.addAccount(account);
    return account;
  }

  /**
   * A repository with a first commit of its files (a README when there are none). An unknown owner
   * becomes an organization.
   */
  createRepo(fields: {
    readonly owner: string;
    readonly name: string;
    readonly private?: boolean;
    readonly files?: Files;
    readonly defaultBranch?: string;
    readonly id?: number;
    /** Decides whether `sub` of its OIDC tokens carries ids. */
    readonly createdAtMs?: number;
  }): Repository {
    const owner = this.state.account(fields.owner, "Organization");
    const repo = this.#newRepository(owner, fields.name, new GitObjects(), null, fields);
    const files = fields.files ?? { "README.md": `# ${fields.name}\n` };
    this.commit(repo, { files, message: "Initial commit", author: owner.login });
    return repo;
  }

  /** A fork with the same branches; it shares the objects of its parent. */
  #createFork(repo: Repository, login: string): Repository {
    const known = this.state.findRepository(login, repo.name);
    if (known) return known;
    const fork = this.#newRepository(this.state.account(login), repo.name, repo.objects, repo, {
      private: repo.private,
      defaultBranch: repo.defaultBranch,
    });
    for (const [ref, sha] of repo.refs) if (ref.startsWith("refs/heads/")) fork.refs.set(ref, sha);
    return fork;
  }

  /**
   * Takes a repository away, as its owner can: a pull request from a deleted fork has no head
   * repository.
   */
  deleteRepo(repo: Repository): void {
    this.state.removeRepository(repo);
  }

  /** A commit on a branch, made from the default branch when there is none. Gives its SHA. */
  commit(repo: Repository, options: CommitOptions): string {
    const ref = `refs/heads/${options.branch ?? repo.defaultBranch}`;
    const parent = repo.refs.get(ref) ?? repo.refs.get(`refs/heads/${repo.defaultBranch}`) ?? null;
    const author = this.state.account(options.author ?? DEFAULT_AUTHOR);
    const fields = { files: options.files, message: options.message ?? "Change files", author };
    const { sha } = writeCommit(this.world, repo, parent, fields);
    moveRef(this.world, repo, ref, sha, author);
    return sha;
  }

  addCollaborator(repo: Repository, login: string, role: Role): Account {
    const account = this.state.account(login);
    repo.collaborators.set(login.toLowerCase(), role);
    return account;
  }

  openPull(repo: Repository, options: PullOptions): Pull {
    const headRepo = options.fork === undefined ? repo : this.#createFork(repo, options.fork);
    const login = options.author ?? options.fork ?? DEFAULT_AUTHOR;
    const author = this.state.account(login);
    if (options.fork === undefined && !repo.collaborators.has(login.toLowerCase()))
      this.addCollaborator(repo, login, "write");
    const base = options.base ?? repo.defaultBranch;
    const baseSha = repo.refs.get(`refs/heads/${base}`);
    const ref = `refs/heads/${options.head}`;
    if (!headRepo.refs.has(ref) && baseSha !== undefined) {
      const fields = {
        files: options.files ?? { "CHANGES.md": `${options.head}\n` },
        message: options.title,
        author,
      };
      moveRef(
        this.world,
        headRepo,
        ref,
        writeCommit(this.world, headRepo, baseSha, fields).sha,
        author,
      );
    } else if (options.files)
      this.commit(headRepo, { branch: options.head, files: options.files, author: login });
    return openPull(this.world, repo, {
      headRepo,
      head: options.head,
      base,
      title: options.title,
      body: options.body ?? null,
      author,
      app: null,
      draft: options.draft ?? false,
    });
  }

  /**
   * Pushes to the pull request's branch. Forced, the new commit replaces what the branch had. Gives
   * the new head.
   */
  push(
    pull: Pull,
    files: Files,
    options: {
      readonly isForced?: boolean;
      readonly message?: string;
      readonly author?: string;
    } = {},
  ): string {
    const author =
      options.author === undefined ? pull.issue.author : this.state.account(options.author);
    const parent = options.isForced
      ? (pull.repo.objects.mergeBase(pull.base.sha, pull.head.sha) ?? pull.base.sha)
      : pull.head.sha;
    const { sha } = writeCommit(this.world, pull.head.repo, parent, {
      files,
      message: options.message ?? "Change files",
      author,
    });
    moveRef(this.world, pull.head.repo, `refs/heads/${pull.head.ref}`, sha, author);
    return sha;
  }

  /**
   * Merges (by squash when missing). Gives the commit on the base branch. @throws Error on a
   * conflict.
   */
  mergePull(
    pull: Pull,
    options: { readonly method?: MergeMethod; readonly by?: string } = {},
  ): string {
    const by = options.by === undefined ? pull.issue.author : this.state.account(options.by);
    const sha = mergePull(this.world, pull, options.method ?? "squash", by);
    if (sha === null)
      throw new Error(`Pull request ${pull.number} conflicts with ${pull.base.ref}`);
    return sha;
  }

  closePull(pull: Pull, by?: string): void {
    setPullState(
      this.world,
      pull,
      "closed",
      by === undefined ? pull.issue.author : this.state.account(by),
    );
  }

  /** Puts a pull request in the merge queue; `merge_group` is sent. */
  enqueue(pull: Pull): { readonly ref: string; readonly sha: string; readonly baseSha: string } {
    return enqueuePull(this.world, pull, pull.issue.author);
  }

  /**
   * Lands the queue up to the pull request with one push. Gives the new head of the base branch.
   */
  landQueue(pull: Pull): string {
    return landQueue(this.world, pull, pull.issue.author);
  }

  commentAs(login: string, on: Pull | Issue, body: string): Comment {
    const { repo, issue } = this.#placeOf(on);
    return createComment(this.world, repo, issue, {
      author: this.state.account(login),
      app: null,
      body,
    });
  }

  editCommentAs(login: string, comment: Comment, body: string): void {
    updateComment(
      this.world,
      this.#placeOf(comment.issue).repo,
      comment,
      body,
      this.state.account(login),
    );
  }

  /** As a person with push access does by hand. */
  deleteComment(comment: Comment, by = DEFAULT_AUTHOR): void {
    deleteComment(this.world, this.#placeOf(comment.issue).repo, comment, this.state.account(by));
  }

  createIssueAs(
    login: string,
    repo: Repository,
    fields: { readonly title: string; readonly body?: string; readonly labels?: readonly string[] },
  ): Issue {
    const { title, body = null, labels = [] } = fields;
    return createIssue(this.world, repo, {
      author: this.state.account(login),
      app: null,
      title,
      body,
      labels,
    });
  }

  comments(on: Pull | Issue): Comment[] {
    const { repo, issue } = this.#placeOf(on);
    return commentsOf(issue, repo);
  }

  /** In the order in which they were made. */
  checkRuns(repo: Repository, sha: string | null = null): CheckRun[] {
    return checkRunsOf(repo, sha);
  }

  /** Without pull requests. */
  issues(repo: Repository): Issue[] {
    return [...repo.issues.values()].filter((issue) => issue.pull === null);
  }

  /** A token as the runner makes it for a job. */
  createActionsToken(repo: Repository, permissions: Permissions, isFromFork = false): Token {
    return createActionsToken(this.state, repo, permissions, isFromFork);
  }

  /** With permissions a fine-grained token, without them a classic one. */
  createUserToken(
    login: string,
    options: {
      readonly permissions?: Permissions;
      readonly repositories?: readonly Repository[];
    } = {},
  ): Token {
    const account = this.state.account(login);
    const kind = options.permissions === undefined ? "classic" : "fineGrained";
    return createToken(this.state, {
      kind,
      account,
      permissions: options.permissions ?? {},
      repositories: options.repositories ?? null,
    });
  }

  async createApp(fields: {
    readonly slug: string;
    readonly permissions: Permissions;
    readonly owner?: string;
    readonly events?: readonly string[];
  }): Promise<App> {
    const keys = await generateAppKeys();
    const id = this.state.newId();
    const app: App = {
      id,
      slug: fields.slug,
      name: fields.slug,
      clientId: `Iv23li${id}`,
      owner: this.state.account(fields.owner ?? DEFAULT_AUTHOR),
      bot: this.state.account(`${fields.slug}[bot]`, "Bot"),
      permissions: fields.permissions,
      events: fields.events ?? ["pull_request", "push", "issue_comment"],
      createdAtMs: this.state.now(),
      keys,
    };
    this.state.apps.push(app);
    return app;
  }

  installApp(
    app: App,
    owner: string,
    options: {
      readonly permissions?: Permissions;
      readonly repositories?: readonly Repository[];
    } = {},
  ): Installation {
    const installation: Installation = {
      id: this.state.newId(),
      app,
      account: this.state.account(owner, "Organization"),
      permissions: options.permissions ?? app.permissions,
      repositories: options.repositories ?? null,
      createdAtMs: this.state.now(),
    };
    this.state.installations.push(installation);
    return installation;
  }

  actionsEnv(event: ActionsEvent, options: ActionsOptions): Promise<ActionsRun> {
    return actionsEnv(this.world, this.oidc, event, options);
  }

  #newRepository(
    owner: Account,
    name: string,
    objects: GitObjects,
    parent: Repository | null,
    fields: {
      readonly private?: boolean;
      readonly defaultBranch?: string;
      readonly id?: number;
      readonly createdAtMs?: number;
    },
  ): Repository {
    const now = this.state.now();
    const repo: Repository = {
      id: fields.id ?? this.state.newId(),
      owner,
      name,
      parent,
      objects,
      createdAtMs: fields.createdAtMs ?? now,
      refs: new Map(),
      issues: new Map(),
      comments: new Map(),
      labels: new Map(),
      checkRuns: new Map(),
      collaborators: new Map(),
      mergeQueue: [],
      isDeleted: false,
      private: fields.private ?? false,
      defaultBranch: fields.defaultBranch ?? "main",
      nextNumber: 1,
      pushedAtMs: now,
    };
    if (this.state.findRepository(owner.login, name)) throw new Error(`${fullName(repo)} exists`);
    this.state.addRepository(repo);
    return repo;
  }

  #placeOf(on: Pull | Issue): { readonly repo: Repository; readonly issue: Issue } {
    if ("issue" in on) return { repo: on.repo, issue: on.issue };
    const repo = [...this.state.repositories.values()].find(
      (one) => one.issues.get(on.number) === on,
    );
    if (!repo) throw new Error(`Issue ${on.number} is in no repository`);
    return { repo, issue: on };
  }
}
