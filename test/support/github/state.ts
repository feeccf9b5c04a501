/**
 * Stores the state of the fake GitHub: accounts, apps, tokens, repositories and the records that
 * belong to them. Plain records and the lookups over them.
 *
 * Only the scripting helpers and the routes change it. Ids come from one counter, so two runs of
 * the same script give the same ids.
 */
import type { GitObjects, FileChange } from "./git-objects.ts";

export type Access = "read" | "write";
export type Scope =
  | "contents"
  | "pull_requests"
  | "checks"
  | "issues"
  | "metadata"
  | "actions"
  | "statuses"
  | "deployments";
export type Permissions = Readonly<Partial<Record<Scope, Access>>>;
export type Role = "admin" | "maintain" | "write" | "triage" | "read" | "none";

export interface Account {
  readonly id: number;
  readonly login: string;
  readonly type: "User" | "Organization" | "Bot";
}

export interface App {
  readonly id: number;
  readonly slug: string;
  readonly name: string;
  readonly clientId: string;
  readonly owner: Account;
  readonly bot: Account;
  readonly permissions: Permissions;
  readonly events: readonly string[];
  readonly createdAtMs: number;
  /**
   * PEM, PKCS#8 and PKCS#1 forms of the same key, and the public key; `null` for the app behind
   * GITHUB_TOKEN.
   */
  readonly keys: {
    readonly pkcs8: string;
    readonly pkcs1: string;
    readonly publicPem: string;
  } | null;
}

export interface Installation {
  readonly id: number;
  readonly app: App;
  readonly account: Account;
  readonly permissions: Permissions;
  /** `null`: all repositories of the account. */
  readonly repositories: readonly Repository[] | null;
  readonly createdAtMs: number;
}

/**
 * `classic` is a personal access token with the scope `repo`; `fineGrained` one with permissions.
 */
export type TokenKind = "installation" | "actions" | "fineGrained" | "classic";

export interface Token {
  readonly value: string;
  readonly kind: TokenKind;
  readonly account: Account;
  readonly app: App | null;
  readonly permissions: Permissions;
  /** `null`: every repository that the account can reach. */
  readonly repositories: readonly Repository[] | null;
  readonly expiresAtMs: number | null;
}

export interface Label {
  readonly id: number;
  readonly name: string;
  readonly color: string;
  readonly description: string | null;
}

export interface Issue {
  readonly id: number;
  readonly number: number;
  readonly author: Account;
  readonly app: App | null;
  readonly createdAtMs: number;
  title: string;
  body: string | null;
  labels: string[];
  state: "open" | "closed";
  stateReason: "completed" | "not_planned" | "reopened" | "duplicate" | null;
  updatedAtMs: number;
  closedAtMs: number | null;
  closedBy: Account | null;
  /** Set for a pull request, which is an issue with the same number. */
  readonly pull: Pull | null;
}

export interface Pull {
  readonly id: number;
  readonly number: number;
  readonly repo: Repository;
  readonly issue: Issue;
  readonly head: { readonly repo: Repository; readonly ref: string; sha: string };
  readonly base: { ref: string; sha: string };
  draft: boolean;
  mergedAtMs: number | null;
  mergedBy: Account | null;
  /** The test merge while open, the merge on the base branch when merged. */
  mergeCommitSha: string | null;
  mergeable: boolean;
}

export interface Comment {
  readonly id: number;
  readonly issue: Issue;
  readonly author: Account;
  readonly app: App | null;
  readonly createdAtMs: number;
  body: string;
  updatedAtMs: number;
  /** Every body it ever had, oldest first: on GitHub an edit hides nothing. */
  readonly bodies: string[];
  readonly reactions: {
    readonly id: number;
    readonly account: Account;
    readonly content: string;
    readonly createdAtMs: number;
  }[];
}

export interface Annotation {
  readonly path: string;
  readonly start_line: number;
  readonly end_line: number;
  readonly start_column: number | null;
  readonly end_column: number | null;
  readonly annotation_level: "notice" | "warning" | "failure";
  readonly title: string | null;
  readonly message: string;
  readonly raw_details: string | null;
}

export type CheckStatus = "queued" | "in_progress" | "completed";
export type CheckConclusion =
  | "success"
  | "failure"
  | "neutral"
  | "cancelled"
  | "skipped"
  | "timed_out"
  | "action_required";

export interface CheckRun {
  readonly id: number;
  readonly suiteId: number;
  readonly headSha: string;
  readonly app: App;
  name: string;
  detailsUrl: string | null;
  externalId: string | null;
  status: CheckStatus;
  conclusion: CheckConclusion | null;
  startedAtMs: number;
  completedAtMs: number | null;
  title: string | null;
  summary: string | null;
  text: string | null;
  readonly annotations: Annotation[];
  actions: readonly {
    readonly label: string;
    readonly description: string;
    readonly identifier: string;
  }[];
}

export interface Repository {
  readonly id: number;
  readonly owner: Account;
  readonly name: string;
  readonly parent: Repository | null;
  readonly createdAtMs: number;
  readonly objects: GitObjects;
  /** Full ref name to commit SHA. */
  readonly refs: Map<string, string>;
  readonly issues: Map<number, Issue>;
  readonly comments: Map<number, Comment>;
  readonly labels: Map<string, Label>;
  readonly checkRuns: Map<number, CheckRun>;
  readonly collaborators: Map<string, Role>;
  readonly mergeQueue: {
    readonly pull: Pull;
    readonly ref: string;
    readonly sha: string;
    readonly baseSha: string;
  }[];
  isDeleted: boolean;
  private: boolean;
  defaultBranch: string;
  nextNumber: number;
  pushedAtMs: number;
}

/** The app behind every GITHUB_TOKEN, with the ids it has on github.com. */
const ACTIONS_APP_ID = 15_368;
const ACTIONS_BOT_ID = 41_898_282;
const FIRST_ID = 1_000_001;

export class State {
  readonly accounts = new Map<string, Account>();
  readonly repositories = new Map<string, Repository>();
  readonly apps: App[] = [];
  readonly installations: Installation[] = [];
  readonly tokens = new Map<string, Token>();
  readonly actionsApp: App;
  readonly now: () => number;
  #nextId = FIRST_ID;

  constructor(now: () => number) {
    this.now = now;
    this.actionsApp = {
      id: ACTIONS_APP_ID,
      slug: "github-actions",
      name: "GitHub Actions",
      clientId: "Iv1.05c79e9ad1f6bdfa",
      owner: { id: 9919, login: "github", type: "Organization" },
      bot: { id: ACTIONS_BOT_ID, login: "github-actions[bot]", type: "Bot" },
      permissions: {
        contents: "write",
        checks: "write",
        issues: "write",
        pull_requests: "write",
        metadata: "read",
      },
      events: [],
      createdAtMs: Date.UTC(2018, 6, 30, 9, 30, 17),
      keys: null,
    };
    this.apps.push(this.actionsApp);
    this.accounts.set("github-actions[bot]", this.actionsApp.bot);
  }

  newId(): number {
    return this.#nextId++;
  }

  /** The account with this login, made as a user if there is none yet. */
  account(login: string, type: Account["type"] = "User"): Account {
    const known = this.accounts.get(login.toLowerCase());
    if (known) return known;
    const made: Account = { id: this.newId(), login, type };
    this.addAccount(made);
    return made;
  }

  addAccount(account: Account): void {
    this.accounts.set(account.login.toLowerCase(), account);
  }

  findRepository(owner: string, name: string): Repository | null {
    return this.repositories.get(`${owner}/${name}`.toLowerCase()) ?? null;
  }

  removeRepository(repo: Repository): void {
    repo.isDeleted = true;
    this.repositories.delete(fullName(repo).toLowerCase());
  }

  addRepository(repo: Repository): void {
    this.repositories.set(fullName(repo).toLowerCase(), repo);
  }
}

export function fullName(repo: Repository): string {
  return `${repo.owner.login}/${repo.name}`;
}

export function pullsOf(repo: Repository): Pull[] {
  return [...repo.issues.values()].flatMap((issue) => issue.pull ?? []);
}

export function commentsOf(issue: Issue, repo: Repository): Comment[] {
  return [...repo.comments.values()].filter((comment) => comment.issue === issue);
}

/** The commit that a branch, tag, full ref or SHA means; `null` when there is none. */
export function resolveRef(repo: Repository, name: string): string | null {
  for (const ref of [name, `refs/${name}`, `refs/heads/${name}`, `refs/tags/${name}`]) {
    const sha = ref.startsWith("refs/") ? repo.refs.get(ref) : undefined;
    if (sha !== undefined) return sha;
  }
  return repo.objects.findCommit(name)?.sha ?? null;
}

/** Returns an account's role in a repository. Everybody may read a public one. */
export function roleOf(repo: Repository, account: Account): Role {
  if (repo.owner.login === account.login) return "admin";
  return repo.collaborators.get(account.login.toLowerCase()) ?? (repo.private ? "none" : "read");
}

export function mayPush(role: Role): boolean {
  return role === "admin" || role === "maintain" || role === "write";
}

/** The changes that a pull request shows; after a merge too, since its two SHAs stay. */
export function changesOf(pull: Pull): readonly FileChange[] {
  return pull.repo.objects.diffSinceMergeBase(pull.base.sha, pull.head.sha);
}

export function commitsOf(pull: Pull): readonly string[] {
  return pull.repo.objects.commitsBetween(pull.base.sha, pull.head.sha).map((commit) => commit.sha);
}
