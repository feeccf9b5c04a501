/**
 * Prepares `apply --github`: the merged pull request or the release, the Worker, and the manifests
 * of the merged commit.
 */
import type { DesiredState } from "../../model/spec.ts";
import type { ActionsEvent } from "../../github/actions-event.ts";
import { findPullOfMerge } from "../../github/find-pull.ts";
import type { Pull } from "../../github/port.ts";
import type { ApiClient } from "../api-client.ts";
import { connectApi } from "../connect-api.ts";
import { type CliResult, fail } from "../failure.ts";
import { loadDesired } from "../load-desired.ts";
import type { Project } from "../project.ts";
import type { Session } from "../session.ts";
import { type Actions, failGithub } from "./actions.ts";
import { readRelease, type ReleaseOrder } from "./read-release.ts";
import { findPrefix } from "./repository-paths.ts";

export interface ApplyFlow {
  readonly session: Session;
  readonly actions: Actions;
  readonly project: Project;
  readonly api: ApiClient;
  readonly desired: DesiredState;
  /** The commit whose manifests are applied. */
  readonly sha: string;
  readonly branch: string;
  readonly manifests: readonly string[];
  /**
   * Path of the working directory in the repository, with a slash at its end; empty at the root.
   */
  readonly prefix: string;
  /** Null for a commit that was pushed without one. */
  readonly pull: Pull | null;
  readonly release: ReleaseOrder | null;
}

export type PreparedApply =
  | { readonly kind: "flow"; readonly flow: ApplyFlow }
  /** A comment that asks for nothing, or by somebody who may not. */
  | { readonly kind: "ignored"; readonly why: string };

type MergeEvent = Exclude<ActionsEvent, { readonly kind: "pullRequest" | "mergeGroup" }>;
type Cause = {
  readonly kind: "cause";
  readonly pull: Pull | null;
  readonly release: ReleaseOrder | null;
};

export async function prepareApply(
  session: Session,
  actions: Actions,
  project: Project,
  paths: readonly string[],
): Promise<CliResult<PreparedApply>> {
  const { event } = actions;
  if (event.kind === "pullRequest" || event.kind === "mergeGroup") {
    return fail(
      "usage",
      "A pull request is applied by its merge, not by its own workflow.",
      "Run this on `push` to the default branch.",
    );
  }
  const cause = await findCause(session, actions, event);
  if (!cause.ok) return cause;
  if (cause.value.kind === "ignored") return { ok: true, value: cause.value };
  const api = connectApi(session, project);
  if (!api.ok) return api;
  const desired = await loadDesired(session.host, project, paths);
  if (!desired.ok) return desired;
  const { pull, release } = cause.value;
  const { sha, branch } = event;
  const manifests = paths.length === 0 ? project.manifests : ["."];
  const prefix = await findPrefix(session.host.cwd);
  const flow = {
    session,
    actions,
    project,
    api: api.value,
    desired: desired.value,
    sha,
    branch,
    manifests,
    prefix,
    pull,
    release,
  };
  return { ok: true, value: { kind: "flow", flow } };
}

async function findCause(
  session: Session,
  actions: Actions,
  event: MergeEvent,
): Promise<CliResult<Cause | Extract<PreparedApply, { readonly kind: "ignored" }>>> {
  if (event.kind === "comment") {
    const read = await readRelease(session, actions, event);
    if (!read.ok) return read;
    if (read.value.kind === "ignored") return { ok: true, value: read.value };
    const { order } = read.value;
    return { ok: true, value: { kind: "cause", pull: order.pull, release: order } };
  }
  const found = await findPullOfMerge(actions.github, event.sha, event.branch);
  if (!found.ok) return failGithub(found.failure);
  return { ok: true, value: { kind: "cause", pull: found.value, release: null } };
}
