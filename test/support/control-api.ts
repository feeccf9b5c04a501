/// <reference types="@cloudflare/vitest-plugin/types" />
/**
 * The HTTP API of the control half's test Worker, as its tests call it, and desired states to send.
 */
import { env, SELF } from "cloudflare:test";

import type { Problem, Run } from "../../src/model/api.ts";
import type { Plan } from "../../src/model/plan.ts";
import { DEFAULT_POLICY, type DesiredState, type NamespaceSpec } from "../../src/model/spec.ts";
import type { Coordinator } from "../../src/server/coordinator/coordinator.ts";
import { COORDINATOR_NAME } from "../../src/server/coordinator/coordinator-api.ts";
import type { ControlEnv } from "./control-worker.ts";
import type { FakeControls } from "./fake-namespace.ts";

export const controlEnv = env as unknown as ControlEnv;

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface CallOptions {
  readonly body?: unknown;
  /** Default: the token with the role apply. Null sends none. */
  readonly token?: string | null;
}

export async function call<Body>(
  method: string,
  path: string,
  { body, token = "apply-token" }: CallOptions = {},
): Promise<Answer<Body>> {
  const response = await SELF.fetch(`http://control.test${path}`, {
    method,
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (text === "" ? null : JSON.parse(text)) as Body,
  };
}

export function refusal(
  method: string,
  path: string,
  options: CallOptions = {},
): Promise<Answer<Problem>> {
  return call<Problem>(method, path, options);
}

export function spec(name: string, changes: Partial<NamespaceSpec> = {}): NamespaceSpec {
  return {
    name,
    labels: {},
    object: "ORDERS",
    strategy: "hash",
    shardKey: "id",
    count: 2,
    directory: false,
    splitPoints: null,
    partitioner: null,
    dependsOn: [],
    policy: { ...DEFAULT_POLICY, maxSkew: 100 },
    source: { file: "manifests/test.yaml", line: 1, column: 1 },
    ...changes,
  };
}

export function desired(environment: string, namespaces: readonly NamespaceSpec[]): DesiredState {
  return { environment, commit: "3f9c2e1", namespaces };
}

export async function makePlan(
  environment: string,
  namespaces: readonly NamespaceSpec[],
): Promise<Plan> {
  const answer = await call<Plan>("POST", "/v1/plans", {
    body: { desired: desired(environment, namespaces) },
  });
  if (answer.status !== 200) throw new Error(`No plan: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

export async function applyPlan(plan: Plan): Promise<Run> {
  const answer = await call<Run>("POST", `/v1/plans/${plan.fingerprint}/apply`, { body: {} });
  if (answer.status !== 202) throw new Error(`No run: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const POLLS_MAX = 60;

/** Follows a run by long polls until the condition holds; by default until it has ended. */
export async function followRun(
  id: string,
  until: (run: Run) => boolean = (run) => run.finishedAt !== null,
): Promise<Run> {
  let since = 0;
  for (let polls = 0; polls < POLLS_MAX; polls++) {
    const { body } = await call<Run>("GET", `/v1/runs/${id}?wait=1&since=${since}`);
    if (until(body)) return body;
    since = body.updatedAt;
  }
  throw new Error(`Run ${id} did not get there in ${POLLS_MAX} polls`);
}

/** The controls of a fake namespace behind ORDERS. */
export function controlsOf(name: string): FakeControls {
  return controlEnv.ORDERS.getByName(name) as unknown as FakeControls;
}

export function coordinatorStub(): DurableObjectStub<Coordinator<ControlEnv>> {
  return controlEnv.SHARDCTL.getByName(COORDINATOR_NAME) as unknown as DurableObjectStub<
    Coordinator<ControlEnv>
  >;
}
