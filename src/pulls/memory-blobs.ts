/**
 * Contents of files by their hash, in the memory of one object: what several pull requests share is
 * fetched once. Bounded; the oldest go first.
 */
import type { BlobCache } from "../github/find-manifests.ts";

const BYTES_MAX = 16 * 1024 * 1024;

export function createMemoryBlobs(bytesMax: number = BYTES_MAX): BlobCache {
  const blobs = new Map<string, Uint8Array>();
  let bytes = 0;
  return {
    get: (blobSha) => blobs.get(blobSha) ?? null,
    set(blobSha, content) {
      if (blobs.has(blobSha)) return;
      blobs.set(blobSha, content);
      bytes += content.length;
      for (const [oldest, dropped] of blobs) {
        if (bytes <= bytesMax || oldest === blobSha) break;
        blobs.delete(oldest);
        bytes -= dropped.length;
      }
    },
  };
}
