/** Scripts of the scripted server: a reconciler that plans, applies and runs as told. */
import type { Run } from "../../../src/model/api.ts";
import type { Plan } from "../../../src/model/plan.ts";
import { type Answer, type RecordedRequest, type Script, problem } from "./scripted-server.ts";
import {
  RUN_STEPS,
  driftReport,
  events,
  liveReport,
  operationOf,
  planOf,
  repairOutcome,
  repairPlan,
} from "./states.ts";

export interface Reconciler {
  readonly plan?: Plan;
  /** Answers of the polls, one after the other; the last one stays. */
  readonly polls?: readonly (Run | Answer)[];
  /** Answers before everything else; undefined leaves the request to the script. */
  readonly first?: (request: RecordedRequest, count: number) => Answer | undefined;
}

export function reconciler({ plan = planOf(), polls = RUN_STEPS, first }: Reconciler = {}): Script {
  let poll = 0;
  const nextPoll = (): Answer => {
    const answer = polls[Math.min(poll, polls.length - 1)];
    poll++;
    if (answer === undefined) throw new Error("A script needs at least one poll");
    return "id" in answer ? { status: 200, json: answer } : answer;
  };
  const json = (status: number, body: unknown) => (): Answer => ({ status, json: body });
  const ended = operationOf({ state: "completed", finishedAt: operationOf().updatedAt });
  const held = operationOf({
    paused: { by: "ada", reason: "black friday", since: operationOf().updatedAt },
  });
  const routes: readonly (readonly [RegExp, () => Answer])[] = [
    [/^POST \/v1\/plans$/, json(200, plan)],
    [new RegExp(`^POST /v1/plans/${plan.fingerprint}/apply$`), json(202, RUN_STEPS[0])],
    [new RegExp(`^GET /v1/plans/${plan.fingerprint}$`), json(200, plan)],
    [/^GET \/v1\/runs$/, json(200, { runs: RUN_STEPS.slice(-1) })],
    [/^GET \/v1\/runs\//, nextPoll],
    [/^POST \/v1\/runs\/[^/]+\/cancel$/, json(202, RUN_STEPS[1])],
    [/^PUT \/v1\/pause$/, json(200, { by: "ada", reason: "incident 7", at: 0 })],
    [/^DELETE \/v1\/pause$/, () => ({ status: 204 })],
    [/^PUT \/v1\/namespaces\/[^/]+\/pause/, json(200, held)],
    [/^DELETE \/v1\/namespaces\/[^/]+\/pause/, json(200, operationOf())],
    [/^GET \/v1\/namespaces\/[^/]+\/repair/, json(200, repairPlan())],
    [/^POST \/v1\/namespaces\/[^/]+\/repair/, json(200, repairOutcome())],
    [/^GET \/v1\/events\?.*after=[1-9]/, json(200, { events: [] })],
    [/^GET \/v1\/events\?.*after=0/, json(200, { events: events().toReversed() })],
    [/^GET \/v1\/events/, json(200, { events: events() })],
    [/^GET \/v1\/drift/, json(200, driftReport())],
    [/^POST \/v1\/reconcile/, json(200, driftReport({ drifts: [] }))],
    [/^GET \/v1\/namespaces\/[^/]+\/history/, json(200, { operations: [ended] })],
    [/^GET \/v1\/namespaces\//, json(200, liveReport())],
    [/^GET \/v1\/namespaces/, json(200, { namespaces: [liveReport()] })],
  ];
  return (request, count) => {
    const special = first?.(request, count);
    if (special !== undefined) return special;
    const { method, path } = request;
    const asked = `${method} ${path}`;
    const route = routes.find(([pattern]) => pattern.test(asked));
    if (route !== undefined) return route[1]();
    return problem("notFound", 404, `There is no ${method} ${path}.`);
  };
}
