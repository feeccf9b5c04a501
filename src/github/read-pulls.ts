/** Reads pull requests, their files, and the permissions of people. */
import { success } from "../model/result.ts";
import { callWholeList, type GithubCaller } from "./call.ts";
import type { GithubReader } from "./port.ts";
import * as shapes from "./shapes.ts";

/** 100 items a page. */
const PULL_PAGES_MAX = 10;
/** GitHub itself lists 3,000 files of a pull request. */
const FILE_PAGES_MAX = 30;
const REPOSITORY = "/repos/{owner}/{repo}";

type PullReads = Pick<
  GithubReader,
  "pull" | "openPulls" | "pullFiles" | "pullsOfCommit" | "permissionOf"
>;

export function createPullReads(caller: GithubCaller): PullReads {
  const { call, callPages } = caller;
  return {
    pull: (number) =>
      call({
        what: `read pull request #${number}`,
        route: `GET ${REPOSITORY}/pulls/{pull_number}`,
        parameters: { pull_number: number },
        answer: shapes.pullSchema,
        needs: "`pull_requests: read`",
        isCached: true,
      }),
    openPulls: (baseRef) =>
      callWholeList(caller, PULL_PAGES_MAX, {
        what: `list open pull requests into ${baseRef}`,
        route: `GET ${REPOSITORY}/pulls`,
        parameters: { state: "open", base: baseRef, sort: "created", direction: "asc" },
        answer: shapes.pullsSchema,
        needs: "`pull_requests: read`",
      }),
    async pullFiles(number) {
      const names = await callPages(
        {
          what: `list the files of pull request #${number}`,
          route: `GET ${REPOSITORY}/pulls/{pull_number}/files`,
          parameters: { pull_number: number },
          answer: shapes.fileNamesSchema,
          needs: "`pull_requests: read`",
        },
        FILE_PAGES_MAX,
      );
      if (!names.ok) return names;
      const { items, isComplete } = names.value;
      return success({
        paths: items.flat(),
        isComplete: isComplete && items.length < FILE_PAGES_MAX * 100,
      });
    },
    async pullsOfCommit(sha) {
      const pulls = await callWholeList(caller, 1, {
        what: `find the pull requests of commit ${sha}`,
        route: `GET ${REPOSITORY}/commits/{commit_sha}/pulls`,
        parameters: { commit_sha: sha },
        answer: shapes.pullsSchema,
        needs: "`pull_requests: read`",
      });
      if (!pulls.ok) return pulls;
      const isOther = (pull: { readonly state: string }) => (pull.state === "merged" ? 0 : 1);
      return success(
        pulls.value.toSorted(
          (left, right) => isOther(left) - isOther(right) || left.number - right.number,
        ),
      );
    },
    permissionOf: (user) =>
      call({
        what: `read the permission of ${user}`,
        route: `GET ${REPOSITORY}/collaborators/{username}/permission`,
        parameters: { username: user },
        answer: shapes.permissionSchema,
        needs: "`metadata: read`",
      }),
  };
}
