import { Script } from "node:vm";

import { describe, expect, it } from "vitest";

import type { SizeHistory } from "../../src/model/size-history.ts";
import type { Markup } from "../../src/page/html/markup.ts";
import { toText } from "../../src/page/html/markup.ts";
import { renderDocument } from "../../src/page/html/frame.ts";
import { renderLogin, renderMessage } from "../../src/page/html/message-pages.ts";
import { renderNamespacePage } from "../../src/page/namespace-page.ts";
import { describeEta } from "../../src/page/operation-panel.ts";
import { renderOverview } from "../../src/page/overview.ts";
import { SCRIPT } from "../../src/page/html/script.ts";
import { BUCKETS_MAX, listMembers, makeSight, viewOperation } from "../../src/page/sight.ts";
import { STYLESHEET } from "../../src/page/html/stylesheet.ts";
import {
  BUSY,
  condition,
  drift,
  driftsOf,
  event,
  FULL,
  HELD,
  HOSTILE,
  LINKS,
  LOST,
  MIXED,
  namespacePage,
  ORDERS,
  OUT_OF_STEP,
  overview,
  PAUSE,
  shift,
  SHIFTING,
  SKEWED,
  THOUSAND,
  view,
  withSilent,
} from "../support/page-states.ts";
import { COUNTED_AT, hashOf, liveNamespace, rowsOf, world } from "../support/state.ts";

const DAY_MS = 86_400_000;
const GOLDEN = "../golden/page";
const ASSETS = { stylesheet: "/assets/style.css", script: "/assets/script.js", build: "build" };

const hostile = liveNamespace(
  world(HOSTILE, { object: "ORDERS", layout: hashOf(HOSTILE, 3), rows: rowsOf(300) }),
);

const disordered = [LOST, OUT_OF_STEP].map((live) =>
  view(live, {
    drifts: driftsOf(live),
    condition: condition(live.name, {
      type: "Stalled",
      reason: live.disorder?.kind === "registryLost" ? "RegistryLost" : "OutOfStep",
    }),
  }),
);
const [lost, outOfStep] = disordered;
const faulty = [FULL, MIXED].map((live) => view(live, { drifts: driftsOf(live) }));
const [full, mixed] = faulty;

/** A month of a member that grows, beside one that does not. */
const SIZES: SizeHistory = {
  points: Array.from({ length: 31 }, (_, day) => ({
    at: COUNTED_AT - (30 - day) * DAY_MS,
    bytes: 6_000_000_000 + day * 100_000_000,
    total: 8_000_000_000 + day * 100_000_000,
    epoch: 3,
  })),
  members: ["orders-shard-1", "orders-shard-0"].map((name, index) => ({
    name,
    points: Array.from({ length: 31 }, (_, day) => ({
      at: COUNTED_AT - (30 - day) * DAY_MS,
      bytes: index === 0 ? 6_000_000_000 + day * 100_000_000 : 2_000_000_000,
    })),
  })),
};

const pages: readonly (readonly [string, Markup])[] = [
  [
    "empty",
    renderOverview(
      overview({ environment: null, environments: [], commit: null, checkedAt: null }),
      LINKS,
    ),
  ],
  ["busy", renderOverview(BUSY, LINKS)],
  [
    "paused",
    renderOverview(
      overview({
        paused: { by: "ci", reason: "database upgrade", at: COUNTED_AT },
        manifestsProblem:
          "the manifests do not parse: orders.yaml:3. The last valid manifests stay in force.",
        namespaces: [
          view(liveNamespace(ORDERS), {
            condition: condition("orders", { type: "Reconciling", reason: "Paused" }),
          }),
        ],
        isComplete: false,
      }),
      LINKS,
    ),
  ],
  [
    "many-pages",
    renderOverview(
      overview({
        namespaces: [view(liveNamespace(ORDERS))],
        counts: { Stalled: 12, Reconciling: 3, Ready: 9_985, Unknown: 0 },
        state: "Ready",
        search: "ord & <b>",
        page: 2,
        pages: 200,
        matches: 9_985,
        environments: ["production", "staging"],
        running: [
          { namespace: "elsewhere", object: "ORDERS", step: "copy", isPaused: false },
          { namespace: "resting", object: "ORDERS", step: "verify", isPaused: true },
        ],
      }),
      LINKS,
    ),
  ],
  [
    "hostile",
    renderOverview(
      overview({
        environment: HOSTILE,
        namespaces: [
          view(hostile, {
            condition: condition(HOSTILE, { message: HOSTILE }),
            drifts: [drift("orphan", HOSTILE, { reason: HOSTILE })],
          }),
        ],
        search: HOSTILE,
        paused: { by: HOSTILE, reason: HOSTILE, at: COUNTED_AT },
        events: [
          event({
            id: 1,
            kind: "drift",
            namespace: HOSTILE,
            summary: HOSTILE.repeat(20),
            actor: HOSTILE,
            commit: HOSTILE,
            run: HOSTILE,
          }),
        ],
      }),
      LINKS,
    ),
  ],
  [
    "namespace-shift",
    renderNamespacePage(
      namespacePage(liveNamespace(SHIFTING), { history: [viewOperation(shift(ORDERS))] }),
      LINKS,
    ),
  ],
  [
    "namespace-held",
    renderNamespacePage(
      namespacePage(liveNamespace(HELD), {
        history: [
          viewOperation(shift(ORDERS, { paused: PAUSE, writePauseMs: { last: 18, max: 41 } })),
          viewOperation(
            shift(ORDERS, {
              id: 6,
              state: "completed",
              finishedAt: COUNTED_AT,
              rowsCopied: 4_000,
              writePauseMs: { last: 12, max: 12 },
            }),
          ),
        ],
      }),
      LINKS,
    ),
  ],
  ["overview-held", renderOverview(overview({ namespaces: [view(liveNamespace(HELD))] }), LINKS)],
  [
    "namespace-thousand",
    renderNamespacePage(namespacePage(withSilent(liveNamespace(THOUSAND), 2)), LINKS),
  ],
  [
    "namespace-drift",
    renderNamespacePage(
      namespacePage(liveNamespace(SKEWED), {
        namespace: view(liveNamespace(SKEWED), {
          condition: condition("sessions", {
            type: "Stalled",
            reason: "RetriesExhausted",
            message: "5 runs failed: no answer",
            failures: 5,
          }),
          drifts: [
            drift("spec", "sessions", {
              reason: "rebalance: split points → secret-c, secret-d (live was changed)",
            }),
          ],
        }),
        history: [
          viewOperation(
            shift(ORDERS, {
              state: "failed",
              finishedAt: COUNTED_AT,
              fault: { kind: "missingKey", message: "3 rows lack the shard key" },
            }),
          ),
        ],
        problem: "unreachable: no answer within 2000 ms",
        events: [
          event({
            id: 5,
            kind: "drift",
            namespace: "sessions",
            summary: "skew: more uneven than policy.maxSkew 1.5 allows",
          }),
        ],
      }),
      LINKS,
    ),
  ],
  [
    "namespace-full",
    renderNamespacePage(
      namespacePage(FULL, {
        ...(full && { namespace: full }),
        history: FULL.operation ? [viewOperation(FULL.operation)] : [],
      }),
      LINKS,
    ),
  ],
  [
    "namespace-mixed",
    renderNamespacePage(namespacePage(MIXED, { ...(mixed && { namespace: mixed }) }), LINKS),
  ],
  ["overview-faulty", renderOverview(overview({ namespaces: faulty }), LINKS)],
  ["overview-disorder", renderOverview(overview({ namespaces: disordered }), LINKS)],
  [
    "namespace-lost",
    renderNamespacePage(namespacePage(LOST, { ...(lost && { namespace: lost }) }), LINKS),
  ],
  [
    "namespace-out-of-step",
    renderNamespacePage(
      namespacePage(OUT_OF_STEP, { ...(outOfStep && { namespace: outOfStep }) }),
      LINKS,
    ),
  ],
  [
    "namespace-storage",
    renderNamespacePage(
      namespacePage(FULL, {
        capacity: {
          bytesMax: 10_000_000_000,
          maxFill: 0.7,
          forecast: { kind: "full", fromDays: 8.1, toDays: 9.7 },
        },
        sizes: SIZES,
      }),
      LINKS,
    ),
  ],
  ["namespace-hostile", renderNamespacePage(namespacePage(hostile), LINKS)],
  [
    "login",
    renderLogin({
      next: `/?search=${HOSTILE}`,
      problem: "The token is not known to this Worker.",
      hasAccess: true,
    }),
  ],
  ["message", renderMessage("Not found", `No namespace ${HOSTILE}`)],
];

describe("pages", () => {
  it.each(pages)("%s", async (name, main) => {
    await expect(`${await toText(main)}\n`).toMatchFileSnapshot(`${GOLDEN}/${name}.html`);
  });

  it("stand in a document", async () => {
    const document = await renderDocument(renderMessage("Title", "Detail"), {
      title: HOSTILE,
      assets: ASSETS,
      etag: '"tag"',
      surroundings: { environment: "staging", environments: ["production", "staging"] },
      canSignOut: true,
    });
    await expect(document).toMatchFileSnapshot(`${GOLDEN}/document.html`);
  });

  it.each(pages)(
    "%s keeps what the strict policy and readers of screens need",
    async (_name, main) => {
      const html = await toText(main);
      expect(html).not.toMatch(
        /<(script|style|iframe|object|embed)\b|\sstyle=|\son[a-z]+=(?!x)["']|javascript:/i,
      );
      for (const mark of ["\u202E", "\u0007"]) expect(html).not.toContain(mark);
      expect(html).not.toContain("secret-");
      expect(html.match(/<h1\b/g)).toHaveLength(1);
      for (const table of html.match(/<table[\s\S]*?<\/table>/g) ?? [])
        expect(table).toContain("<caption");
      for (const svg of html.match(/<svg[^>]*>/g) ?? [])
        expect(svg).toMatch(/role="img" aria-label="[^"]+"/);
      const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
      expect(new Set(ids).size).toBe(ids.length);
    },
  );

  it("show what is wrong with members, and the way out", async () => {
    const shown = (
      await toText(renderOverview(overview({ namespaces: faulty }), LINKS))
    ).replaceAll("&#39;", "'");
    const found = [FULL, MIXED].flatMap(driftsOf);
    expect(found.map(({ kind }) => kind)).toEqual([
      "capacity",
      "storageFull",
      "unhealthy",
      "mixedVersions",
    ]);
    for (const { kind, reason, remedy } of found)
      for (const text of [kind, reason, remedy]) expect(shown).toContain(text);
  });

  it("writers 1: show what is out of step, and the way out, on both pages", async () => {
    const list = (
      await toText(renderOverview(overview({ namespaces: disordered }), LINKS))
    ).replaceAll("&#39;", "'");
    const one = await toText(renderNamespacePage(namespacePage(LOST), LINKS));
    for (const text of ["registry lost: needs a repair", "out of step: needs a repair"])
      expect(list).toContain(text);
    expect(one).toContain("<code>shardctl repair carts</code>");
    for (const { kind, reason, remedy } of [LOST, OUT_OF_STEP].flatMap(driftsOf))
      for (const text of [kind, reason, remedy]) expect(list).toContain(text);
  });

  it("show the version and the size of each member, and how old they are where it is silent", async () => {
    const html = await toText(renderNamespacePage(namespacePage(MIXED), LINKS));
    const rowOf = (name: string): string =>
      new RegExp(`<tr[^>]*data-key="${name}".*?</tr>`, "s").exec(html)?.[0] ?? "";
    for (const text of ["98.0 kB", "0.1.0", "5f2a0c3b9d17"])
      expect(rowOf("orders-shard-1")).toContain(text);
    expect(rowOf("orders-shard-1")).not.toContain("<time");
    for (const text of ["98.0 kB", "0.2.0", "<time"])
      expect(rowOf("orders-shard-2")).toContain(text);
    // Objects of the version before say nothing of themselves.
    const plain = await toText(renderNamespacePage(namespacePage(liveNamespace(ORDERS)), LINKS));
    for (const head of ["Storage", "Library", "Schema"])
      expect([head, plain.includes(`>${head}<`)]).toEqual([head, false]);
  });

  it("name no row's key where an operation or a reason could", async () => {
    const page = namespacePage(liveNamespace(SKEWED), {
      problem: "rebalance: split points → secret-a, secret-b",
    });
    expect(await toText(renderNamespacePage(page, LINKS))).not.toContain("secret-");
  });
});

describe("a sight", () => {
  it.each([1, 2, BUCKETS_MAX, BUCKETS_MAX + 1, 999, 1000])(
    "of %i members puts every member in one bucket",
    (count) => {
      const live = liveNamespace(world("n", { layout: hashOf("n", count), rows: rowsOf(5_000) }));
      const { buckets, rows } = makeSight(live, 0);
      expect(buckets.length).toBeLessThanOrEqual(BUCKETS_MAX);
      expect(buckets.reduce((sum, { members }) => sum + members, 0)).toBe(count);
      expect(buckets.reduce((sum, { rowsTotal }) => sum + rowsTotal, 0)).toBe(rows);
      buckets.forEach(({ first, members, rowsMin, rowsMax }, index) => {
        const own = live.members.slice(first, first + members).map((member) => member.rows);
        expect([rowsMin, rowsMax]).toEqual([Math.min(...own), Math.max(...own)]);
        expect(first + members).toBe(buckets[index + 1]?.first ?? count);
      });
      expect(
        Math.max(...buckets.map(({ members }) => members)) -
          Math.min(...buckets.map(({ members }) => members)),
      ).toBeLessThan(2);
    },
  );

  it("knows no skew while a member is silent, and names the silent ones", () => {
    const sight = makeSight(withSilent(liveNamespace(ORDERS), 7), 0);
    expect(sight).toMatchObject({
      skew: null,
      unhealthyCount: 7,
      fullest: { name: "orders-shard-7" },
    });
    expect(sight.unhealthy).toHaveLength(5);
  });

  it("lists of a thousand members the silent, the fullest and the emptiest", () => {
    const live = withSilent(liveNamespace(THOUSAND), 2);
    const listed = listMembers(live.members);
    expect(listed).toHaveLength(27);
    expect(listed.slice(0, 2).map(({ healthy }) => healthy)).toEqual([false, false]);
    const rows = live.members.slice(2).map((member) => member.rows);
    expect(listed[2]?.rows).toBe(Math.max(...rows));
    expect(listed.at(-1)?.rows).toBe(Math.min(...rows));
  });

  it("of an operation leaves its layouts out", () => {
    const text = JSON.stringify(
      viewOperation(shift(SKEWED, { from: SKEWED.layout, correlationId: "run-a-b:sessions" })),
    );
    expect(text).not.toContain("secret-");
    expect(JSON.parse(text)).toMatchObject({ run: "run-a-b" });
  });
});

describe("the time left", () => {
  const cases = [
    [
      "nothing done",
      { rowsCopied: 0, rowsVerified: 0 },
      "not known yet: too little is done to estimate it",
    ],
    [
      "just begun",
      { startedAt: COUNTED_AT - 500 },
      "not known yet: too little is done to estimate it",
    ],
    [
      "half",
      { rowsCopied: 3_000, rowsVerified: 1_000 },
      "about 20.0 s, at the average rate so far: 200 rows read a second for 20.0 s",
    ],
    [
      "all rows",
      { rowsCopied: 4_000, rowsVerified: 4_000 },
      "rows are copied and verified; what is left takes no rows",
    ],
    ["a pause", { paused: PAUSE }, "not while it is paused"],
    [
      "no rows at all",
      { rowsTotal: 0, rowsCopied: 0, rowsVerified: 0 },
      "not known yet: too little is done to estimate it",
    ],
  ] as const;
  it.each(cases)("after %s", (_name, changes, expected) => {
    expect(describeEta(viewOperation(shift(ORDERS, changes)))).toBe(expected);
  });
});

describe("the files of the page", () => {
  it("are small, whole, and reach for nothing outside", () => {
    expect(SCRIPT.length).toBeLessThan(3_072);
    expect(() => new Script(SCRIPT)).not.toThrow();
    expect(STYLESHEET.length).toBeLessThan(12_000);
    for (const file of [SCRIPT, STYLESHEET])
      expect(file).not.toMatch(/https?:|url\(|@import|eval\(|innerHTML/);
  });
});

describe("the colours", () => {
  const themes = [...STYLESHEET.matchAll(/:root \{([^}]*)\}/g)].map(
    ([, block]) =>
      new Map(
        [...(block ?? "").matchAll(/--([\w-]+): (#[0-9a-f]+)/g)].map(([, name, value]) => [
          name ?? "",
          value ?? "",
        ]),
      ),
  );
  const pairs = [
    ["ink", "paper", 4.5],
    ["ink", "panel", 4.5],
    ["ink", "busy-back", 4.5],
    ["quiet", "paper", 4.5],
    ["quiet", "panel", 4.5],
    ["quiet", "busy-back", 4.5],
    ["link", "paper", 4.5],
    ["link", "panel", 4.5],
    ["bad", "paper", 4.5],
    ["good", "paper", 4.5],
    ["good", "panel", 4.5],
    ["good", "good-back", 4.5],
    ["busy", "busy-back", 4.5],
    ["bad", "bad-back", 4.5],
    ["none", "none-back", 4.5],
    ["bar", "panel", 3],
    ["bar-bad", "panel", 3],
  ] as const;

  it.each(pairs)("%s on %s keep a contrast of %d in light and dark", (front, back, least) => {
    expect(themes).toHaveLength(2);
    for (const theme of themes) {
      const [light, dark] = [luminance(theme.get(front)), luminance(theme.get(back))].toSorted(
        (left, right) => right - left,
      );
      expect(((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05)).toBeGreaterThanOrEqual(least);
    }
  });
});

/** Relative luminance as WCAG 2 defines it. */
function luminance(color: string | undefined): number {
  const digits = /^#(\w\w)(\w\w)(\w\w)$/.exec(
    (color ?? "").replace(/^#(\w)(\w)(\w)$/, "#$1$1$2$2$3$3"),
  );
  if (digits === null) throw new Error(`No colour: ${color}`);
  const [red = 0, green = 0, blue = 0] = digits.slice(1).map((hex) => {
    const part = Number.parseInt(hex, 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
