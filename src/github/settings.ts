/** The settings of the repository that a Worker follows, as its parts read them. */
import type { GithubCredentials } from "./credentials.ts";
import type { GithubRepository } from "./port.ts";

export interface GithubSettings {
  readonly repository: GithubRepository;
  /** Decimal digits, as the claims of a token have them. */
  readonly repositoryId: string;
  readonly ownerId: string;
  readonly environment: string;
  /** Without slashes at its ends; `.` for the whole repository. */
  readonly manifests: string;
  readonly defaultBranch: string;
  readonly credentials: GithubCredentials | null;
  readonly webhookSecret: string | null;
  readonly apiUrl: string;
  readonly oidc: OidcSettings;
  readonly showForkCounts: boolean;
  /**
   * True when this Worker writes comments and checks: it has credentials, and was not told to leave
   * it.
   */
  readonly posts: boolean;
  /** Reviewed and merged changes are started by an apply job alone, or by the tick, too. */
  readonly applies: Applies;
}

export type Applies = "workflow" | "worker";

export interface OidcSettings {
  /** Null: the origin of the request. */
  readonly audience: string | null;
  readonly issuer: string;
  readonly jwksUrl: string;
  readonly applyRef: string;
  readonly applyEnvironment: string;
  readonly applyWorkflow: string | null;
}
