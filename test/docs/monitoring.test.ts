/** The alert rules and the dashboard name metrics that the Worker has. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";
import { parse } from "yaml";

import { collectMetrics } from "../../src/metrics/collect.ts";
import type { CountersStore } from "../../src/metrics/counters-store.ts";

const read = (name: string): string =>
  readFileSync(
    fileURLToPath(new URL(`../../docs/monitoring/${name}`, import.meta.url).href),
    "utf8",
  );

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly targets: readonly { readonly expr: string }[];
  readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>;
}

const { groups } = parse(read("alerts.yaml")) as {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(read("dashboard.json")) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
};

/** Names in the text of queries; a histogram has three series. */
const metricsIn = (text: string): string[] =>
  [...text.matchAll(/\bshardctl_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, ""));

const known = new Set(
  collectMetrics(
    {
      environments: [],
      activeRuns: [],
      unfollowed: new Map(),
      paused: null,
      alerts: [],
      pullTasks: { count: 0, oldestDueAt: null },
      budget: null,
      fullest: [],
      now: 0,
    },
    { list: () => [] } as unknown as CountersStore,
  ).map(({ name }) => name),
);

describe("the alert rules", () => {
  it.each(rules.map((rule) => [rule.alert, rule] as const))(
    "%s asks for metrics there are",
    (_, rule) => {
      const named = metricsIn(rule.expr);
      expect(named).not.toEqual([]);
      expect(named.filter((name) => !known.has(name))).toEqual([]);
      expect(Object.keys(rule)).toEqual(
        ["alert", "expr", "for", "labels", "annotations"].filter((key) => key in rule),
      );
      expect(rule.for ?? "1m").toMatch(/^\d+[smh]$/);
      expect(rule.labels["severity"]).toMatch(/^(?:warning|critical)$/);
      expect(rule.annotations["summary"]).toBeTruthy();
    },
  );

  it("have a name each", () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    expect(rules.length).toBeGreaterThan(5);
  });
});

describe("the dashboard", () => {
  it.each(dashboard.panels.map((panel) => [panel.title, panel] as const))(
    "'%s' asks for metrics there are",
    (_, { targets }) => {
      const named = targets.flatMap(({ expr }) => metricsIn(expr));
      expect(named).not.toEqual([]);
      expect(named.filter((name) => !known.has(name))).toEqual([]);
    },
  );

  it("has panels that lie on no other, and a number each", () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from(
        { length: w * h },
        (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`,
      ),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const named = dashboard.templating.list.flatMap(({ query }) => metricsIn(query));
    expect(named.filter((name) => !known.has(name))).toEqual([]);
  });
});
