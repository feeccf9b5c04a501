/** The Prometheus text format, read back by its grammar. */
import { assert, property, string } from "fast-check";
import { expect, it } from "vitest";

import { type MetricFamily, renderMetrics } from "../../src/metrics/metrics-text.ts";

/**
 * One line of samples: name, labels, value. Source:
 * prometheus.io/docs/instrumenting/exposition_formats.
 */
const SAMPLE =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/;

function family(changes: Partial<MetricFamily> = {}): MetricFamily {
  return { name: "shardctl_drifts", help: "Drifts.", type: "gauge", samples: [], ...changes };
}

it("gives help, type and sorted samples", () => {
  const text = renderMetrics([
    family({
      samples: [
        { labels: { environment: "b", kind: "spec" }, value: 2 },
        { labels: { environment: "a", kind: "spec" }, value: 0.5 },
      ],
    }),
    family({
      name: "shardctl_up",
      help: "Line one\nand \\ two.",
      type: "counter",
      samples: [{ labels: {}, value: Number.POSITIVE_INFINITY }],
    }),
  ]);
  expect(text).toBe(
    [
      "# HELP shardctl_drifts Drifts.",
      "# TYPE shardctl_drifts gauge",
      'shardctl_drifts{environment="a",kind="spec"} 0.5',
      'shardctl_drifts{environment="b",kind="spec"} 2',
      "# HELP shardctl_up Line one\\nand \\\\ two.",
      "# TYPE shardctl_up counter",
      "shardctl_up +Inf",
      "",
    ].join("\n"),
  );
});

it("keeps the buckets of a histogram in their order", () => {
  const bucket = (le: string, value: number) => ({
    suffix: "_bucket" as const,
    labels: { le },
    value,
  });
  const text = renderMetrics([
    family({ type: "histogram", samples: [bucket("5", 1), bucket("10", 2), bucket("+Inf", 3)] }),
  ]);
  expect(text.split("\n").slice(2, 5)).toEqual([
    'shardctl_drifts_bucket{le="5"} 1',
    'shardctl_drifts_bucket{le="10"} 2',
    'shardctl_drifts_bucket{le="+Inf"} 3',
  ]);
});

it("carries any text in a label, and nothing of it out of the label", () => {
  assert(
    property(string({ unit: "binary" }), (value) => {
      const lines = renderMetrics([
        family({ samples: [{ labels: { environment: value }, value: 1 }] }),
      ])
        .trimEnd()
        .split("\n");
      expect(lines).toHaveLength(3);
      const [, name, labels = ""] = SAMPLE.exec(lines[2] ?? "") ?? [];
      expect(name).toBe("shardctl_drifts");
      const raw = labels.slice('environment="'.length, -1);
      const unescaped = raw.replace(/\\(.)/g, (_, mark: string) => (mark === "n" ? "\n" : mark));
      expect(unescaped).toBe(value.toWellFormed());
    }),
  );
});

it.each(["shardctl-drifts", "1st", "a b"])("refuses the name '%s'", (name) => {
  expect(() => renderMetrics([family({ name })])).toThrow("is not a valid");
});
