/**
 * The zod schemas of the HTTP API's requests: unknown keys are refused, sizes are bounded, and the
 * rules of manifests are checked, so that a plan is only ever made from a desired state that a
 * manifest could have given.
 */
import * as z from "zod";

import {
  checkNamespace,
  type DesiredFault,
  environmentFault,
  findRepeatedNames,
} from "../manifest/check-desired.ts";
import { filePathFault } from "../manifest/read-text.ts";
import type { ApplyRequest, PlanRequest } from "../model/api.ts";
import { GUARDS } from "../model/plan.ts";
import type { ReleaseRequest, ReviewRequest } from "../model/review.ts";
import { SHARD_COUNT_MAX, type NamespaceSpec } from "../model/spec.ts";
import { orderByDependency } from "../model/execution-order.ts";

/** Namespaces of one request, as of one set of manifests. */
const NAMESPACES_MAX = 50_000;

const NAME_LENGTH_MAX = 512;
const PATH_LENGTH_MAX = 1024;
const TEXT_LENGTH_MAX = 200;
const LIST_LENGTH_MAX = 1000;
/** Errors of one body after which it is read no further. */
const ERRORS_MAX = 100;
// Names end up in logs and terminals: no control characters.
const PRINTABLE = /^[^\p{Cc}\p{Cs}]+$/u;

const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits");
const count = z.int().min(0);

const key = z.strictObject({
  type: z.enum(["null", "integer", "real", "text", "blob"]),
  text: z.string().max(PATH_LENGTH_MAX),
});

const window = z.strictObject({
  start: z.string().max(TEXT_LENGTH_MAX),
  durationMs: count,
  timezone: z.string().max(TEXT_LENGTH_MAX),
});

// Types and sizes only: what a value may be is the manifests' rule, and checked by it.
const policy = z.strictObject({
  maxSkew: z.number(),
  selfHeal: z.enum(["off", "alert", "apply"]),
  suspend: z.boolean(),
  onMissingKey: z.enum(["reject", "allow"]),
  windows: z.array(window).max(LIST_LENGTH_MAX),
  budgetRows: count.nullable(),
  rowsPerSecondMax: count.nullable(),
  retainHours: z.number(),
  storageBytesMax: count.exactOptional(),
  maxFill: z.number().exactOptional(),
});

const namespaceSpec: z.ZodType<NamespaceSpec> = z
  .strictObject({
    name: z.string().max(NAME_LENGTH_MAX),
    labels: z.record(z.string().max(NAME_LENGTH_MAX), z.string().max(NAME_LENGTH_MAX)),
    object: z.string().max(NAME_LENGTH_MAX),
    strategy: z.enum(["hash", "range", "roundRobin", "custom", "none"]),
    shardKey: z.string().max(PATH_LENGTH_MAX).nullable(),
    count: z.int().min(1).max(SHARD_COUNT_MAX),
    directory: z.boolean(),
    splitPoints: z.array(key).max(LIST_LENGTH_MAX).nullable(),
    partitioner: z.string().max(NAME_LENGTH_MAX).nullable(),
    dependsOn: z.array(z.string().max(NAME_LENGTH_MAX)).max(LIST_LENGTH_MAX),
    policy,
    source: z.strictObject({
      file: z.string().superRefine((path, context) => {
        const message = filePathFault(path);
        if (message !== null) context.addIssue({ code: "custom", message });
      }),
      line: count,
      column: count,
    }),
  })
  .superRefine((spec, context) => {
    for (const { path, message } of checkNamespace(spec))
      context.addIssue({ code: "custom", path: [...path], message });
  });

/**
 * One after the other, and no further than there are errors to list: a body of thousands of things
 * that are no namespaces would else make millions of errors.
 */
const namespaces = z
  .array(z.unknown())
  .max(NAMESPACES_MAX)
  .transform((items, context): readonly NamespaceSpec[] => {
    const specs: NamespaceSpec[] = [];
    let errors = 0;
    for (const [index, item] of items.entries()) {
      const parsed = namespaceSpec.safeParse(item);
      if (parsed.success) specs.push(parsed.data);
      for (const { path, message } of parsed.error?.issues ?? []) {
        context.addIssue({ code: "custom", path: [index, ...path], message });
        errors++;
      }
      if (errors >= ERRORS_MAX) return z.NEVER;
    }
    const repeated = findRepeatedNames(specs.map(({ name }) => name));
    const faults = errors + repeated.length > 0 ? repeated : findDependencyFaults(specs);
    for (const { path, message } of faults.slice(0, ERRORS_MAX))
      context.addIssue({ code: "custom", path: [...path], message });
    return specs;
  });

/** Dependencies that the set does not declare, and those that go round in a circle. */
function findDependencyFaults(specs: readonly NamespaceSpec[]): DesiredFault[] {
  const { faults } = orderByDependency(specs);
  return specs.flatMap(({ name }, index) => {
    const message = faults.get(name);
    return message === undefined ? [] : [{ path: [index, "dependsOn"], message }];
  });
}

export const planRequestSchema: z.ZodType<PlanRequest> = z.strictObject({
  desired: z.strictObject({
    environment: z.string().superRefine((text, context) => {
      const message = environmentFault(text);
      if (message !== null) context.addIssue({ code: "custom", message });
    }),
    commit: z.string().max(200).regex(PRINTABLE, "must have no control characters").nullable(),
    namespaces,
  }),
  basis: fingerprint.exactOptional(),
  exact: z.boolean().exactOptional(),
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
