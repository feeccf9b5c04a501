/**
 * Metrics in the Prometheus text format 0.0.4. Source:
 * prometheus.io/docs/instrumenting/exposition_formats.
 *
 * Families come in the order given, their samples sorted by labels, so that two readings of the
 * same state are the same text.
 */

export interface MetricFamily {
  /** Such as `shardctl_rows_moved_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly samples: readonly MetricSample[];
}

export interface MetricSample {
  /** Of a histogram: `_bucket`, `_sum` or `_count`. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * The families as text; a family without a sample is its HELP and TYPE only. @throws Error for a
 * name that Prometheus does not take.
 */
export function renderMetrics(families: readonly MetricFamily[]): string {
  return families.map((family) => `${renderFamily(family).join("\n")}\n`).join("");
}

function renderFamily({ name, help, type, samples }: MetricFamily): string[] {
  if (!NAME.test(name)) throw new Error(`'${name}' is not a valid metric name`);
  const lines = samples.map(
    ({ suffix = "", labels, value }) =>
      `${name}${suffix}${renderLabels(labels)} ${renderValue(value)}`,
  );
  // Buckets have an order of their own: that of their limits.
  return [
    `# HELP ${name} ${escapeHelp(help)}`,
    `# TYPE ${name} ${type}`,
    ...(type === "histogram" ? lines : lines.toSorted()),
  ];
}

function renderLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    if (!NAME.test(name)) throw new Error(`'${name}' is not a valid label name`);
    return `${name}="${escapeLabel(value)}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function renderValue(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  // A lone surrogate is no UTF-8, and the reader would refuse the whole page.
  return escapeHelp(text.toWellFormed()).replaceAll('"', '\\"');
}
