/**
 * A client of one repository on GitHub, as the port describes it.
 *
 * Clients share nothing: each has its own credential, pace, budget and cached answers. A client is
 * for one invocation of a Worker, one Durable Object or one process; what outlives these goes into
 * the `etags` that it is given.
 */
import { createCaller, type GithubOptions } from "./call.ts";
import type { GithubReader, GithubWriter } from "./port.ts";
import { createGitReads } from "./read-git.ts";
import { createOwnReads } from "./read-own.ts";
import { createPullReads } from "./read-pulls.ts";
import { createWrites } from "./writes.ts";

export type { GithubOptions, LoggedRequest } from "./call.ts";
export { checkPrivateKey, type GithubCredentials } from "./credentials.ts";

/**
 * A client that reads and writes. Sends nothing by itself; a credential that cannot be used is told
 * by every call.
 */
export function createGithubClient(options: GithubOptions): GithubWriter {
  const caller = createCaller(options);
  return {
    repository: caller.repository,
    rateBudget: () => caller.rateBudget(),
    ...createGitReads(caller),
    ...createPullReads(caller),
    ...createOwnReads(caller),
    ...createWrites(caller),
  };
}

/** The same client without the writes: they are not there, not only hidden by the type. */
export function readOnly(client: GithubReader): GithubReader {
  return {
    repository: client.repository,
    login: () => client.login(),
    branchHead: (branch) => client.branchHead(branch),
    commit: (sha) => client.commit(sha),
    files: (commit, folder) => client.files(commit, folder),
    file: (commit, path) => client.file(commit, path),
    blob: (blobSha) => client.blob(blobSha),
    pull: (number) => client.pull(number),
    openPulls: (baseRef) => client.openPulls(baseRef),
    pullFiles: (number) => client.pullFiles(number),
    pullsOfCommit: (sha) => client.pullsOfCommit(sha),
    commentsWith: (pull, marker) => client.commentsWith(pull, marker),
    issuesWith: (marker) => client.issuesWith(marker),
    checks: (headSha, name) => client.checks(headSha, name),
    checkAnnotations: (id) => client.checkAnnotations(id),
    permissionOf: (login) => client.permissionOf(login),
    rateBudget: () => client.rateBudget(),
  };
}
