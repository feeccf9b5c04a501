/** Operations of a namespace for a terminal, in the order given (newest first), one line each. */
import { formatQuantity } from "../model/figures.ts";
import { listBookmarks, type OperationStatus } from "../model/operation.ts";
import { type Cell, alignColumns } from "./columns.ts";
import { describeChange } from "./describe.ts";
import { describeOperation } from "./operation-line.ts";
import { PLAIN_PALETTE, type Palette } from "./palette.ts";
import { printable } from "./printable.ts";
import { formatMoment } from "./time.ts";

export interface HistoryTextOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly palette?: Palette;
  /** True lists below each operation where its participants can be restored to. Default: false. */
  readonly bookmarks?: boolean;
}

/** The operations as lines of text, ending with a newline. */
export function renderHistory(
  operations: readonly OperationStatus[],
  { now, palette = PLAIN_PALETTE, bookmarks = false }: HistoryTextOptions,
): string {
  if (operations.length === 0) return "No operations yet.\n";
  const rows = operations.map((operation): Cell[] => [
    `#${operation.id}`,
    formatMoment(operation.startedAt),
    printable(operation.namespace),
    operation.kind,
    printable(
      describeChange({
        ...operation,
        reason: `levelled ${formatQuantity(operation.to.members.length, "shard")}`,
      }),
    ),
    `epoch ${operation.epochFrom}${operation.epoch === operation.epochFrom ? "" : ` → ${operation.epoch}`}`,
    stateCell(operation, palette),
    `by ${printable(operation.requestedBy)}`,
    describeOperation(operation, now),
  ]);
  const lines = alignColumns(
    [{ align: "right" }, ...Array.from({ length: 8 }, () => ({ align: "left" as const }))],
    rows,
  );
  const all = bookmarks
    ? lines.flatMap((line, index) => [line, ...bookmarkLines(operations[index])])
    : lines;
  return `${all.join("\n")}\n`;
}

/** The moment to which each participant can be restored: before the operation began. */
function bookmarkLines(operation: OperationStatus | undefined): string[] {
  const listed = operation ? listBookmarks(operation) : [];
  if (listed.length === 0) return ["    no bookmarks"];
  return alignColumns(
    [{ align: "left" }, { align: "left" }],
    listed.map(({ member, bookmark }) => [`    ${printable(member)}`, printable(bookmark)]),
  );
}

function stateCell({ state }: OperationStatus, palette: Palette): Cell {
  switch (state) {
    case "completed":
      return { text: state, paint: palette.green };
    case "running":
      return { text: state, paint: palette.yellow };
    case "failed":
      return { text: state, paint: palette.red };
    case "cancelled":
      return { text: state, paint: palette.dim };
  }
}
