/**
 * Checks the options that a Worker is given by its entry file, and settles what they leave out.
 *
 * `createReconciler` takes functions of `env`, so nothing can be checked before the first request:
 * `readSettings` checks once per `env`, and a wrong option is a refusal that names it, never a
 * default in its place. It repeats no value: some are secrets.
 */
import * as z from "zod";

import { policySchema } from "../manifest/namespace-schema.ts";
import { buildFloors, type PolicyLimits } from "../manifest/read-floors.ts";
import { failure, success, type Result } from "../model/result.ts";
import { checkPrivateKey, type GithubCredentials } from "../github/client.ts";
import type { RequireRole } from "./access/authorize.ts";
import type { Api } from "./context.ts";
import type { ObjectBindings } from "./objects.ts";
import type { AccessSettings } from "./access/access-verifier.ts";
import type { Settings } from "./settings.ts";
import type { GithubSettings } from "../github/settings.ts";

export interface ReconcilerOptions<Env extends object> {
  /** The bindings whose classes hold namespaces, by the name that manifests use. */
  readonly objects: (env: Env) => ObjectBindings;
  /** The binding of the `Reconciler` class. */
  readonly coordinator: (env: Env) => DurableObjectNamespace;
  /** The list of tokens. Default: `env.SHARDCTL_TOKENS`. */
  readonly tokens?: (env: Env) => string | undefined;
  /**
   * The repository with the manifests. Without it the Worker accepts no workflow tokens and no
   * webhooks, and reconciles nothing.
   */
  readonly github?: (env: Env) => GithubOptions | undefined;
  /** Where alerts go besides the issue. Default: `{ webhookUrl: env.ALERT_WEBHOOK_URL }`. */
  readonly alerts?: (env: Env) => AlertOptions | undefined;
  /**
   * Lets people who come through Cloudflare Access see the status page. Without it they sign in
   * with a token.
   */
  readonly access?: (env: Env) => CloudflareAccessOptions | undefined;
  /**
   * Limits for the policies of all namespaces, in the words of `spec.policy`, such as
   * `{ maxSkew: 2, budget: { rows: 5_000_000 }, selfHeal: "alert" }`. A manifest may only be
   * stricter: where it is looser, or says nothing, the limit holds. Of windows here and there both
   * must be open. Default: none.
   */
  readonly guards?: PolicyLimits;
  /**
   * True allows every request without a token, on loopback addresses only: for development. Default
   * false.
   */
  readonly allowAnonymous?: boolean;
  /** More routes of the same Worker. */
  readonly extend?: (api: Api, requireRole: RequireRole) => void;
}

export interface GithubOptions {
  /** `owner/name`. */
  readonly repository: string;
  /** GitHub's numeric ids of the repository and its owner. Names can be taken over; ids cannot. */
  readonly repositoryId: number | string;
  readonly ownerId: number | string;
  /** The environment of the manifests that this Worker holds. */
  readonly environment: string;
  /** Folder of the manifests, from the root of the repository. Default `manifests`. */
  readonly manifests?: string;
  /** Default `main`. */
  readonly defaultBranch?: string;
  /**
   * Default: `env.GITHUB_APP_ID` with `env.GITHUB_APP_PRIVATE_KEY`, else `env.GITHUB_TOKEN`, else
   * none.
   */
  readonly credentials?: GithubCredentials;
  /** Default: `env.GITHUB_WEBHOOK_SECRET`. Without one every webhook is refused. */
  readonly webhookSecret?: string;
  /** Address of the REST API. Default `https://api.github.com`. */
  readonly apiUrl?: string;
  /** Claims that tokens of workflows must carry. */
  readonly oidc?: OidcOptions;
  /**
   * True shows counts of live rows in pull requests from forks, whose authors are not trusted.
   * Default false.
   */
  readonly showForkCounts?: boolean;
  /**
   * False leaves comments and checks to the workflow, even if the Worker has credentials. Default
   * true.
   */
  readonly post?: boolean;
  /**
   * Says who starts what was reviewed and merged. `workflow`: the apply job alone, so that rules
   * of its GitHub environment hold; the Worker then resumes runs, heals what manifests allow, and
   * starts what an apply job was given and had to leave waiting. `worker`: its tick, too. Default
   * `workflow`, since a Worker with a repository takes tokens of its workflows.
   */
  readonly apply?: "workflow" | "worker";
}

export interface OidcOptions {
  /**
   * The `aud` that a workflow requests its token for. Default: the origin under which the Worker
   * was called.
   */
  readonly audience?: string;
  /**
   * Default `https://token.actions.githubusercontent.com`; another one is for GitHub Enterprise
   * Server.
   */
  readonly issuer?: string;
  /** Default: `<issuer>/.well-known/jwks`. */
  readonly jwksUrl?: string;
  /** The only ref that may apply. Default `refs/heads/<default branch>`. */
  readonly applyRef?: string;
  /**
   * The only GitHub environment that may apply: the job's `environment:`. Default: the name of the
   * manifests' environment.
   */
  readonly applyEnvironment?: string;
  /**
   * The only workflow file that may apply, such as `.github/workflows/apply.yml`. Default: any on
   * `applyRef`.
   */
  readonly applyWorkflow?: string;
}

export interface AlertOptions {
  /** A Slack-compatible address. */
  readonly webhookUrl?: string;
}

export interface CloudflareAccessOptions {
  /** The team's name, such as `acme`, or its domain, such as `acme.cloudflareaccess.com`. */
  readonly team: string;
  /** The Application Audience (AUD) Tag of the application that covers this Worker. */
  readonly audience: string;
}

const DEFAULT_API_URL = "https://api.github.com";
const DEFAULT_ISSUER = "https://token.actions.githubusercontent.com";
const DEFAULT_BRANCH = "main";
const DEFAULT_MANIFESTS = "manifests";

/** Defaults that are read from `env` where the entry file says nothing. */
interface DefaultEnv {
  readonly GITHUB_TOKEN?: unknown;
  readonly GITHUB_APP_ID?: unknown;
  readonly GITHUB_APP_PRIVATE_KEY?: unknown;
  readonly GITHUB_WEBHOOK_SECRET?: unknown;
  readonly ALERT_WEBHOOK_URL?: unknown;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

const text = z.string().min(1).max(1024);
const NUMERIC_ID = "must be GitHub's numeric id";
const id = z
  .union([z.int().min(1), z.string().regex(/^[1-9]\d{0,18}$/, NUMERIC_ID)], { error: NUMERIC_ID })
  .transform(String);
// A credential must not travel in the clear; a test's server is on this machine.
const address = z
  .url({ error: "must be an address" })
  .refine(
    (value) => isSafeAddress(value),
    "must be an https address (http on a loopback address only)",
  );
const ref = text.regex(/^refs\/(heads|tags)\/\S+$/, "must be a full ref, such as refs/heads/main");

const githubSchema = z.strictObject({
  repository: z.string().regex(/^[\w.-]+\/[\w.-]+$/, "must be owner/name"),
  repositoryId: id,
  ownerId: id,
  environment: text,
  manifests: z
    .string()
    .regex(
      /^(?!\/)(?!(.*\/)?\.\.(\/|$))[^\\\p{Cc}]*$/u,
      "must be a folder of the repository, such as manifests",
    )
    .exactOptional(),
  defaultBranch: text.regex(/^\S+$/, "must be the name of a branch").exactOptional(),
  credentials: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("token"), token: text }),
      z.strictObject({
        kind: z.literal("app"),
        appId: id,
        privateKey: z.string().refine((key) => checkPrivateKey(key) === null, {
          error: (issue) => checkPrivateKey(String(issue.input)) ?? "",
        }),
        installationId: id.exactOptional(),
      }),
    ])
    .exactOptional(),
  webhookSecret: z.string().min(16, "must have 16 characters or more").max(1024).exactOptional(),
  apiUrl: address.exactOptional(),
  oidc: z
    .strictObject({
      audience: text.exactOptional(),
      issuer: address.exactOptional(),
      jwksUrl: address.exactOptional(),
      applyRef: ref.exactOptional(),
      applyEnvironment: text.exactOptional(),
      applyWorkflow: text
        .regex(
          /^\.github\/workflows\/[^/@]+\.ya?ml$/,
          "must be a path such as .github/workflows/apply.yml",
        )
        .exactOptional(),
    })
    .exactOptional(),
  showForkCounts: z.boolean().exactOptional(),
  post: z.boolean().exactOptional(),
  apply: z.enum(["workflow", "worker"]).exactOptional(),
});

const accessSchema = z
  .strictObject({
    team: z
      .string()
      .regex(
        /^(https:\/\/)?[a-z0-9-]+(\.cloudflareaccess\.com)?\/?$/i,
        "must be the team's name, or <team>.cloudflareaccess.com",
      ),
    audience: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, "must be the application's AUD tag, 64 hex digits"),
  })
  .optional();

const guardsSchema = policySchema.optional();

const alertsSchema = z.strictObject({ webhookUrl: address.exactOptional() });

type CheckedOptions<Env extends object> = Pick<
  ReconcilerOptions<Env>,
  "github" | "alerts" | "access" | "guards"
>;

export type ReadSettings<Env extends object> = (env: Env) => Result<Settings, string>;

/**
 * Reads the options of an `env`: checked once for each, since a Worker is given the same one with
 * every request.
 */
export function createSettingsReader<Env extends object>(
  options: CheckedOptions<Env>,
): ReadSettings<Env> {
  const known = new WeakMap<Env, Result<Settings, string>>();
  return (env) => {
    const found = known.get(env) ?? readSettings(options, env);
    known.set(env, found);
    return found;
  };
}

function readSettings<Env extends object>(
  options: CheckedOptions<Env>,
  env: Env,
): Result<Settings, string> {
  const parsed = parseOptions(options, env);
  const { github, alerts, access, guards } = parsed;
  if (!github.success || !alerts.success || !access.success || !guards.success) {
    const listed = Object.entries(parsed)
      .flatMap(([root, { error }]) => error?.issues.map((issue) => ({ root, issue })) ?? [])
      .map(({ root, issue }) => `${[root, ...issue.path].join(".")}: ${issue.message}`)
      .join("; ");
    return failure(
      `This Worker is misconfigured. Correct the options of createReconciler, or the variables behind them: ${listed}.`,
    );
  }
  return success({
    github: github.data === undefined ? null : settleGithub(github.data),
    alertWebhookUrl: alerts.data.webhookUrl ?? null,
    access: access.data === undefined ? null : settleAccess(access.data),
    guards: guards.data === undefined ? {} : buildFloors(guards.data),
  });
}

function parseOptions<Env extends object>(options: CheckedOptions<Env>, env: Env) {
  const defaults = env as DefaultEnv;
  const given = options.github?.(env);
  return {
    access: accessSchema.safeParse(options.access?.(env)),
    github: githubSchema
      .optional()
      .safeParse(given === undefined ? undefined : withDefaults(given, defaults)),
    guards: guardsSchema.safeParse(options.guards),
    alerts: alertsSchema.safeParse(
      options.alerts?.(env) ?? compact({ webhookUrl: textOf(defaults.ALERT_WEBHOOK_URL) }),
    ),
  };
}

/** The given options, and for what they leave out the variables of `env`. */
function withDefaults(given: GithubOptions, env: DefaultEnv): unknown {
  const appId = textOf(env.GITHUB_APP_ID);
  const privateKey = textOf(env.GITHUB_APP_PRIVATE_KEY);
  const token = textOf(env.GITHUB_TOKEN);
  const app =
    appId !== undefined && privateKey !== undefined
      ? { kind: "app", appId, privateKey }
      : undefined;
  const credentials = app ?? (token === undefined ? undefined : { kind: "token", token });
  return {
    ...compact({ credentials, webhookSecret: textOf(env.GITHUB_WEBHOOK_SECRET) }),
    ...compact(given),
  };
}

function settleGithub(options: z.infer<typeof githubSchema>): GithubSettings {
  const [owner = "", name = ""] = options.repository.split("/");
  const { oidc = {}, environment, defaultBranch = DEFAULT_BRANCH, credentials = null } = options;
  const issuer = (oidc.issuer ?? DEFAULT_ISSUER).replace(/\/+$/, "");
  return {
    repository: { owner, name },
    repositoryId: options.repositoryId,
    ownerId: options.ownerId,
    environment,
    manifests: folderOf(options.manifests ?? DEFAULT_MANIFESTS),
    defaultBranch,
    credentials,
    webhookSecret: options.webhookSecret ?? null,
    apiUrl: (options.apiUrl ?? DEFAULT_API_URL).replace(/\/+$/, ""),
    oidc: {
      audience: oidc.audience ?? null,
      issuer,
      jwksUrl: oidc.jwksUrl ?? `${issuer}/.well-known/jwks`,
      applyRef: oidc.applyRef ?? `refs/heads/${defaultBranch}`,
      applyEnvironment: oidc.applyEnvironment ?? environment,
      applyWorkflow: oidc.applyWorkflow ?? null,
    },
    showForkCounts: options.showForkCounts ?? false,
    posts: credentials !== null && options.post !== false,
    applies: options.apply ?? "workflow",
  };
}

function settleAccess({ team, audience }: CloudflareAccessOptions): AccessSettings {
  const name = team
    .toLowerCase()
    .replace(/^https:\/\//, "")
    .replace(/\/$/, "")
    .replace(/\.cloudflareaccess\.com$/, "");
  return { issuer: `https://${name}.cloudflareaccess.com`, audience };
}

function folderOf(path: string): string {
  const folder = path.replace(/^(\.\/)+/, "").replace(/\/+$/, "");
  return folder === "" ? "." : folder;
}

function isSafeAddress(value: string): boolean {
  if (!URL.canParse(value)) return false;
  const url = new URL(value);
  return url.protocol === "https:" || (url.protocol === "http:" && LOOPBACK.test(url.hostname));
}

/** A variable that is set to nothing is one that is not set. */
function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value : undefined;
}

function compact(record: object): object {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
}
