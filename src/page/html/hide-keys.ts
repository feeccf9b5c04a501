/** Split points are keys of rows. They stand in some reasons, for whoever reads a plan; whoever sees the page need not see them. */

const SPLIT_POINTS = /split points → .*?(?= \(live was changed\)|$)/g;

export function hideKeys(text: string): string {
  return text.replace(SPLIT_POINTS, "other split points");
}
