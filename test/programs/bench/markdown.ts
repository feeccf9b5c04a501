/**
 * The figures of a run as a part of a Markdown file, so that no figure is copied by hand. Owns what
 * stands between the two marks.
 */
import { readFile, writeFile } from "node:fs/promises";

import { type ReportedFigure, cellsOf } from "./report.ts";

/** The figures of one benchmark, under a heading of its own. */
export interface Section {
  readonly title: string;
  readonly figures: readonly ReportedFigure[];
}

/** Where, when and of what the figures were taken. */
export interface Taken {
  readonly startedAt: string;
  readonly durationMs: number;
  readonly commit: string | null;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly node: string;
    readonly loadBefore: number;
    readonly loadAfter: number;
  };
}

const BEGIN = "<!-- figures: written by `npm run bench -- --markdown` -->";
const END = "<!-- end of figures -->";
const COLUMNS = ["figure", "value", "reference", "", "ratio", "goal", "reached", "spread", "runs"];

/**
 * Puts the figures between the marks of a file, sections in the order of `titles`. Of those that
 * are not of this run, the file keeps what it has. @throws Error without the marks.
 */
export async function writeMarkdown(
  file: string,
  taken: Taken,
  sections: readonly Section[],
  titles: readonly string[],
): Promise<void> {
  const document = await readFile(file, "utf8");
  await writeFile(file, replaceFigures(document, taken, sections, titles));
}

function replaceFigures(
  document: string,
  taken: Taken,
  sections: readonly Section[],
  titles: readonly string[],
): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END);
  if (begin < 0 || end < begin)
    throw new Error(
      `The file needs two lines for the figures to stand between: ${BEGIN} and ${END}`,
    );
  const found = new Map(sections.map((section) => [section.title, renderSection(taken, section)]));
  const kept = new Map(splitSections(document.slice(begin + BEGIN.length, end)));
  const parts = titles
    .map((title) => found.get(title) ?? kept.get(title))
    .filter((part) => part !== undefined);
  return `${document.slice(0, begin)}${[BEGIN, ...parts, END].join("\n\n")}${document.slice(end + END.length)}`;
}

/** Title and text of each `###` section. */
function splitSections(text: string): [string, string][] {
  return text
    .split(/^(?=### )/m)
    .map((part) => part.trim())
    .filter((part) => part.startsWith("### "))
    .map((part) => [part.slice("### ".length).split("\n")[0] ?? "", part]);
}

function renderSection(taken: Taken, { title, figures }: Section): string {
  const rows = figures.map((figure) => {
    const [name = "", value = "", reference = "", ...rest] = cellsOf(figure);
    return [
      name,
      value,
      reference,
      figure.reference?.name ?? "",
      ...rest.map((cell) => (cell === "NO" ? "**no**" : cell)),
    ];
  });
  const cells = [COLUMNS, ...rows];
  const widths = COLUMNS.map((_, column) =>
    Math.max(4, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (isText(column) ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`;
  const rule = widths.map((width, column) =>
    isText(column) ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  const notes = figures.flatMap(({ name, note }) =>
    note === undefined ? [] : [`- ${name}: ${note}`],
  );
  const lines = [line(COLUMNS), line(rule), ...rows.map((row) => line(row))];
  return [
    `### ${title}`,
    "",
    takenLine(taken),
    "",
    ...lines,
    ...(notes.length > 0 ? ["", ...notes] : []),
  ].join("\n");
}

function isText(column: number): boolean {
  return column === 0 || column === 3;
}

function takenLine({ startedAt, commit, machine }: Taken): string {
  const { cores, cpu, node, loadBefore, loadAfter } = machine;
  const load = `load ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after the run`;
  return `${startedAt.slice(0, 10)}, commit ${commit?.slice(0, 7) ?? "unknown"}, ${cores} cores of ${cpu}, Node ${node.slice(1)}, ${load}.`;
}
