/**
 * Tokens of GitHub Actions among the tokens that are presented, and which pull request one belongs
 * to.
 */

/** The form of a signed JWT. Tokens of `SHARDCTL_TOKENS` are random digits and have no dots. */
const JWT = /^ey[\w-]+\.[\w-]+\.[\w-]*$/;

/** The token of an `Authorization` header when it has the form of a workflow's, or null. */
export function readWorkflowToken(authorization: string | null): string | null {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  return token !== undefined && JWT.test(token) ? token : null;
}

/** The pull request whose workflow runs on this ref, or null. */
export function pullOfRef(ref: string): number | null {
  const number = /^refs\/pull\/([1-9]\d{0,9})\/merge$/.exec(ref)?.[1];
  return number === undefined ? null : Number(number);
}
