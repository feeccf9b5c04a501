const DIGITS = new TextEncoder().encode("0123456789abcdef");

/**
 * Writes bytes as lower-case hex, two digits each. Made for rows of 2 MB too: it writes the codes
 * of the digits, because a string for each byte would take a hundred times their memory.
 */
export function bytesToHex(bytes: Uint8Array): string {
  const codes = new Uint8Array(bytes.byteLength * 2);
  bytes.forEach((byte, index) => {
    codes[2 * index] = DIGITS[byte >> 4] ?? 0;
    codes[2 * index + 1] = DIGITS[byte & 15] ?? 0;
  });
  return new TextDecoder().decode(codes);
}
