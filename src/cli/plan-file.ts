/**
 * Reads and writes the file of `plan --out`: the reviewed plan with the desired state that it was
 * made from, so that `apply --plan` can request exactly that plan again. Editing the file only
 * makes it stale: the server plans again, and the fingerprint must match.
 */
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";

import type { Plan } from "../model/plan.ts";
import type { DesiredState } from "../model/spec.ts";
import { readPlan } from "./answers.ts";
import { type CliResult, fail } from "./failure.ts";
import { reasonOf } from "./manifest-files.ts";

const PLAN_FILE_VERSION = 1;

export interface PlanFile {
  readonly plan: Plan;
  /** Null in a bare plan, as `plan --json` prints it: then the server must still know it. */
  readonly desired: DesiredState | null;
}

export async function writePlanFile(
  cwd: string,
  path: string,
  file: PlanFile,
): Promise<CliResult<null>> {
  const document = {
    kind: "ShardctlPlanFile",
    version: PLAN_FILE_VERSION,
    desired: file.desired,
    plan: file.plan,
  };
  try {
    await writeFile(resolve(cwd, path), `${JSON.stringify(document, null, 2)}\n`);
    return { ok: true, value: null };
  } catch (error) {
    return fail("file", `Cannot write the plan to ${path}: ${reasonOf(error)}.`);
  }
}

export async function readPlanFile(cwd: string, path: string): Promise<CliResult<PlanFile>> {
  const hint = "Make one with: shardctl plan --out plan.json";
  let body: unknown;
  try {
    body = JSON.parse(await readFile(resolve(cwd, path), "utf8"));
  } catch (error) {
    return fail("file", `Cannot read a plan from ${path}: ${reasonOf(error)}.`, hint);
  }
  const document =
    typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const whole = document["kind"] === "ShardctlPlanFile";
  if (whole && document["version"] !== PLAN_FILE_VERSION) {
    return fail(
      "file",
      `${path} is a plan file of version ${String(document["version"])}; this shardctl knows version ${PLAN_FILE_VERSION}.`,
      hint,
    );
  }
  const plan = readPlan(whole ? document["plan"] : body);
  if (typeof plan === "string")
    return fail("file", `Cannot read a plan from ${path}: ${plan}.`, hint);
  return {
    ok: true,
    value: { plan, desired: whole ? (document["desired"] as DesiredState | null) : null },
  };
}
