/**
 * The schema of a `Namespace` document. Structure and single values only: what depends on two
 * values at once is in `check-spec.ts`.
 */
import * as z from "zod";

import type { Strategy } from "../model/layout/layout.ts";
import { STORAGE_BYTES_MAX } from "../model/member-states.ts";
import { DEFAULT_MAX_FILL, DEFAULT_POLICY, SHARD_COUNT_MAX } from "../model/spec.ts";
import * as fields from "./fields.ts";

export const API_VERSION = "shardctl.dev/v1";
export const NAMESPACE_KIND = "Namespace";

const STRATEGIES = [
  "hash",
  "range",
  "roundRobin",
  "custom",
  "none",
] as const satisfies readonly Strategy[];
const RETAIN_HOURS_MAX = 8760;
/** The private tables and the reserve alone take a part of a megabyte. */
const STORAGE_LIMIT_MIN = 1_000_000;
const MAX_SKEW_MAX = 1000;
const LABELS_MAX = 64;

const windowSchema = z
  .strictObject(
    {
      start: fields.cronExpression().meta({
        description: "When the window opens: a cron expression with 5 fields.",
        examples: ["0 2 * * 1-5"],
      }),
      duration: fields.duration().meta({
        description: "How long it stays open, at most 7 days.",
        examples: ["2h", "30m", "1h30m"],
      }),
      timezone: fields
        .timezone()
        .optional()
        .meta({
          description: "IANA time zone of `start`. Default UTC.",
          examples: ["Europe/Berlin", "UTC"],
        }),
    },
    {
      error:
        'must be a map with start and duration, for example { start: "0 2 * * 1-5", duration: 2h, timezone: Europe/Berlin }',
    },
  )
  .meta({ description: "A time in which changes may start." });

const skewError = `must be a number above 1, at most ${MAX_SKEW_MAX}`;

const budgetSchema = z.strictObject(
  {
    rows: fields.wholeNumber(1, Number.MAX_SAFE_INTEGER).meta({
      description:
        "Most rows that one action may move. An action above it is blocked, not truncated.",
      examples: [5_000_000],
    }),
  },
  { error: "must be a map, for example { rows: 5000000 }" },
);

const fillError = "must be a number above 0 and below 1, such as 0.7";
const fill = z.number({ error: fillError }).gt(0, { error: fillError }).lt(1, { error: fillError });

const policyShape = {
  maxSkew: z
    .number({ error: skewError })
    .gt(1, { error: skewError })
    .max(MAX_SKEW_MAX, { error: skewError })
    .meta({
      description: `Largest tolerated max/average rows over shards. Default ${DEFAULT_POLICY.maxSkew}.`,
      examples: [1.5],
    }),
  selfHeal: fields.oneOf(["off", "alert", "apply"]).meta({
    description: `What reconciliation may do by itself after drift. Default ${DEFAULT_POLICY.selfHeal}.`,
  }),
  suspend: fields
    .flag()
    .meta({ description: "True stops every change of this namespace. Default false." }),
  onMissingKey: fields.oneOf(["reject", "allow"]).meta({
    description:
      "Rows without the shard key: refuse the change, or route them by the empty key. Default reject.",
  }),
  windows: z
    .array(windowSchema, { error: "must be a list of windows" })
    .max(32, { error: "must be a list of at most 32 windows" })
    .meta({ description: "Times in which changes may start. Left out: always." }),
  budget: budgetSchema.meta({ description: "Limits of one action. Left out: none." }),
  rowsPerSecondMax: fields.wholeNumber(1, Number.MAX_SAFE_INTEGER).meta({
    description: "Throttle of the copy, in rows per second. Left out: none.",
    examples: [20_000],
  }),
  retainHours: fields.wholeNumber(0, RETAIN_HOURS_MAX).meta({
    description: `How long retired members keep their rows, in hours. Default ${DEFAULT_POLICY.retainHours}.`,
    examples: [24],
  }),
  storageBytesMax: fields.wholeNumber(STORAGE_LIMIT_MIN, STORAGE_BYTES_MAX).meta({
    description: `Most bytes that one object may take, with indexes and all that a change keeps for a while. Left out: ${STORAGE_BYTES_MAX}, which an object can store.`,
    examples: [8_000_000_000],
  }),
  maxFill: fill.meta({
    description: `Share of what an object may store, from which on drift capacity warns; it alerts halfway from there to full. Default ${DEFAULT_MAX_FILL}.`,
    examples: [0.7],
  }),
};

const splitPointError = 'must be a number, text, or { blob: "<hex digits>" }';
const blobSchema = z.strictObject({
  blob: fields.textThat(
    'must be hex digits in quotes, two for each byte, such as "0AFF"',
    /^(?:[0-9A-Fa-f]{2})*$/u,
  ),
});
const splitPointSchema = z
  .custom<number | bigint | string | { readonly blob: string }>(
    (value) =>
      typeof value === "string" ||
      typeof value === "bigint" ||
      (typeof value === "number" && !Number.isNaN(value)) ||
      blobSchema.safeParse(value).success,
    { error: splitPointError },
  )
  .meta({
    anyOf: [
      { type: ["number", "string"] },
      {
        type: "object",
        required: ["blob"],
        additionalProperties: false,
        properties: { blob: { type: "string" } },
      },
    ],
  });

const specShape = {
  object: fields
    .identifier("the Durable Object binding whose class holds the namespace", "ORDERS")
    .meta({
      description: "Durable Object binding whose class holds this namespace.",
      examples: ["ORDERS"],
    }),
  strategy: fields
    .oneOf(STRATEGIES)
    .meta({ description: "How rows find their shard. none is unsharded.", examples: ["hash"] }),
  shardKey: fields.shardKeyPath().meta({
    description: "Column, or JSON path below a JSON column. Every strategy but none needs it.",
    examples: ["id", "data.customer.id"],
  }),
  count: fields
    .wholeNumber(1, SHARD_COUNT_MAX)
    .meta({ description: "Number of shards.", examples: [8] }),
  directory: fields.flag().meta({
    description:
      "True: ids are unique over the shards and found without their key. Always on for roundRobin. Default false.",
  }),
  splitPoints: z
    .array(splitPointSchema, { error: "must be a list of count - 1 keys, such as [1000, 2000]" })
    .max(SHARD_COUNT_MAX - 1, { error: `must be a list of at most ${SHARD_COUNT_MAX - 1} keys` })
    .meta({
      description:
        "range only: the count - 1 inner bounds, ascending. Left out: quantiles, frozen in the plan.",
      examples: [[1000, 2000]],
    }),
  partitioner: fields
    .identifier("the name of a partitioner that the class registers", "byRegion")
    .meta({
      description: "custom only: a partitioner that the class registers under this name.",
      examples: ["byRegion"],
    }),
  dependsOn: z
    .array(fields.namespaceName(), { error: "must be a list of names of namespaces" })
    .max(100, { error: "must be a list of at most 100 names of namespaces" })
    .meta({
      description: "Namespaces whose actions must have finished before this one's start.",
      examples: [["customers"]],
    }),
};

export const policySchema = z
  .strictObject(optionalFields(policyShape), { error: "must be a map of policy options" })
  .meta({ description: "What changes of this namespace must respect." });

const overrideSchema = z
  .strictObject(
    {
      ...optionalFields(nullableFields(specShape)),
      object: specShape.object.optional(),
      strategy: specShape.strategy.optional(),
      policy: z
        .strictObject(optionalFields(nullableFields(policyShape)), {
          error: "must be a map of policy options",
        })
        .nullish()
        .meta({ description: "Merged over the policy of spec. null removes it." }),
    },
    { error: "must be a map of the options that differ in this environment" },
  )
  .meta({
    description:
      "Options that differ in this environment, merged over spec. null removes an option.",
  });

const specSchema = z
  .strictObject(
    {
      ...optionalFields(specShape),
      object: specShape.object,
      strategy: specShape.strategy,
      policy: policySchema.optional(),
      environments: z
        .record(
          z.string().regex(fields.ENVIRONMENT_NAME, { error: fields.ENVIRONMENT_EXPECTED }),
          overrideSchema,
          {
            error: "must be a map from the names of environments to what differs there",
          },
        )
        .optional()
        .meta({ description: "Overrides by environment.", examples: [{ staging: { count: 2 } }] }),
    },
    { error: "must be a map with object, strategy, shardKey and count" },
  )
  .meta({ description: "The layout that this namespace should have." });

const labelValueError = "must be text of at most 256 characters";
const labelKeyError = "must be a label name: at most 63 letters, digits, ., _, / and -";

/** `apiVersion` and `kind` are checked before, with their own messages. */
export const namespaceSchema = z
  .strictObject({
    apiVersion: z
      .literal(API_VERSION, { error: `must be ${API_VERSION}` })
      .meta({ description: "Version of this format." }),
    kind: z
      .literal(NAMESPACE_KIND, { error: `must be ${NAMESPACE_KIND}` })
      .meta({ description: "What this document declares." }),
    metadata: z.strictObject(
      {
        name: fields.namespaceName().meta({
          description: "Name of the namespace: the name of its root object.",
          examples: ["orders"],
        }),
        labels: z
          .record(
            z.string().regex(/^[A-Za-z0-9][\w./-]{0,62}$/u, { error: labelKeyError }),
            z
              .string({ error: labelValueError })
              .max(256, { error: labelValueError })
              .refine(fields.isPrintable, { error: "must not have control characters" }),
            { error: "must be a map from label names to text" },
          )
          .refine((labels) => Object.keys(labels).length <= LABELS_MAX, {
            error: `must be a map of at most ${LABELS_MAX} labels`,
          })
          .optional()
          .meta({
            description: "Free labels, shown in reports.",
            examples: [{ team: "checkout" }],
          }),
      },
      { error: "must be a map with name" },
    ),
    spec: specSchema,
  })
  .meta({
    title: "shardctl namespace",
    description: "A dataset inside one Durable Object class, and the shards that it should have.",
  });

/** The `spec` before defaults: the options of one environment after merging. */
export type RawSpec = Omit<z.infer<typeof specSchema>, "environments">;
export type RawSplitPoint = z.infer<typeof splitPointSchema>;

type Shape = Readonly<Record<string, z.ZodType>>;
type Optional<S extends Shape> = { [Key in keyof S]: z.ZodOptional<S[Key]> };
type Nullable<S extends Shape> = { [Key in keyof S]: z.ZodNullable<S[Key]> };

function optionalFields<S extends Shape>(shape: S): Optional<S> {
  return Object.fromEntries(
    Object.entries(shape).map(([key, field]) => [key, carryMeta(field, z.optional(field))]),
  ) as Optional<S>;
}

function nullableFields<S extends Shape>(shape: S): Nullable<S> {
  return Object.fromEntries(
    Object.entries(shape).map(([key, field]) => [key, carryMeta(field, z.nullable(field))]),
  ) as Nullable<S>;
}

/** Wrappers keep the description and examples of what they wrap, for editors. */
function carryMeta<T extends z.ZodType>(from: z.ZodType, to: T): T {
  const { description, examples } = from.meta() ?? {};
  return to.meta({
    ...(description === undefined ? {} : { description }),
    ...(examples === undefined ? {} : { examples }),
  });
}
