/** Cuts long lists into JSON texts that SQL can take: a bound value is at most 2 MB. */

const PAGE_BYTES_MAX = 1024 * 1024;
/** UTF-8 has at most so many bytes for each unit of a string. */
const BYTES_PER_UNIT = 3;

/**
 * Arrays as JSON, each item in one of them, in their order. One item alone may be as large as it
 * is.
 */
export function jsonPages(items: readonly unknown[]): string[] {
  const pages: string[][] = [];
  let bytes = 0;
  for (const item of items) {
    const text = JSON.stringify(item);
    const size = text.length * BYTES_PER_UNIT + 1;
    const page = pages.at(-1);
    if (page === undefined || bytes + size > PAGE_BYTES_MAX) {
      pages.push([text]);
      bytes = size;
    } else {
      page.push(text);
      bytes += size;
    }
  }
  return pages.map((page) => `[${page.join(",")}]`);
}
