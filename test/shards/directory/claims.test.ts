/**
 * Rule "probe-revokes": what a claim brings no longer counts once its owner has said that the row
 * is not there.
 */
import { expect, it } from "vitest";
import { toKey } from "../../../src/model/layout/key.ts";
import { type KeyedDirectoryLayout, directoryMember } from "../../../src/model/layout/directory.ts";
import {
  PROTOCOL_VERSION,
  type Envelope,
  type ProtocolReply,
} from "../../../src/model/wire/protocol.ts";
import { failure, success } from "../../../src/model/result.ts";
import { Host } from "../../../src/shards/host/host.ts";
import { writeMembership } from "../../../src/shards/member/membership.ts";
import type { MemberRequest } from "../../../src/shards/protocol/messages.ts";
import { Sql } from "../../../src/shards/storage/storage.ts";
import { openStorage, runAlone } from "../support/node-storage.ts";
import { peersOf } from "../../support/peers-of.ts";

const LAYOUT: KeyedDirectoryLayout = {
  kind: "custom",
  shardKey: "grp",
  generation: 1,
  members: ["owner", "holder"],
  partitioner: { name: "first", version: 1 },
  directory: true,
};
/** Its entry is with the other member. */
const ID = ["a", "b", "c", "d"].find((id) => directoryMember(LAYOUT, id) === "holder") ?? "";

it("asks for the id again when the directory was told meanwhile that its row is not here", async () => {
  const storage = openStorage();
  const sql = new Sql(storage);
  sql.run("CREATE TABLE items (id TEXT PRIMARY KEY, grp TEXT)");
  writeMembership(sql, {
    namespace: "ns",
    epoch: 1,
    layout: LAYOUT,
    serving: true,
    retired: false,
    operation: 0,
    ended: 0,
  });
  const answers: ((reply: ProtocolReply<unknown>) => void)[] = [];
  let runs = 0;
  const host = new Host(
    {
      self: "owner",
      identify: (name) => (name === "owner" ? "mine" : "other"),
      idOf: String,
      storage,
      runtime: {
        now: () => 0,
        sleep: () => new Promise(() => undefined),
        digest: () => Promise.resolve(""),
      },
      alone: runAlone,
      peers: peersOf(
        (_, envelope) =>
          new Promise((resolve) => (isClaim(envelope) ? answers.push(resolve) : undefined)),
      ),
    },
    new (class {
      put(): number {
        return ++runs;
      }
    })(),
    { tables: [{ name: "items" }], partitioners: { first: { version: 1, owner: () => 0 } } },
  );
  const send = (request: MemberRequest): Promise<ProtocolReply<unknown>> =>
    host.handle({
      protocol: PROTOCOL_VERSION,
      namespace: "ns",
      member: "owner",
      request,
    } satisfies Envelope);
  const key = toKey("g1");
  const claims = [{ table: "items", id: ID, key }];
  const call = send({ kind: "call", epoch: 1, keys: [key], method: "put", args: [], claims });
  await expect.poll(() => answers.length).toBe(1);
  // The claim is entered, its answer under way; then another member wants the id, and is given it.
  expect(await send({ kind: "probe", epoch: 1, rows: [{ table: "items", id: ID }] })).toMatchObject(
    success({ states: ["absent"] }),
  );
  answers[0]?.(success(undefined));
  await expect.poll(() => answers.length).toBe(2);
  expect(runs).toBe(0);
  const taken = { kind: "idTaken", message: "taken", retryable: false } as const;
  answers[1]?.(failure(taken));
  expect(await call).toMatchObject(failure(taken));
  expect(runs).toBe(0);
});

function isClaim(envelope: object): boolean {
  return (envelope as Envelope<MemberRequest>).request.kind === "claim";
}
