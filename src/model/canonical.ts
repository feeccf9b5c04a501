/**
 * Writes canonical JSON, in which equal values have equal texts regardless of the order of their
 * fields, and takes the digest of such a text.
 *
 * Fingerprints and layout comparisons stand on it: a value that went through a registry, a request
 * body or a plan file must still be the same value.
 */
import { bytesToHex } from "./bytes-to-hex.ts";
import { compareText } from "./compare-text.ts";

/**
 * JSON with object keys sorted by UTF-16 unit and fields that are `undefined` left out. The form is
 * hashed into fingerprints: never change.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item)).join(",")}]`;
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .toSorted(([left], [right]) => compareText(left, right))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`);
  return `{${fields.join(",")}}`;
}

/**
 * SHA-256 of bytes, or of the text's UTF-8 bytes, 64 lower-case hex digits. WebCrypto, present in
 * Node and in Workers.
 */
export async function sha256Hex(content: string | BufferSource): Promise<string> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}
