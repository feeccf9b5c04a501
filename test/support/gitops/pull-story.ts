/**
 * A repository with manifests, the Worker that its workflows talk to, and the workflows' steps as
 * commands: what tests and demos of whole flows are made of. GitHub is the strict fake, the Worker
 * runs on the real local runtime.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { type CliRun, runHere, spawnCli } from "../../cli/support/run-cli.ts";
import {
  type ActionsEvent,
  type ActionsOptions,
  type ActionsRun,
  type Comment,
  type FakeGitHub,
  type Pull,
  type Repository,
  startFakeGitHub,
} from "../github/index.ts";
import { type LocalWorker, startLocalWorker } from "./local-worker.ts";

export const ENVIRONMENT = "production";
const THINGS_BATCH = 1000;

export interface StoryOptions {
  /** Author of comments and checks. Default `workflow`. */
  readonly posts?: "worker" | "workflow";
  /** Files of the default branch besides `shardctl.yaml`. */
  readonly files?: Readonly<Record<string, string>>;
}

/** One step of a workflow: how it ended, and what it left for later steps. */
export interface StepRun extends CliRun {
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
  readonly actions: ActionsRun;
}

export class PullStory implements AsyncDisposable {
  readonly github: FakeGitHub;
  readonly worker: LocalWorker;
  readonly repo: Repository;
  readonly #folder: string;
  readonly #token: string;
  #runs = 0;

  private constructor(
    github: FakeGitHub,
    worker: LocalWorker,
    repo: Repository,
    folder: string,
    token: string,
  ) {
    this.github = github;
    this.worker = worker;
    this.repo = repo;
    this.#folder = folder;
    this.#token = token;
  }

  static async start({ posts = "workflow", files = {} }: StoryOptions = {}): Promise<PullStory> {
    const github = await startFakeGitHub();
    const token = randomBytes(32).toString("hex");
    const repo = github.createRepo({ owner: "acme", name: "data", private: true, files });
    const workerToken = github.createActionsToken(repo, {
      contents: "read",
      pull_requests: "write",
      checks: "write",
      issues: "write",
    });
    try {
      const worker = await startLocalWorker({
        main: "pull-worker.ts",
        objects: { ORDERS: "ThingsObject", SHARDCTL: "Reconciler" },
        variables: {
          REPOSITORY: "acme/data",
          REPOSITORY_ID: String(repo.id),
          OWNER_ID: String(repo.owner.id),
          API_URL: github.url,
          OIDC_ISSUER: github.oidc.issuer,
          POSTS: posts,
          ...(posts === "worker"
            ? { GITHUB_TOKEN: workerToken.value, GITHUB_WEBHOOK_SECRET: "a-secret-of-the-story" }
            : {}),
          SHARDCTL_TOKENS: JSON.stringify([
            {
              name: "story",
              role: "apply",
              sha256: createHash("sha256").update(token).digest("hex"),
            },
          ]),
        },
      });
      const config = `apiVersion: shardctl.dev/v1\nkind: Config\nenvironments:\n  ${ENVIRONMENT}: { endpoint: "${worker.endpoint}" }\n`;
      github.commit(repo, { files: { "shardctl.yaml": config } });
      if (posts === "worker")
        github.webhooks.deliverTo({
          url: `${worker.endpoint}/github/webhook`,
          secret: "a-secret-of-the-story",
        });
      return new PullStory(
        github,
        worker,
        repo,
        await mkdtemp(join(tmpdir(), "shardctl-story-")),
        token,
      );
    } catch (error) {
      await github[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
    await this.github[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  /**
   * Asks the Worker as a person with a token does. @throws Error for anything but a good answer.
   */
  async ask<Value>(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body?: unknown,
  ): Promise<Value> {
    const response = await fetch(`${this.worker.endpoint}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`${method} ${path}: ${response.status} ${text}\n${this.worker.log()}`);
    return JSON.parse(text) as Value;
  }

  /** Puts things into a namespace, with ids `order-0`, `order-1`, … from `first` on. */
  async putThings(namespace: string, count: number, first = 0): Promise<void> {
    for (let start = first; start < first + count; start += THINGS_BATCH) {
      const things = Array.from(
        { length: Math.min(THINGS_BATCH, first + count - start) },
        (_, index) => ({
          id: `order-${start + index}`,
          type: "Order",
          data: { customer: { id: `c${(start + index) % 97}` }, total: start + index },
        }),
      );
      await this.ask("POST", `/data/ORDERS/${namespace}/things`, things);
    }
  }

  /** The step of `plan.yml`. */
  plan(pull: Pull, options: Partial<ActionsOptions> = {}): Promise<StepRun> {
    return this.runStep(
      "plan",
      { kind: "pull_request", pull },
      { workflow: "plan.yml", ...options },
    );
  }

  /** The step of `apply.yml` after a push to the default branch. */
  apply(options: Partial<ActionsOptions> = {}): Promise<StepRun> {
    return this.runStep("apply", { kind: "push", repo: this.repo }, { ...APPLY, ...options });
  }

  /** The step of `apply.yml` after a comment. */
  applyComment(comment: Comment, options: Partial<ActionsOptions> = {}): Promise<StepRun> {
    return this.runStep(
      "apply",
      { kind: "issue_comment", repo: this.repo, comment },
      { ...APPLY, ...options },
    );
  }

  /** The step of `apply.yml` on a runner that is lost as soon as the step has said a text. */
  async applyAndLoseRunner(text: string): Promise<void> {
    const { workspace, actions } = await this.#prepareStep(
      { kind: "push", repo: this.repo },
      APPLY,
    );
    const child = spawnCli(["apply", "--github"], { cwd: workspace, env: actions.env });
    await child.waitFor(text);
    child.process.kill("SIGKILL");
    await child.ended;
  }

  /** Checks out what the event is about, and runs the command there as the workflow would. */
  async runStep(
    command: "plan" | "apply",
    event: ActionsEvent,
    options: Partial<ActionsOptions>,
  ): Promise<StepRun> {
    const { workspace, actions } = await this.#prepareStep(event, options);
    const run = await runHere([command, "--github"], { cwd: workspace, env: actions.env });
    return {
      ...run,
      outputs: await actions.readOutputs(),
      summary: await actions.readSummary(),
      actions,
    };
  }

  async #prepareStep(
    event: ActionsEvent,
    options: Partial<ActionsOptions>,
  ): Promise<{ readonly workspace: string; readonly actions: ActionsRun }> {
    const folder = join(this.#folder, `run-${++this.#runs}`);
    const actions = await this.github.actionsEnv(event, {
      directory: join(folder, "runner"),
      hasIdToken: true,
      ...options,
    });
    const workspace = await this.checkOut(
      actions.env["GITHUB_SHA"] ?? "",
      join(folder, "workspace"),
    );
    return { workspace, actions };
  }

  async checkOut(sha: string, folder: string): Promise<string> {
    const { objects } = this.repo;
    for (const [path, blob] of objects.flatten(objects.commit(sha).tree)) {
      const target = join(folder, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, objects.readBlob(blob) ?? "");
    }
    return folder;
  }

  /** The bodies of the pull request's comments, without their markers. */
  commentsOf(pull: Pull): string[] {
    return this.github.comments(pull).map(({ body }) => body.replace(/^(<!-- .* -->\n)+\n?/, ""));
  }
}

const APPLY = { workflow: "apply.yml", environment: ENVIRONMENT } as const;

/** A manifest of things sharded by hash. */
export function manifestOf(name: string, count: number, shardKey = "id", extra = ""): string {
  return `apiVersion: shardctl.dev/v1
kind: Namespace
metadata: { name: ${name} }
spec:
  object: ORDERS
  strategy: hash
  shardKey: ${shardKey}
  count: ${count}
${extra}`;
}
