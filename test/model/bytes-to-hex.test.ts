import { assert, nat, property, uint8Array } from "fast-check";
import { expect, it } from "vitest";

import { bytesToHex } from "../../src/model/bytes-to-hex.ts";

it("writes every byte as two lower-case digits, also of a view into a larger buffer", () => {
  assert(
    property(uint8Array(), nat(8), (bytes, start) => {
      const view = bytes.subarray(start);
      expect(bytesToHex(view)).toBe(Buffer.from(view).toString("hex"));
    }),
  );
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  expect(bytesToHex(all)).toBe(Buffer.from(all).toString("hex"));
});
