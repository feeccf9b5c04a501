/**
 * The OIDC issuer of Actions: discovery, JWKS with rotation, the endpoint that gives a running job
 * its token, and a mint for bad ones.
 *
 * Its address is `<fake>/oidc`; the claims are those of GitHub's documentation. Repositories made
 * after 2026-07-15 carry ids in `sub`.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWK, type JWTPayload } from "jose";

import { answer, type Answer } from "./answers.ts";
import type { SideRequest } from "./server.ts";
import { fullName, type Account, type Repository } from "./state.ts";

export interface OidcJob {
  readonly repo: Repository;
  /** `refs/heads/main`, `refs/pull/1/merge`. */
  readonly ref: string;
  readonly sha: string;
  readonly eventName: string;
  readonly actor: Account;
  /** File name in `.github/workflows`. */
  readonly workflow: string;
  readonly environment: string | null;
  readonly runId: number;
  readonly runAttempt: number;
  readonly headRef: string;
  readonly baseRef: string;
}

export interface MintOptions {
  /** Replaces or, with `undefined`, removes claims. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly audience?: string;
  /** `none` leaves the signature out. */
  readonly alg?: "RS256" | "none";
  /**
   * `unknown`: a key that is in no JWKS, under the id of the one that is. `retired`: the key before
   * the last rotation.
   */
  readonly key?: "current" | "unknown" | "retired";
}

interface SigningKey {
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

const TOKEN_LIFETIME_S = 300;
const IDS_IN_SUBJECT_SINCE_MS = Date.UTC(2026, 6, 15);

export class Oidc {
  readonly #now: () => number;
  readonly #address: () => string;
  readonly #jobs = new Map<string, OidcJob>();
  #keys: readonly SigningKey[] = [];
  #retired: readonly SigningKey[] = [];
  #first: Promise<SigningKey> | null = null;
  #served = 0;

  constructor(now: () => number, address: () => string) {
    this.#now = now;
    this.#address = address;
  }

  get issuer(): string {
    return `${this.#address()}/oidc`;
  }

  /** How often the JWKS was read. */
  jwksReads = 0;

  /**
   * A new key signs from now on. The old one stays in the JWKS for a while, or leaves it at once.
   */
  async rotateKeys(options: { readonly keepOld: boolean } = { keepOld: true }): Promise<void> {
    this.#retired = await this.#currentKeys();
    this.#keys = [await generateSigningKey(), ...(options.keepOld ? this.#retired : [])];
  }

  /** Keys are made when they are first needed: most tests need none. */
  async #currentKeys(): Promise<readonly SigningKey[]> {
    this.#first ??= generateSigningKey();
    if (this.#keys.length === 0) this.#keys = [await this.#first];
    return this.#keys;
  }

  /** The variables that let a job ask for a token. */
  startJob(job: OidcJob): {
    readonly ACTIONS_ID_TOKEN_REQUEST_URL: string;
    readonly ACTIONS_ID_TOKEN_REQUEST_TOKEN: string;
  } {
    const token = randomBytes(24).toString("base64url");
    this.#jobs.set(token, job);
    return {
      ACTIONS_ID_TOKEN_REQUEST_URL: `${this.#address()}/actions/jobs/${job.runId}/idtoken?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: token,
    };
  }

  /** Signs a token of the job, or one that is wrong in the asked way. */
  async mintOidcToken(job: OidcJob, options: MintOptions = {}): Promise<string> {
    const claims = {
      ...this.#claims(job, options.audience ?? defaultAudience(job)),
      ...options.claims,
    };
    if (options.alg === "none") return new UnsecuredJWT(claims).encode();
    const [current] = await this.#currentKeys();
    if (!current) throw new Error("The issuer has no key");
    const key = options.key === "retired" ? this.#retired[0] : current;
    if (!key) throw new Error("No key has been retired: call rotateKeys first");
    const privateKey =
      options.key === "unknown" ? (await generateKeyPair("RS256")).privateKey : key.privateKey;
    return new SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: key.id })
      .sign(privateKey);
  }

  /** The issuer's and the runner's endpoints; `null` for other paths. */
  async handle({ method, url, headers }: SideRequest): Promise<Answer | null> {
    if (method !== "GET") return null;
    if (url.pathname === "/oidc/.well-known/openid-configuration")
      return answer(200, this.#discovery());
    if (url.pathname === "/oidc/.well-known/jwks") {
      this.jwksReads += 1;
      return answer(200, { keys: (await this.#currentKeys()).map((key) => key.publicJwk) });
    }
    if (!url.pathname.startsWith("/actions/jobs/")) return null;
    const bearer = /^bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
    const job = this.#jobs.get(bearer ?? "");
    if (!job || url.pathname !== `/actions/jobs/${job.runId}/idtoken`)
      return answer(401, { message: "Unauthorized" });
    this.#served += 1;
    const audience = url.searchParams.get("audience") ?? defaultAudience(job);
    return answer(200, { count: this.#served, value: await this.mintOidcToken(job, { audience }) });
  }

  #discovery(): object {
    return {
      issuer: this.issuer,
      jwks_uri: `${this.issuer}/.well-known/jwks`,
      subject_types_supported: ["public", "pairwise"],
      response_types_supported: ["id_token"],
      claims_supported: [
        "sub",
        "aud",
        "exp",
        "iat",
        "iss",
        "jti",
        "nbf",
        "ref",
        "repository",
        "repository_id",
        "workflow_ref",
      ],
      id_token_signing_alg_values_supported: ["RS256"],
      scopes_supported: ["openid"],
    };
  }

  #claims(job: OidcJob, audience: string): JWTPayload {
    const { repo, actor } = job;
    const now = Math.floor(this.#now() / 1000);
    const workflowRef = `${fullName(repo)}/.github/workflows/${job.workflow}@${job.ref}`;
    return {
      jti: randomUUID(),
      sub: subjectOf(job),
      aud: audience,
      iss: this.issuer,
      iat: now,
      nbf: now - 300,
      exp: now + TOKEN_LIFETIME_S,
      ref: job.ref,
      ref_type: job.ref.startsWith("refs/tags/") ? "tag" : "branch",
      ref_protected: job.ref === `refs/heads/${repo.defaultBranch}` ? "true" : "false",
      sha: job.sha,
      repository: fullName(repo),
      repository_id: String(repo.id),
      repository_owner: repo.owner.login,
      repository_owner_id: String(repo.owner.id),
      repository_visibility: repo.private ? "private" : "public",
      run_id: String(job.runId),
      run_number: "1",
      run_attempt: String(job.runAttempt),
      runner_environment: "github-hosted",
      actor: actor.login,
      actor_id: String(actor.id),
      workflow: job.workflow,
      workflow_ref: workflowRef,
      workflow_sha: job.sha,
      job_workflow_ref: workflowRef,
      job_workflow_sha: job.sha,
      head_ref: job.headRef,
      base_ref: job.baseRef,
      event_name: job.eventName,
      ...(job.environment === null ? {} : { environment: job.environment }),
    };
  }
}

async function generateSigningKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
  const id = randomUUID();
  return {
    id,
    privateKey,
    publicJwk: { ...(await exportJWK(publicKey)), kid: id, alg: "RS256", use: "sig" },
  };
}

function defaultAudience(job: OidcJob): string {
  return `https://github.com/${job.repo.owner.login}`;
}

function subjectOf({ repo, ref, environment, eventName }: OidcJob): string {
  const hasIds = repo.createdAtMs >= IDS_IN_SUBJECT_SINCE_MS;
  const name = hasIds
    ? `${repo.owner.login}@${repo.owner.id}/${repo.name}@${repo.id}`
    : fullName(repo);
  if (environment !== null) return `repo:${name}:environment:${environment}`;
  return eventName === "pull_request" ? `repo:${name}:pull_request` : `repo:${name}:ref:${ref}`;
}
