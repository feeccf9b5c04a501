/** Cuts long lists into answers that a call between objects can carry. */

/** Of one answer: it must stay below the 32 MiB of a call, also as objects. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024;

/** With the size of its text. */
export interface Sized<Value> {
  readonly value: Value;
  readonly bytes: number;
}

/** Of the first ids, one at least; null for what is not known. */
export function takePage<Value>(
  ids: readonly string[],
  read: (id: string) => Sized<Value> | null,
): (Value | null)[] {
  const page: (Value | null)[] = [];
  let bytes = 0;
  for (const id of ids) {
    const sized = read(id);
    bytes += sized?.bytes ?? 0;
    if (page.length > 0 && bytes > PAGE_BYTES_MAX) break;
    page.push(sized?.value ?? null);
  }
  return page;
}
