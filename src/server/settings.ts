/** Settings of a Worker: its options after checks and defaults, as its parts read them. */
import type { GithubSettings } from "../github/settings.ts";
import type { PolicyFloors } from "../model/policy.ts";
import type { AccessSettings } from "./access/access-verifier.ts";

/** The options of one `env` after checks and defaults. */
export interface Settings {
  readonly github: GithubSettings | null;
  readonly alertWebhookUrl: string | null;
  readonly access: AccessSettings | null;
  /** The owner's floors under all policies. */
  readonly guards: PolicyFloors;
}
