/** Compares texts by UTF-16 unit: the same order on every machine. For sorting. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
