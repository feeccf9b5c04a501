/**
 * A line diff in the unified form that GitHub calls `patch`, with its counts. Exact up to a bound
 * of lines, above it one whole replacement.
 */

export interface LineDiff {
  readonly additions: number;
  readonly deletions: number;
  readonly patch: string;
}

interface Edit {
  readonly sign: " " | "+" | "-";
  readonly text: string;
}

const CONTEXT_LINES = 3;
const CELLS_MAX = 4_000_000;

export function diffLines(before: string, after: string): LineDiff {
  const edits = editScript(toLines(before), toLines(after));
  return {
    additions: edits.filter((edit) => edit.sign === "+").length,
    deletions: edits.filter((edit) => edit.sign === "-").length,
    patch: formatHunks(edits),
  };
}

function toLines(text: string): string[] {
  if (text === "") return [];
  return (text.endsWith("\n") ? text.slice(0, -1) : text).split("\n");
}

function editScript(a: readonly string[], b: readonly string[]): Edit[] {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (
    end < a.length - start &&
    end < b.length - start &&
    a[a.length - 1 - end] === b[b.length - 1 - end]
  )
    end++;
  const same = (text: string): Edit => ({ sign: " ", text });
  return [
    ...a.slice(0, start).map(same),
    ...middleScript(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...a.slice(a.length - end).map(same),
  ];
}

/** By the longest common subsequence, in a table of lines × lines. */
function middleScript(a: readonly string[], b: readonly string[]): Edit[] {
  const edits: Edit[] = [];
  let [i, j] = [0, 0];
  if (a.length * b.length <= CELLS_MAX) {
    const width = b.length + 1;
    const lengths = new Uint32Array((a.length + 1) * width);
    const at = (row: number, column: number) => lengths[row * width + column] ?? 0;
    for (let row = a.length - 1; row >= 0; row--) {
      for (let column = b.length - 1; column >= 0; column--) {
        lengths[row * width + column] =
          a[row] === b[column]
            ? at(row + 1, column + 1) + 1
            : Math.max(at(row + 1, column), at(row, column + 1));
      }
    }
    while (i < a.length && j < b.length) {
      if (a[i] === b[j]) {
        edits.push({ sign: " ", text: a[i++] ?? "" });
        j++;
      } else if (at(i + 1, j) >= at(i, j + 1)) edits.push({ sign: "-", text: a[i++] ?? "" });
      else edits.push({ sign: "+", text: b[j++] ?? "" });
    }
  }
  while (i < a.length) edits.push({ sign: "-", text: a[i++] ?? "" });
  while (j < b.length) edits.push({ sign: "+", text: b[j++] ?? "" });
  return edits;
}

function formatHunks(edits: readonly Edit[]): string {
  const changed = edits.flatMap((edit, index) => (edit.sign === " " ? [] : [index]));
  const hunks: string[] = [];
  for (let at = 0; at < changed.length;) {
    const first = changed[at] ?? 0;
    let last = first;
    while (at < changed.length && (changed[at] ?? 0) - last <= 2 * CONTEXT_LINES)
      last = changed[at++] ?? last;
    hunks.push(
      formatHunk(
        edits,
        Math.max(0, first - CONTEXT_LINES),
        Math.min(edits.length, last + CONTEXT_LINES + 1),
      ),
    );
  }
  return hunks.join("\n");
}

function formatHunk(edits: readonly Edit[], from: number, to: number): string {
  const side = (part: readonly Edit[], sign: "+" | "-") =>
    part.filter((edit) => edit.sign !== sign).length;
  const [earlier, part] = [edits.slice(0, from), edits.slice(from, to)];
  const range = (sign: "+" | "-") => {
    const length = side(part, sign);
    const start = side(earlier, sign) + (length === 0 ? 0 : 1);
    return length === 1 ? `${start}` : `${start},${length}`;
  };
  return [`@@ -${range("+")} +${range("-")} @@`, ...part.map((edit) => edit.sign + edit.text)].join(
    "\n",
  );
}
