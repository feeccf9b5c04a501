/** Settings of a Worker: its options after checks and defaults, as its parts read them. */
import type { GithubCredentials } from "../github/client.ts";
import type { GithubRepository } from "../github/port.ts";
import type { AccessSettings } from "./access/access-verifier.ts";

/** The options of one `env` after checks and defaults. */
export interface Settings {
  readonly github: GithubSettings | null;
  readonly alertWebhookUrl: string | null;
  readonly access: AccessSettings | null;
}

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
}

export interface OidcSettings {
  /** Null: the origin of the request. */
  readonly audience: string | null;
  readonly issuer: string;
  readonly jwksUrl: string;
  readonly applyRef: string;
  readonly applyEnvironment: string;
  readonly applyWorkflow: string | null;
}
