/**
 * Waves of a shift: how the staged rows are packed into them, what changes hands in each, and how
 * many are cut over at once.
 *
 * Together the waves of an operation hold every move, each part of a range exactly once. Rule
 * "waves-apart": what is staged for a range after its wave is promoted by no later one.
 */
import type { Layout } from "../../model/layout/layout.ts";
import { intersectRanges } from "../../model/layout/move-range.ts";
import { type Move, applyMoves, diffRanges } from "../../model/layout/moves.ts";
import type { Wave } from "./journal.ts";
import { type OperationRecord, WAVE_SPAN_MAX } from "./operation-record.ts";
import type { ChunksReply } from "../protocol/replies.ts";

/** The pause of a cutover that waves are sized for. */
const PAUSE_MS_GOAL = 100;
/** Moves in one wave: it is one row of the journal, of which the runtime takes 2 MB. */
const WAVE_MOVES_MAX = 1_000;

/**
 * Nothing changes hands: the only wave of a swap, or of a shift between layouts that are the same.
 */
export const NO_WAVE: Wave = { moves: [], rows: 0 };

/**
 * Packs moves into waves of at most `waveRowsMax` rows, unless one position alone has more.
 * `staged` tells how each target's rows can be cut. Ranges without rows go along with others.
 */
export function packWaves(
  moves: readonly Move[],
  staged: readonly { readonly target: string; readonly chunks: ChunksReply["chunks"] }[],
  waveRowsMax: number,
): Wave[] {
  const waves: { moves: Move[]; rows: number }[] = [];
  for (const { target, chunks } of staged) {
    const incoming = moves.filter((move) => move.target === target);
    for (const { range: within, rows } of chunks) {
      const pieces = incoming.flatMap((move): Move[] => {
        const range = intersectRanges(move.range, within);
        return range ? [{ ...move, range }] : [];
      });
      // Very many pieces are cut without knowing how the rows are spread over them: any part may
      // have them all.
      for (let start = 0; start < pieces.length; start += WAVE_MOVES_MAX) {
        const part = pieces.slice(start, start + WAVE_MOVES_MAX);
        const last = waves.at(-1);
        if (
          last &&
          last.rows + rows <= waveRowsMax &&
          last.moves.length + part.length <= WAVE_MOVES_MAX
        ) {
          last.moves.push(...part);
          last.rows += rows;
        } else {
          waves.push({ moves: part, rows });
        }
      }
    }
  }
  return waves.length > 0 ? waves : [NO_WAVE];
}

/** Every range that changes hands in a shift. */
export function movesOf({ from, to }: Pick<OperationRecord, "from" | "to">): Move[] {
  if (from.kind === "hash" && to.kind === "hash") return diffRanges(from, to);
  if (from.kind === "range" && to.kind === "range") return diffRanges(from, to);
  throw new Error(`A shift from ${from.kind} to ${to.kind} has no moves`);
}

/** Waves that are cut over together, as one. */
export function joinWaves(waves: readonly Wave[]): Wave {
  return {
    moves: waves.flatMap((wave) => wave.moves),
    rows: waves.reduce((total, wave) => total + wave.rows, 0),
  };
}

/** True when more than two members change hands in a wave: it can be cut into smaller ones. */
export function hasManyPairs({ moves }: Wave): boolean {
  return new Set(moves.map(pairOf)).size > 1;
}

/**
 * The same moves in waves of one pair of members each, none larger than the largest was. How the
 * rows of a wave are spread over its moves is not known: each has its share.
 */
export function packByPairs(waves: readonly Wave[]): Wave[] {
  const rowsMax = Math.max(0, ...waves.map(({ rows }) => rows));
  const packed = new Map<string, { moves: Move[]; rows: number }[]>();
  for (const { moves, rows } of waves) {
    for (const [pair, part] of Map.groupBy(moves, pairOf)) {
      const share = Math.ceil((rows * part.length) / moves.length);
      const ofPair = packed.get(pair) ?? [];
      packed.set(pair, ofPair);
      const last = ofPair.at(-1);
      if (
        last &&
        last.rows + share <= rowsMax &&
        last.moves.length + part.length <= WAVE_MOVES_MAX
      ) {
        last.moves.push(...part);
        last.rows += share;
      } else ofPair.push({ moves: [...part], rows: share });
    }
  }
  return [...packed.values()].flat();
}

function pairOf({ source, target }: Move): string {
  return JSON.stringify([source, target]);
}

/**
 * How many waves to cut over next: half as many after a pause above the goal, twice as many after
 * one far below it.
 */
export function nextSpan(span: number, pauseMs: number): number {
  if (pauseMs > PAUSE_MS_GOAL) return Math.max(1, Math.floor(span / 2));
  return pauseMs < PAUSE_MS_GOAL / 2 ? Math.min(WAVE_SPAN_MAX, span * 2) : span;
}

export function layoutAfter(layout: Layout, wave: Wave): Layout {
  if (layout.kind === "hash" || layout.kind === "range") return applyMoves(layout, wave.moves);
  throw new Error(`Waves cannot change a ${layout.kind} layout`);
}

export function sourcesOf({ moves }: Pick<Wave, "moves">): string[] {
  return [...new Set(moves.map((move) => move.source))].toSorted();
}

export function targetsOf({ moves }: Pick<Wave, "moves">): string[] {
  return [...new Set(moves.map((move) => move.target))].toSorted();
}

export function incomingOf(wave: Wave, member: string): Move["range"][] {
  return wave.moves.filter((move) => move.target === member).map((move) => move.range);
}

export function outgoingOf(wave: Wave, member: string): { target: string; range: Move["range"] }[] {
  return wave.moves
    .filter((move) => move.source === member)
    .map(({ target, range }) => ({ target, range }));
}
