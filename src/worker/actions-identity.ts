/** What a verified token of GitHub Actions says about the workflow that asks. */
export interface ActionsIdentity {
  readonly actor: string;
  /** Such as `refs/heads/main` or `refs/pull/7/merge`. */
  readonly ref: string;
  /** The commit that the workflow runs for. */
  readonly sha: string;
  readonly eventName: string;
  /** Of the job; null for none. */
  readonly environment: string | null;
  /** Such as `acme/shop/.github/workflows/apply.yml@refs/heads/main`. */
  readonly workflowRef: string;
  /** `jti`: each token has its own. */
  readonly tokenId: string;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** The pull request that a workflow's token belongs to, or null. */
export function pullOfRef(ref: string): number | null {
  const number = /^refs\/pull\/([1-9]\d{0,9})\/merge$/.exec(ref)?.[1];
  return number === undefined ? null : Number(number);
}
