/**
 * Stores answers by address with their ETag, so that requesting unchanged data again costs
 * nothing. Bounded: the least used are dropped first.
 */

export interface EtagEntry {
  readonly etag: string;
  /** The `link` header, which pages hang on. */
  readonly link: string | null;
  /** JSON text of the answer. */
  readonly body: string;
}

/**
 * Where answers are kept; a Worker may keep them in its storage. One store serves one credential
 * and any number of repositories.
 */
export interface EtagStore {
  get(address: string): EtagEntry | null | Promise<EtagEntry | null>;
  set(address: string, entry: EtagEntry): void | Promise<void>;
}

const ENTRIES_MAX = 500;
const LENGTH_MAX = 8 * 1024 * 1024;

/** Answers longer than this are not kept. */
export const ENTRY_LENGTH_MAX = 512 * 1024;

/** In memory: at most 500 answers and 8 Mi characters. */
export function createMemoryEtags(): EtagStore {
  const entries = new Map<string, EtagEntry>();
  let length = 0;
  const drop = (address: string) => {
    length -= entries.get(address)?.body.length ?? 0;
    entries.delete(address);
  };
  return {
    get(address) {
      const entry = entries.get(address);
      if (entry === undefined) return null;
      entries.delete(address);
      entries.set(address, entry);
      return entry;
    },
    set(address, entry) {
      drop(address);
      if (entry.body.length > ENTRY_LENGTH_MAX) return;
      entries.set(address, entry);
      length += entry.body.length;
      for (const oldest of entries.keys()) {
        if (entries.size <= ENTRIES_MAX && length <= LENGTH_MAX) break;
        drop(oldest);
      }
    },
  };
}
