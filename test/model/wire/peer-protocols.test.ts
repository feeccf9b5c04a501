/** The protocol that a message is sent by, whatever versions the two sides run. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LIBRARY_VERSION } from "../../../src/model/wire/library-version.ts";
import { PeerProtocols, refuseNumber } from "../../../src/model/wire/peer-protocols.ts";
import { refusal } from "../../../src/model/wire/protocol-failure.ts";
import {
  PROTOCOLS_SPOKEN,
  PROTOCOL_VERSION,
  type ProtocolReply,
} from "../../../src/model/wire/protocol.ts";
import { failure, success } from "../../../src/model/result.ts";

/** A peer that speaks these protocols; the numbers that it was sent. */
class Peer {
  readonly sent: number[] = [];
  speaks: readonly number[];

  constructor(speaks: readonly number[]) {
    this.speaks = speaks;
  }

  readonly send = (protocol: number): Promise<ProtocolReply<unknown>> =>
    Promise.resolve(this.#answer(protocol));

  /** As the library of protocol 1 answers, and as this one does. */
  #answer(protocol: number): ProtocolReply<unknown> {
    this.sent.push(protocol);
    const { speaks } = this;
    if (speaks.length === 1 && speaks[0] === 1)
      return protocol === 1
        ? success("done")
        : failure(refusal("invalid", "Only protocol 1 is spoken here"));
    if (speaks.includes(protocol)) return { ...success("done"), speaks };
    return {
      ...failure(refusal("protocol", `Only protocols ${speaks.join(" and ")} are spoken here`)),
      speaks,
    };
  }
}

const DONE = { ok: true, value: "done" };

describe("PeerProtocols", () => {
  it("begins with the oldest, and goes on by the newest in common", async () => {
    const protocols = new PeerProtocols();
    const peer = new Peer([1, 2]);
    expect(protocols.newestOf("m")).toBe(null);
    for (let calls = 0; calls < 3; calls++)
      expect(await protocols.exchange("m", peer.send)).toMatchObject(DONE);
    expect(peer.sent).toEqual([1, 2, 2]);
    expect(protocols.newestOf("m")).toBe(2);
  });

  it("stays with protocol 1 towards an object that knows no other", async () => {
    const protocols = new PeerProtocols();
    const peer = new Peer([1]);
    for (let calls = 0; calls < 3; calls++)
      expect(await protocols.exchange("m", peer.send)).toMatchObject(DONE);
    expect(peer.sent).toEqual([1, 1, 1]);
    expect(protocols.newestOf("m")).toBe(1);
  });

  it("follows a peer that is rolled back and deployed again, without telling the caller", async () => {
    const protocols = new PeerProtocols();
    const peer = new Peer([1, 2]);
    await protocols.exchange("m", peer.send);
    await protocols.exchange("m", peer.send);
    peer.speaks = [1];
    expect(await protocols.exchange("m", peer.send)).toMatchObject(DONE);
    expect(protocols.newestOf("m")).toBe(1);
    peer.speaks = [1, 2];
    await protocols.exchange("m", peer.send);
    expect(await protocols.exchange("m", peer.send)).toMatchObject(DONE);
    expect(peer.sent).toEqual([1, 2, 2, 1, 1, 2]);
  });

  it("remembers each peer by itself", async () => {
    const protocols = new PeerProtocols();
    const [old, fresh] = [new Peer([1]), new Peer([1, 2])];
    for (let calls = 0; calls < 2; calls++) {
      await protocols.exchange("old", old.send);
      await protocols.exchange("new", fresh.send);
    }
    expect([old.sent, fresh.sent]).toEqual([
      [1, 1],
      [1, 2],
    ]);
  });

  it("moves on with a peer that no longer speaks the oldest", async () => {
    const protocols = new PeerProtocols([1, 2]);
    const peer = new Peer([2, 3]);
    expect(await protocols.exchange("m", peer.send)).toMatchObject(DONE);
    expect(peer.sent).toEqual([1, 2]);
  });

  it.each([
    ["a peer far ahead", [3, 4], [1]],
    ["an old peer, of one that has left it behind", [1], [3]],
  ])("says to try again later when nothing is in common: %s", async (_, speaks, sent) => {
    const protocols = new PeerProtocols(speaks[0] === 1 ? [3, 4] : [1, 2]);
    const peer = new Peer(speaks);
    const answer = await protocols.exchange("m", peer.send);
    expect(answer).toMatchObject({ ok: false, failure: { kind: "protocol", retryable: true } });
    expect(answer.ok ? "" : answer.failure.message).toContain(
      `m speaks protocol ${speaks.join(" and ")}`,
    );
    expect(peer.sent).toEqual(sent);
  });

  describe("a message that protocol 1 does not know", () => {
    it("is tried at once by the protocol that knows it", async () => {
      const protocols = new PeerProtocols();
      const peer = new Peer([1, 2]);
      expect(await protocols.exchange("m", peer.send, 2)).toMatchObject(DONE);
      expect(peer.sent).toEqual([2]);
    });

    it("is never sent by less, and can be sent once the peer is deployed", async () => {
      const protocols = new PeerProtocols();
      const peer = new Peer([1]);
      await protocols.exchange("m", peer.send);
      for (let tries = 0; tries < 2; tries++) {
        expect(await protocols.exchange("m", peer.send, 2)).toMatchObject({
          failure: { kind: "protocol", retryable: true },
        });
      }
      peer.speaks = [1, 2];
      expect(await protocols.exchange("m", peer.send, 2)).toMatchObject(DONE);
      expect(peer.sent).toEqual([1, 2, 2, 2]);
    });
  });

  it("does not take a refusal that the peer passes on for one of its own", async () => {
    const protocols = new PeerProtocols();
    const passedOn = failure(
      refusal("protocol", "another speaks protocol 1, this message needs 2"),
    );
    let sent = 0;
    const send = async (): Promise<ProtocolReply<unknown>> => {
      sent++;
      return { ...passedOn, speaks: [1, 2] };
    };
    expect(await protocols.exchange("m", send)).toMatchObject(passedOn);
    expect(sent).toBe(1);
    expect(protocols.newestOf("m")).toBe(2);
  });

  it("does not send for ever to a peer that refuses what it says it speaks", async () => {
    const protocols = new PeerProtocols();
    let sent = 0;
    const send = async (): Promise<ProtocolReply<unknown>> => {
      sent++;
      return { ...failure(refuseNumber()), speaks: sent % 2 === 0 ? [1] : [2] };
    };
    expect(await protocols.exchange("m", send)).toMatchObject({ failure: { kind: "protocol" } });
    expect(sent).toBe(3);
  });
});

describe("what an object says of itself", () => {
  it("is the version of the package", () => {
    const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(LIBRARY_VERSION).toBe(manifest.version);
  });

  it("is the version before as well as the newest protocol", () => {
    expect(PROTOCOLS_SPOKEN).toEqual([PROTOCOL_VERSION - 1, PROTOCOL_VERSION]);
  });
});
