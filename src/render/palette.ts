/**
 * Colours as functions that the caller passes in: this folder knows no terminal and no colour
 * library.
 */

type Paint = (text: string) => string;

export interface Palette {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly red: Paint;
  readonly cyan: Paint;
}

const plain: Paint = (text) => text;

/** No colours: files, pipes, `NO_COLOR`. */
export const PLAIN_PALETTE: Palette = {
  bold: plain,
  dim: plain,
  green: plain,
  yellow: plain,
  red: plain,
  cyan: plain,
};
