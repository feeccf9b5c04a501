import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { toKey } from "../../../src/model/layout/key.ts";
import { SLOT_COUNT, slotOf, slotOfId } from "../../../src/model/layout/slots.ts";

/** CRC16-XMODEM bit by bit, as the Redis Cluster specification's appendix A defines it. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

describe("slotOf", () => {
  it("is CRC16 of the UTF-8 text modulo 16,384", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        fc.pre(!text.includes("{"));
        expect(slotOf(toKey(text))).toBe(
          crc16(new TextEncoder().encode(text.toWellFormed())) % SLOT_COUNT,
        );
      }),
    );
  });

  it.each([
    // From the specification and `CLUSTER KEYSLOT`.
    ["123456789", 0x31c3 % SLOT_COUNT],
    ["somekey", 11_058],
    ["foo{hash_tag}", 2515],
    ["bar{hash_tag}", 2515],
  ])("%s is slot %i", (text, slot) => {
    expect(slotOf(toKey(text))).toBe(slot);
  });

  it("takes only the part in braces, when there is one", () => {
    expect(slotOf(toKey("{user1}.following"))).toBe(slotOf(toKey("user1")));
    expect(slotOf(toKey("a{}b"))).toBe(crc16(new TextEncoder().encode("a{}b")) % SLOT_COUNT);
  });

  it("does not tell numbers from their text, nor ids from keys", () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        expect(slotOf(toKey(value))).toBe(slotOfId(String(value)));
      }),
    );
  });
});
