/// <reference types="@cloudflare/vitest-plugin/types" />
/** The Worker that follows a repository, as its tests call it. */
import { createExecutionContext } from "cloudflare:test";

import type { Run } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import type { NamespaceSpec } from "../../src/model/spec.ts";
import type { Coordinator } from "../../src/server/coordinator/coordinator.ts";
import {
  COORDINATOR_NAME,
  type RemoteCoordinator,
} from "../../src/server/coordinator/coordinator-api.ts";
import { reachCoordinator } from "../../src/server/coordinator/reach-coordinator.ts";
import { controlEnv, desired, type Answer } from "./control-api.ts";
import { github, gitops, type ControlEnv } from "./control-worker.ts";
import { AUDIENCE, pullClaims, workflowToken } from "./workflow-tokens.ts";

export const SHA = "a".repeat(40);

export interface GitopsCall {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Default: the token of a person with the role apply. */
export async function ask<Body>(
  method: string,
  path: string,
  { token = "apply-token", body, headers }: GitopsCall = {},
): Promise<Answer<Body>> {
  const request = new Request(`${AUDIENCE}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const response = await gitops.fetch(request, controlEnv, createExecutionContext());
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (text === "" ? null : JSON.parse(text)) as Body,
  };
}

export async function planFor(
  namespaces: readonly NamespaceSpec[],
  environment = "production",
): Promise<Plan> {
  const answer = await ask<Plan>("POST", "/v1/plans", {
    body: { desired: desired(environment, namespaces) },
  });
  if (answer.status !== 200) throw new Error(`No plan: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** As the plan job of the pull request. */
export async function review<Body>(
  pull: number,
  fingerprint: string,
  headSha = SHA,
): Promise<Answer<Body>> {
  const token = await workflowToken(pullClaims(pull));
  return ask<Body>("PUT", "/v1/reviews", {
    token,
    body: { pull, headSha, fingerprint, runUrl: null },
  });
}

/** As the apply job after the merge. */
export async function applyAs<Body>(
  pull: number | null,
  fingerprint: string,
  { token, overrides = [] }: { token?: string; overrides?: readonly string[] } = {},
): Promise<Answer<Body>> {
  if (pull !== null) github.ensureMerged(pull);
  const origin = { pull, commit: SHA, runUrl: "https://github.com/acme/shop/actions/runs/77" };
  const body = { origin, overrides };
  return ask<Body>("POST", `/v1/plans/${fingerprint}/apply`, {
    token: token ?? (await workflowToken()),
    body,
  });
}

const POLLS_MAX = 60;

export async function endOf(id: string): Promise<Run> {
  for (let polls = 0, since = 0; polls < POLLS_MAX; polls++) {
    const { body } = await ask<Run>("GET", `/v1/runs/${id}?wait=1&since=${since}`);
    if (body.finishedAt !== null) return body;
    since = body.updatedAt;
  }
  throw new Error(`Run ${id} did not end in ${POLLS_MAX} polls`);
}

/** The coordinator as the Worker calls it. */
export function gitopsCoordinator(): RemoteCoordinator {
  return reachCoordinator(controlEnv.GITOPS);
}

export function gitopsStub(): DurableObjectStub<Coordinator<ControlEnv>> {
  return controlEnv.GITOPS.getByName(COORDINATOR_NAME) as unknown as DurableObjectStub<
    Coordinator<ControlEnv>
  >;
}
