/**
 * Labels, files, commits and other names under one fingerprint, in a Worker without a repository:
 * whose count, whatever a token with the role plan has sent before or after.
 */
import { describe, expect, it } from "vitest";

import type { Run } from "../../src/model/api.ts";
import type { DriftReport } from "../../src/model/drift.ts";
import type { Plan } from "../../src/model/plan.ts";
import { DEFAULT_POLICY, type DesiredState, type NamespaceSpec } from "../../src/model/spec.ts";
import { call, followRun, refusal, spec } from "../support/control-api.ts";
import { ask, type Entry } from "../support/scoped-tokens.ts";

const COMMIT = "3f9c2e1";
const PLANNER: Entry = { name: "planner", role: "plan" };
const CI: Entry = { name: "ci", role: "apply" };
const ANA: Entry = { name: "ana", role: "apply" };

/** An environment of its own, and what is asked of it. */
function place(environment: string) {
  const named = (name: string): string => `${environment}-${name}`;
  const labelled = (name: string, team: string, changes: Partial<NamespaceSpec> = {}) =>
    spec(named(name), { labels: { team: named(team) }, ...changes });
  const desired = (
    namespaces: readonly NamespaceSpec[],
    commit: string | null = COMMIT,
  ): DesiredState => ({ environment, commit, namespaces });
  const plan = async (by: Entry, state: DesiredState): Promise<Plan> => {
    const { status, text } = await ask(by, "POST", "/v1/plans", { desired: state });
    if (status !== 200) throw new Error(`No plan: ${text}`);
    return JSON.parse(text) as Plan;
  };
  const apply = async (by: Entry, { fingerprint }: Plan): Promise<void> => {
    const { status, text } = await ask(by, "POST", `/v1/plans/${fingerprint}/apply`, {});
    if (status !== 202) throw new Error(`No run: ${text}`);
    await followRun((JSON.parse(text) as Run).id);
    await call("POST", `/v1/reconcile?environment=${environment}&wait=20`);
  };
  /** Names that the environment declares, without those that it only knows. */
  const declared = async (): Promise<string[]> => {
    const { body } = await call<DriftReport>("GET", `/v1/drift?environment=${environment}`);
    return body.conditions
      .filter(({ reason }) => reason !== "Unmanaged")
      .map(({ namespace }) => namespace.slice(environment.length + 1));
  };
  const isHeldBy = async (team: string, name: string): Promise<boolean> => {
    const entry: Entry = { name: `${environment}-${team}`, labels: { team: named(team) } };
    return (await ask(entry, "GET", `/v1/namespaces/${named(name)}`)).status === 200;
  };
  return { labelled, desired, plan, apply, declared, isHeldBy };
}

/** As live is, with a policy that needs no review: no fingerprint has it. */
const IN_SYNC = { strategy: "none", shardKey: null, count: 1, policy: DEFAULT_POLICY } as const;

describe("labels that a token with the role plan has sent first", () => {
  it("count for no apply of others: what is followed is what its caller has sent", async () => {
    const { labelled, desired, plan, apply, declared, isHeldBy } = place("texts-1");
    const evil = [labelled("a", "evil"), labelled("pad", "evil", IN_SYNC)];
    const first = await plan(PLANNER, desired(evil));
    const honest = await plan(CI, desired([labelled("a", "shop")]));
    expect(honest.fingerprint).toBe(first.fingerprint);
    await apply(CI, honest);
    expect(await isHeldBy("shop", "a")).toBe(true);
    expect(await isHeldBy("evil", "a")).toBe(false);
    expect(await declared()).toEqual(["a"]);
  });

  it("count for no apply by fingerprint either, nor do its other names", async () => {
    const { labelled, desired, plan, apply, declared, isHeldBy } = place("texts-2");
    const before = [labelled("a", "shop"), labelled("b", "shop", IN_SYNC)];
    await apply(CI, await plan(CI, desired(before)));
    const evil = [labelled("a", "evil", { count: 3 }), labelled("pad", "evil", IN_SYNC)];
    await apply(ANA, await plan(PLANNER, desired(evil)));
    expect(await isHeldBy("shop", "a")).toBe(true);
    expect(await isHeldBy("evil", "a")).toBe(false);
    expect(await declared()).toEqual(["a", "b"]);
  });

  it("give a namespace that is new no label in an apply by fingerprint", async () => {
    const { labelled, desired, plan, apply, declared, isHeldBy } = place("texts-3");
    await apply(ANA, await plan(PLANNER, desired([labelled("a", "evil")])));
    expect(await declared()).toEqual(["a"]);
    expect(await isHeldBy("evil", "a")).toBe(false);
  });

  it("count for no empty plan, which has one fingerprint whatever is declared", async () => {
    const { labelled, desired, plan, apply, declared, isHeldBy } = place("texts-4");
    await apply(CI, await plan(CI, desired([labelled("a", "shop")])));
    const own = await plan(ANA, desired([labelled("a", "shop"), labelled("b", "shop", IN_SYNC)]));
    const evil = await plan(PLANNER, desired([labelled("a", "evil")]));
    expect(evil.fingerprint).toBe(own.fingerprint);
    await apply(ANA, own);
    expect(await declared()).toEqual(["a", "b"]);
    expect(await isHeldBy("shop", "a")).toBe(true);
    expect(await isHeldBy("evil", "a")).toBe(false);
  });
});

describe("a token with the role plan that sends the real commit with false texts first", () => {
  it.each([
    ["labels", { labels: { team: "evil" } }],
    ["files", { source: { file: "manifests/evil.yaml", line: 1, column: 1 } }],
  ])("keeps no other caller from planning: %s", async (what, other) => {
    const { labelled, desired, plan, apply } = place(`texts-5-${what}`);
    const honest = labelled("a", "shop");
    const first = await plan(PLANNER, desired([{ ...honest, ...other }]));
    const ci: Entry = { name: "ci-plan", role: "plan" };
    for (const by of [ci, CI])
      expect((await plan(by, desired([honest]))).fingerprint).toBe(first.fingerprint);
    // From now on the commit has the text of somebody who may apply it.
    const again = await ask(PLANNER, "POST", "/v1/plans", {
      desired: desired([{ ...honest, ...other }]),
    });
    expect(again).toMatchObject({ status: 409, text: expect.stringContaining("labels or files") });
    expect(again.text).not.toContain("evil");
    await apply(CI, first);
  });

  it("is not answered with 409 by what a token for some namespaces has sent", async () => {
    const { labelled, desired, plan } = place("texts-6");
    const scoped: Entry = { name: "scoped", namespaces: ["texts-6-a"] };
    await plan(scoped, desired([labelled("a", "evil")]));
    expect((await plan(PLANNER, desired([labelled("a", "shop")]))).changes).toHaveLength(1);
  });
});

describe("other names that somebody has sent first with the same changes", () => {
  it("keep no token for some namespaces from showing its plan, and are not told to it", async () => {
    const { labelled, desired, plan } = place("texts-12");
    const padded = [labelled("a", "shop"), labelled("pad", "evil", IN_SYNC)];
    const first = await plan(PLANNER, desired(padded));
    const scoped: Entry = { name: "texts-12-scoped", namespaces: ["texts-12-a"], role: "plan" };
    const own = await plan(scoped, desired([labelled("a", "shop")]));
    expect(own.fingerprint).toBe(first.fingerprint);
    const review = { fingerprint: own.fingerprint, pull: 12, headSha: "a".repeat(40) };
    const put = await ask(scoped, "PUT", "/v1/reviews", { ...review, runUrl: null });
    expect(put.status).toBe(200);
    const listed = await ask(scoped, "GET", "/v1/reviews?environment=texts-12");
    expect(listed.text).toContain(own.fingerprint);
    const read = await ask(scoped, "GET", `/v1/plans/${own.fingerprint}`);
    expect(read.status).toBe(200);
    expect(read.text).toContain("texts-12-a");
    expect(read.text).not.toContain("texts-12-pad");
    // One that is about another is none of its business.
    const other = await plan(CI, desired([labelled("a", "shop"), labelled("b", "shop")]));
    expect((await ask(scoped, "GET", `/v1/plans/${other.fingerprint}`)).status).toBe(403);
    const empty = await plan(CI, desired([labelled("pad", "evil", IN_SYNC)]));
    expect((await ask(scoped, "GET", `/v1/plans/${empty.fingerprint}`)).status).toBe(403);
  });
});

describe("labels and names of a later commit", () => {
  it("are followed, under the same fingerprint, too", async () => {
    const { labelled, desired, plan, apply, declared, isHeldBy } = place("texts-7");
    await apply(CI, await plan(CI, desired([labelled("a", "shop")])));
    const fingerprints = new Set<string>();
    const later = [
      [[labelled("a", "web")], "web"],
      [[labelled("a", "app"), labelled("b", "app", IN_SYNC)], "app"],
      [[labelled("a", "ops")], "ops"],
    ] as const;
    for (const [specs, team] of later) {
      const next = await plan(CI, desired(specs, team));
      fingerprints.add(next.fingerprint);
      await apply(CI, next);
      for (const [, other] of later) expect(await isHeldBy(other, "a")).toBe(other === team);
      expect((await declared()).includes("b")).toBe(specs.length === 2);
    }
    expect(fingerprints.size).toBe(1);
  });

  it("are those of the last who has planned, where one has planned twice", async () => {
    const { labelled, desired, plan, apply, isHeldBy } = place("texts-8");
    const first = await plan(CI, desired([labelled("a", "shop")], "0000001"));
    const second = await plan(CI, desired([labelled("a", "web")], "0000002"));
    expect(second.fingerprint).toBe(first.fingerprint);
    await apply(CI, second);
    expect(await isHeldBy("web", "a")).toBe(true);
    expect(await isHeldBy("shop", "a")).toBe(false);
  });

  it("are those of the first who may apply everything, for another who has not planned", async () => {
    const { labelled, desired, plan, apply, declared, isHeldBy } = place("texts-9");
    await plan(PLANNER, desired([labelled("a", "evil")]));
    const scoped: Entry = { name: "texts-9-scoped", namespaces: ["texts-9-a"] };
    await plan(scoped, desired([labelled("a", "mine")], "0000003"));
    const shown = [labelled("a", "shop"), labelled("b", "shop", IN_SYNC)];
    await apply(ANA, await plan(CI, desired(shown)));
    expect(await isHeldBy("shop", "a")).toBe(true);
    expect(await declared()).toEqual(["a", "b"]);
  });

  it("of a token for some namespaces are its own, with those that nobody has known", async () => {
    const { labelled, desired, plan, apply, declared } = place("texts-10");
    await apply(CI, await plan(CI, desired([labelled("a", "shop"), labelled("z", "shop")])));
    const names = ["texts-10-a", "texts-10-new"];
    const scoped: Entry = { name: "texts-10-scoped", namespaces: names };
    const own = [labelled("a", "shop", { count: 3 }), labelled("new", "shop", IN_SYNC)];
    await plan(PLANNER, desired([labelled("a", "shop", { count: 3 })]));
    await apply(scoped, await plan(scoped, desired(own)));
    expect(await declared()).toEqual(["a", "new", "z"]);
  });
});

describe("the plan that people read", () => {
  it("stays as it was shown first, whoever sends what later", async () => {
    const { labelled, desired, plan } = place("texts-11");
    const first = await plan(PLANNER, desired([labelled("a", "shop")], "0000001"));
    const others = { source: { file: "manifests/other.yaml", line: 7, column: 1 } };
    for (const by of [PLANNER, CI, ANA])
      await plan(by, desired([labelled("a", "web", others)], "0000002"));
    const { body } = await call<Plan>("GET", `/v1/plans/${first.fingerprint}`);
    expect(body).toMatchObject({
      commit: "0000001",
      changes: [{ source: { file: "manifests/test.yaml" } }],
    });
    expect(await refusal("GET", "/v1/plans/nonsense")).toMatchObject({ status: 404 });
  });
});
