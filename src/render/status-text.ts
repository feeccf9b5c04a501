/**
 * Live namespaces for a terminal: one line each, and for a closer look every member with its rows,
 * share and health.
 */
import type { NamespaceReport } from "../model/api.ts";
import {
  type FillLevel,
  fillLevel,
  fillOf,
  fillWith,
  formatFill,
  fullestMembers,
  neededCount,
} from "../model/capacity.ts";
import { describeForecast } from "../model/forecast.ts";
import { DEFAULT_MAX_FILL, SHARD_COUNT_MAX } from "../model/spec.ts";
import { formatBytes, formatCount, formatShare, formatQuantity } from "../model/figures.ts";
import { describeDisorder, repairCommand } from "../model/disorder.ts";
import type { LiveNamespace, MemberStatus, RowIds } from "../model/live.ts";
import { describeMix, endedFull, STORAGE_BYTES_MAX } from "../model/member-states.ts";
import { listBookmarks, type OperationStatus } from "../model/operation.ts";
import { skewOf } from "../model/layout/skew.ts";
import { type Cell, alignColumns } from "./columns.ts";
import { describeChange, describeLayout, formatSkew } from "./describe.ts";
import { describeOperation } from "./operation-line.ts";
import { PLAIN_PALETTE, type Palette } from "./palette.ts";
import { printable } from "./printable.ts";
import { formatAge } from "./time.ts";

export interface StatusTextOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly palette?: Palette;
  /** True shows every member. Default: only when there is one namespace. */
  readonly members?: boolean;
}

type LiveReport = Extract<NamespaceReport, { kind: "live" }>;

/** Bookmarks that are listed for one namespace. */
const BOOKMARKS_MAX = 8;

/** Namespaces as lines of text, in the order given, ending with a newline. */
export function renderStatus(
  reports: readonly NamespaceReport[],
  options: StatusTextOptions,
): string {
  const { now, palette = PLAIN_PALETTE, members = reports.length === 1 } = options;
  if (reports.length === 0) return "No namespaces are live.\n";
  if (members)
    return `${reports.map((report) => memberLines(report, now, palette).join("\n")).join("\n\n")}\n`;
  const rows = reports.map((report): Cell[] =>
    report.kind === "live" ? liveCells(report, palette) : failedCells(report, palette),
  );
  const lines = alignColumns(
    [
      { align: "left" },
      { align: "left" },
      { align: "left" },
      { align: "right" },
      { align: "right" },
      { align: "right" },
      { align: "left" },
      { align: "right" },
      { align: "left" },
    ],
    [["NAMESPACE", "OBJECT", "LAYOUT", "EPOCH", "ROWS", "BYTES", "SKEW", "FILL", "STATE"], ...rows],
  );
  return `${lines.join("\n")}\n`;
}

function liveCells(report: LiveReport, palette: Palette): Cell[] {
  const { namespace: live } = report;
  const { rows, bytes } = totalOf(live);
  return [
    printable(live.name),
    printable(live.object),
    printable(describeLayout(live.layout)),
    formatCount(live.epoch),
    formatCount(rows),
    formatBytes(bytes),
    describeLiveSkew(live),
    fillCell(report, palette),
    stateCell(report, palette),
  ];
}

function failedCells(
  { name, object, failure }: Extract<NamespaceReport, { kind: "failed" }>,
  palette: Palette,
): Cell[] {
  return [
    printable(name),
    printable(object),
    { text: failure.kind, paint: palette.red },
    "",
    "",
    "",
    "",
    "",
    printable(failure.message),
  ];
}

/** Of the fullest member. */
function fillCell(report: LiveReport, palette: Palette): Cell {
  const [fullest] = fullestMembers(report.namespace.members);
  if (!fullest) return "–";
  const text = formatFill(fillOf(fullest, bytesMaxOf(report)));
  const level = levelOf(report);
  return level === "none" ? text : { text, paint: paintOf(level, palette) };
}

function levelOf(report: LiveReport): FillLevel {
  const [fullest] = fullestMembers(report.namespace.members);
  return fullest
    ? fillLevel(fillOf(fullest, bytesMaxOf(report)), report.capacity?.maxFill ?? DEFAULT_MAX_FILL)
    : "none";
}

function paintOf(level: FillLevel, palette: Palette): Palette["red"] {
  return level === "alert" ? palette.red : palette.yellow;
}

function bytesMaxOf({ capacity }: LiveReport): number {
  return capacity?.bytesMax ?? STORAGE_BYTES_MAX;
}

function stateCell(report: LiveReport, palette: Palette): Cell {
  const { namespace: live } = report;
  if (live.disorder)
    return {
      text: live.disorder.kind === "registryLost" ? "registry lost" : "out of step",
      paint: palette.red,
    };
  const unhealthy = live.members.filter((member) => !member.healthy).length;
  if (unhealthy > 0)
    return {
      text: `${formatCount(unhealthy)} of ${formatCount(live.members.length)} members unhealthy`,
      paint: palette.red,
    };
  if (endedFull(live)) return { text: "storage full", paint: palette.red };
  const level = levelOf(report);
  if (level === "alert") return { text: "nearly full", paint: palette.red };
  const { operation } = live;
  if (operation?.state === "running") {
    const how = operation.paused === null ? "running" : "paused";
    return { text: `${operation.kind} ${how} (${operation.step})`, paint: palette.yellow };
  }
  if (describeMix(live.members) !== null) return { text: "mixed versions", paint: palette.yellow };
  if (level === "warning") return { text: "fills up", paint: palette.yellow };
  return { text: "ok", paint: palette.green };
}

function memberLines(report: NamespaceReport, now: number, palette: Palette): string[] {
  if (report.kind === "failed") {
    return [
      palette.bold(`${printable(report.name)} · ${printable(report.object)}`),
      `  ${palette.red(report.failure.kind)}: ${printable(report.failure.message)}`,
    ];
  }
  const { namespace: live } = report;
  const total = totalOf(live);
  const isNamed = live.members.some(
    ({ library, storage }) => library !== undefined || storage !== undefined,
  );
  const isRemembered = isNamed && live.members.some(({ saidAt }) => saidAt !== undefined);
  const rows = live.members.map((member): Cell[] => [
    `  ${printable(member.name)}`,
    member.healthy ? formatCount(member.rows) : "–",
    member.healthy ? formatBytes(member.bytes) : "–",
    member.healthy ? formatShare(member.rows, total.rows) : "–",
    ...(isNamed ? factCells(member, bytesMaxOf(report)) : []),
    ...(isRemembered ? [describeMemory(member, now)] : []),
    member.healthy
      ? { text: `ok, ${formatCount(member.responseMs)} ms`, paint: palette.green }
      : { text: `unhealthy: ${printable(member.error ?? "no reason given")}`, paint: palette.red },
  ]);
  const heads = [
    ...(isNamed ? ["STORAGE", "FILL", "LIBRARY", "SCHEMA"] : []),
    ...(isRemembered ? ["AS OF"] : []),
  ];
  return [
    palette.bold(
      `${printable(live.name)} · ${printable(live.object)} · ${printable(describeLayout(live.layout))} · epoch ${formatCount(live.epoch)}`,
    ),
    ...alignColumns(
      [
        { align: "left" },
        { align: "right" },
        { align: "right" },
        { align: "right" },
        ...(isNamed
          ? ([
              { align: "right" },
              { align: "right" },
              { align: "left" },
              { align: "left" },
            ] as const)
          : []),
        ...(isRemembered ? ([{ align: "left" }] as const) : []),
        { align: "left" },
      ],
      [["  MEMBER", "ROWS", "BYTES", "SHARE", ...heads, "HEALTH"], ...rows],
    ),
    `  ${formatQuantity(total.rows, "row")}, ${formatBytes(total.bytes)}, skew ${describeLiveSkew(live)}, counted ${formatAge(live.countedAt, now)}`,
    ...(live.undeclaredTables.length > 0
      ? [`  Tables without a table spec: ${live.undeclaredTables.map(printable).join(", ")}`]
      : []),
    ...disorderLines(live, now, palette),
    ...capacityLines(report, palette),
    ...stateLines(live, palette),
    ...operationLines(live, now, palette),
  ];
}

/** As last known, also of a member that does not answer. */
function factCells({ storage, library, schema }: MemberStatus, bytesMax: number): Cell[] {
  return [
    storage === undefined ? "–" : formatBytes(storage),
    storage === undefined ? "–" : formatFill(fillOf({ storage }, bytesMax)),
    printable(library ?? "–"),
    printable(schema ?? "–"),
  ];
}

/** How old a member's facts are: those of one that does not answer now are remembered. */
function describeMemory({ healthy, saidAt }: MemberStatus, now: number): string {
  if (saidAt !== undefined) return formatAge(saidAt, now);
  return healthy ? "now" : "–";
}

/** The reason for which the namespace does not serve, and the way out. */
function disorderLines({ name, disorder }: LiveNamespace, now: number, palette: Palette): string[] {
  if (!disorder) return [];
  const what = `Needs a repair, since ${formatAge(disorder.since, now)}: ${describeDisorder(disorder)}`;
  return [
    `  ${palette.red(printable(what))}`,
    `  ${printable(disorder.message)}`,
    `  → ${printable(repairCommand(name))} shows what each object reports and what a repair would do`,
  ];
}

/** How full the fullest member is and will be, and how many shards would have room. */
function capacityLines(report: LiveReport, palette: Palette): string[] {
  const { namespace: live, capacity } = report;
  const [fullest] = fullestMembers(live.members);
  if (!fullest) return [];
  const bytesMax = bytesMaxOf(report);
  const fill = fillOf(fullest, bytesMax);
  const level = levelOf(report);
  const until = capacity === undefined ? null : describeForecast(capacity.forecast);
  if (level === "none" && capacity?.forecast.kind !== "full") return [];
  const { members } = live.layout;
  const count = neededCount(fill, members.length, {
    maxFill: capacity?.maxFill ?? DEFAULT_MAX_FILL,
    countMax: SHARD_COUNT_MAX,
  });
  const room =
    count === null
      ? ""
      : `; ${formatQuantity(count, "shard")} would be at ${formatFill(fillWith(fill, members.length, count))}`;
  const text = printable(
    `${fullest.name} is at ${formatFill(fill)} of ${formatBytes(bytesMax)}${until === null ? "" : `: ${until}`}${room}`,
  );
  return [
    `  ${level === "none" ? text : paintOf(level, palette)(text)}`,
    ...(level === "alert"
      ? [
          "  → delete rows or drop indexes there; then shard, or raise spec.count while there is room",
        ]
      : []),
  ];
}

/** The faults of the members, each with the way out. */
function stateLines(live: LiveNamespace, palette: Palette): string[] {
  const mix = describeMix(live.members);
  return [
    ...(endedFull(live)
      ? [
          "  → delete rows or drop indexes there; then shard, or raise spec.count while there is room",
        ]
      : []),
    ...(mix === null
      ? []
      : [
          `  ${palette.yellow(`Mixed versions: ${printable(mix)}`)}`,
          "  → ends when a deploy has reached every object; if it does not, finish the deploy or roll it back everywhere",
        ]),
  ];
}

function operationLines({ operation }: LiveNamespace, now: number, palette: Palette): string[] {
  if (!operation) return [];
  const what = `${operation.kind} ${describeChange({ ...operation, reason: "for skew" })}`;
  const state = operation.state === "running" ? palette.yellow(operation.state) : operation.state;
  return [
    `  Operation ${operation.id}: ${printable(what)}, ${state}: ${describeOperation(operation, now)}`,
    ...bookmarkLines(operation),
  ];
}

/** The moment to which each participant can be restored: before the operation began. */
function bookmarkLines(operation: OperationStatus): string[] {
  const bookmarks = listBookmarks(operation);
  if (bookmarks.length === 0) return [];
  const hidden = bookmarks.length - BOOKMARKS_MAX;
  return [
    "  Bookmarks from before it, to restore an object to:",
    ...alignColumns(
      [{ align: "left" }, { align: "left" }],
      bookmarks
        .slice(0, BOOKMARKS_MAX)
        .map(({ member, bookmark }) => [`    ${printable(member)}`, printable(bookmark)]),
    ),
    ...(hidden > 0
      ? [
          `    … and ${formatCount(hidden)} more: shardctl history ${printable(operation.namespace)} --bookmarks`,
        ]
      : []),
  ];
}

/** Unknown as long as a member is silent. */
function describeLiveSkew({ members }: LiveNamespace): string {
  return members.every((member) => member.healthy)
    ? formatSkew(skewOf(members.map((member) => member.rows)))
    : "–";
}

/** Of the members that answered. */
function totalOf(live: LiveNamespace): { readonly rows: number; readonly bytes: number } {
  return live.members.reduce(
    (sum, { rows, bytes }) => ({ rows: sum.rows + rows, bytes: sum.bytes + bytes }),
    {
      rows: 0,
      bytes: 0,
    },
  );
}

/** Renders single rows as the objects of a namespace name them, for whoever may apply. */
export function renderRowIds({ texts, misplaced, unsaid }: RowIds): string {
  const lines = [
    ...texts.map(({ of, text }) => `${printable(of)}: ${printable(text)}`),
    ...misplaced.map(
      ({ member, table, id, key }) =>
        `${printable(member)} does not own row ${printable(id)} of '${printable(table)}', key ${printable(key)}`,
    ),
    ...unsaid.map((member) => `${printable(member)} could not be asked for its misplaced rows`),
  ];
  return `${(lines.length === 0 ? ["The objects name no row."] : lines).join("\n")}\n`;
}
