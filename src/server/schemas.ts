/**
 * The zod schemas of the HTTP API's requests: unknown keys are refused, sizes are bounded, and the
 * rules of `NamespaceSpec` that its type cannot say are checked, so that a plan is only ever made
 * from a desired state that a manifest could have given.
 */
import * as z from "zod";

import type { ApplyRequest, PlanRequest } from "../model/api.ts";
import { GUARDS } from "../model/plan.ts";
import type { ReleaseRequest, ReviewRequest } from "../model/review.ts";
import { SHARD_COUNT_MAX, type NamespaceSpec } from "../model/spec.ts";
import { isReadableWindow } from "../runs/windows.ts";

/** Namespaces of one request, as of one set of manifests. */
const NAMESPACES_MAX = 50_000;

const NAME_LENGTH_MAX = 512;
const PATH_LENGTH_MAX = 1024;
// Names end up in logs and terminals: no control characters.
const PRINTABLE = /^[^\p{Cc}\p{Cs}]+$/u;

const name = z
  .string()
  .min(1)
  .max(NAME_LENGTH_MAX)
  .regex(PRINTABLE, "must have no control characters");
const bindingName = z
  .string()
  .max(NAME_LENGTH_MAX)
  .regex(/^[A-Za-z_$][\w$]*$/, "must be the name of a binding, such as ORDERS");
const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits");
const count = z.int().min(0);

const key = z.strictObject({
  type: z.enum(["null", "integer", "real", "text", "blob"]),
  text: z.string().max(PATH_LENGTH_MAX),
});

const window = z
  .strictObject({ start: z.string().max(100), durationMs: count, timezone: z.string().max(100) })
  .refine(isReadableWindow, "must have a cron expression as start and an IANA time zone");

const policy = z.strictObject({
  maxSkew: z.number().min(1),
  selfHeal: z.enum(["off", "alert", "apply"]),
  suspend: z.boolean(),
  onMissingKey: z.enum(["reject", "allow"]),
  windows: z.array(window).max(100),
  budgetRows: count.nullable(),
  rowsPerSecondMax: count.min(1).nullable(),
  retainHours: z.number().min(0),
});

const namespaceSpec = z
  .strictObject({
    name,
    labels: z.record(z.string().max(NAME_LENGTH_MAX), z.string().max(NAME_LENGTH_MAX)),
    object: bindingName,
    strategy: z.enum(["hash", "range", "roundRobin", "custom", "none"]),
    shardKey: z.string().min(1).max(PATH_LENGTH_MAX).nullable(),
    count: z.int().min(1).max(SHARD_COUNT_MAX),
    directory: z.boolean(),
    splitPoints: z.array(key).max(SHARD_COUNT_MAX).nullable(),
    partitioner: name.nullable(),
    dependsOn: z.array(name).max(NAMESPACES_MAX),
    policy,
    source: z.strictObject({ file: z.string().max(4096), line: count, column: count }),
  })
  .superRefine((spec, context) => {
    for (const [path, message] of findContradictions(spec))
      context.addIssue({ code: "custom", path: [path], message });
  });

export const planRequestSchema: z.ZodType<PlanRequest> = z.strictObject({
  desired: z.strictObject({
    environment: name,
    commit: z.string().max(200).nullable(),
    namespaces: z
      .array(namespaceSpec)
      .max(NAMESPACES_MAX)
      .superRefine((specs, context) => {
        const seen = new Set<string>();
        specs.forEach((spec, index) => {
          if (seen.has(spec.name))
            context.addIssue({
              code: "custom",
              path: [index, "name"],
              message: `'${spec.name}' is given twice`,
            });
          seen.add(spec.name);
        });
      }),
  }),
  basis: fingerprint.exactOptional(),
});

const commitSha = z.string().regex(/^[0-9a-f]{40}$/, "must be 40 lower-case hex digits");
const pullNumber = z.int().min(1);
const pageUrl = z.url({ protocol: /^https?$/ }).max(2048);

const originSchema = z.strictObject({
  pull: pullNumber.nullable(),
  commit: commitSha.nullable(),
  runUrl: pageUrl.nullable(),
});

export const applyRequestSchema: z.ZodType<ApplyRequest> = z.strictObject({
  origin: originSchema.exactOptional(),
  overrides: z.array(z.enum(GUARDS)).max(GUARDS.length).exactOptional(),
  requestedBy: z
    .string()
    .max(200)
    .regex(PRINTABLE, "must have no control characters")
    .exactOptional(),
});

const loginName = z.string().min(1).max(100).regex(PRINTABLE, "must have no control characters");
const guards = z.array(z.enum(GUARDS)).max(GUARDS.length);

export const reviewRequestSchema: z.ZodType<ReviewRequest> = z.strictObject({
  pull: pullNumber,
  headSha: commitSha,
  fingerprint,
  runUrl: pageUrl.nullable(),
});

export const releaseRequestSchema: z.ZodType<ReleaseRequest> = z.strictObject({
  fingerprint,
  releasedBy: loginName,
  overrides: guards,
});

/** Options that do not fit the strategy, by field. */
function findContradictions(
  spec: Pick<
    NamespaceSpec,
    "strategy" | "shardKey" | "count" | "directory" | "splitPoints" | "partitioner"
  >,
): [string, string][] {
  const { strategy, shardKey, splitPoints, partitioner } = spec;
  const found: [string, string][] = [];
  if (strategy === "none" && shardKey !== null)
    found.push(["shardKey", "must be null with strategy none"]);
  if (strategy !== "none" && shardKey === null)
    found.push(["shardKey", `is needed with strategy ${strategy}`]);
  if (strategy === "none" && spec.count !== 1)
    found.push(["count", "must be 1 with strategy none"]);
  if (strategy === "roundRobin" && !spec.directory)
    found.push(["directory", "must be true with strategy roundRobin"]);
  if (strategy !== "range" && splitPoints !== null)
    found.push(["splitPoints", "are for strategy range only"]);
  if (strategy === "range" && splitPoints !== null && splitPoints.length !== spec.count - 1) {
    found.push([
      "splitPoints",
      `must be count - 1 = ${spec.count - 1}, there are ${splitPoints.length}`,
    ]);
  }
  if (strategy !== "custom" && partitioner !== null)
    found.push(["partitioner", "is for strategy custom only"]);
  if (strategy === "custom" && partitioner === null)
    found.push(["partitioner", "is needed with strategy custom"]);
  return found;
}
