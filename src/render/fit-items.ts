/**
 * Lists that must fit a given room: GitHub refuses longer texts, and a plan can have 10,000
 * changes.
 */
import { shorten } from "./printable.ts";

export interface FittedPart {
  /** Characters, with the separators and the last line. */
  readonly lengthMax: number;
  readonly separator: string;
  readonly describeHidden: (hidden: number) => string;
}

/**
 * As many leading items as fit, rendered, and a last line that counts the others. Empty when not
 * even that fits. Renders one item more than it shows at most: of 10,000 changes only a few dozen
 * have room.
 */
export function fitItems<Item>(
  items: readonly Item[],
  render: (item: Item) => string,
  part: FittedPart,
): string {
  const shown: string[] = [];
  // Room for the line that counts the hidden ones is kept free from the start.
  let room = part.lengthMax - part.describeHidden(items.length).length - part.separator.length;
  if (items.length === 0 || room < 0) return "";
  for (const item of items) {
    const text = render(item);
    room -= text.length + part.separator.length;
    if (room < 0) break;
    shown.push(text);
  }
  const hidden = items.length - shown.length;
  return [...shown, ...(hidden > 0 ? [part.describeHidden(hidden)] : [])].join(part.separator);
}

/** A single line longer than this is cut: a message can carry a long name or key. */
const LINE_LENGTH_MAX = 600;

/** Cut before escaping, so that no entity is cut in two. */
export function clipText(text: string): string {
  const short = shorten(text, LINE_LENGTH_MAX);
  return short === text ? text : `${short}…`;
}
