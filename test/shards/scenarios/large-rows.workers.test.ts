/**
 * Rows up to the platform's limit of 2 MiB move exactly; one byte more is a clear error, and
 * nothing is lost.
 */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

import { LARGE_ROW_BYTES, ROW_BYTES_MAX } from "../../../src/shards/storage/row-codec.ts";
import { refusal } from "../../support/refusal.ts";
import { isLongRun, sample } from "../../support/sample.ts";
import type { Cases, ShardsEnv } from "../../support/shards-worker.ts";
import { beforeFirst } from "../support/intercept.ts";
import { TestNamespace } from "../support/namespace.ts";

const { CASES } = env as unknown as ShardsEnv;
const KIB = 1024;

function open(name: string): TestNamespace<Cases> {
  return new TestNamespace(CASES, `large~${name}`);
}

interface File {
  readonly id: string;
  readonly words: string | null;
  readonly bytes: ArrayBuffer | null;
  /** SQL literal. */
  readonly ratio?: string;
}

function store(namespace: TestNamespace<Cases>, files: readonly File[]): Promise<void> {
  return namespace.inside(namespace.name, (_, { storage: { sql } }) => {
    for (const { id, words, bytes, ratio = "NULL" } of files) {
      sql.exec(
        `INSERT INTO files (id, region, n, ratio, words, bytes) VALUES (?, ?, 9223372036854775807, ${ratio}, ?, ?)`,
        id,
        `r${id.length % 3}`,
        words,
        bytes,
      );
    }
  });
}

/** Bytes that no text encoding would survive. */
function noise(size: number): ArrayBuffer {
  return Uint8Array.from({ length: size }, (_, index) => (index * 197 + (index >> 8)) & 255).buffer;
}

/** A file whose row has exactly so many bytes: id and region and 8 for the integer. */
function sized(id: string, size: number, unit: string): File {
  const rest = size - id.length - 2 - integerBytes;
  return { id, words: unit.repeat(rest / unit.length), bytes: null };
}
// octet_length counts an integer by its text.
const integerBytes = "9223372036854775807".length;

/** Runs every kind of move; the names of those after which the rows were not the same. */
async function harm(namespace: TestNamespace<Cases>): Promise<string[]> {
  const before = await namespace.contents("files");
  const moves = {
    shard: () => namespace.toHash("id", 3),
    rebalance: () => namespace.toHash("id", 5),
    rekey: () => namespace.toHash("region", 2),
    unshard: () => namespace.unshard(),
  };
  const harmful: string[] = [];
  for (const [name, move] of Object.entries(moves)) {
    await move();
    const after = await namespace.contents("files");
    if (after.join("\n") !== before.join("\n")) harmful.push(name);
  }
  return [...harmful, ...(await namespace.leftovers())];
}

describe("large rows", { timeout: 60_000 }, () => {
  const units: [string, string][] = [
    ["letters", "x"],
    ["NUL, which JSON writes as six letters", "\0"],
    ["quotes", '"'],
    ["two-byte letters", "é"],
  ];
  it.each(sample(units, 2))(
    "around the size above which a row travels alone, of %s",
    async (_, unit) => {
      const namespace = open(`edge-${unit.codePointAt(0)}`);
      const sizes = [-2, 0, 2].map((more) => LARGE_ROW_BYTES + more);
      // An even rest, so that two-byte letters fit.
      await store(
        namespace,
        sizes.map((size, index) => sized(`${index}`.padEnd(5 - (index % 2) * 2, "x"), size, unit)),
      );
      expect(await harm(namespace)).toEqual([]);
    },
  );

  it("exactly at the limit, as text and as BLOB", async () => {
    const namespace = open("limit");
    const blobSize = ROW_BYTES_MAX - "b".length - 2 - integerBytes;
    await store(namespace, [
      sized("text", ROW_BYTES_MAX, "x"),
      { id: "b", words: null, bytes: noise(blobSize) },
    ]);
    const sizes = await namespace.sql(
      namespace.name,
      "SELECT octet_length(id) + octet_length(region) + octet_length(n) + coalesce(octet_length(words), 0) + coalesce(octet_length(bytes), 0) AS size FROM files",
    );
    expect(sizes).toEqual([{ size: ROW_BYTES_MAX }, { size: ROW_BYTES_MAX }]);
    expect(await harm(namespace)).toEqual([]);
  });

  it.runIf(isLongRun())("with every storage class beside the large value", async () => {
    const namespace = open("classes");
    const literals = ["1.0", "9007199254740993", "-9e999", "5e-324", "0.1 + 0.2", "x'00ff'", "''"];
    const words = `NUL \0 emoji 😀 quote ' " \\ ${"ab".repeat(300 * KIB)} end \0`;
    await store(
      namespace,
      literals.map((ratio, index) => ({
        id: `c${index}`,
        words: index % 2 === 0 ? words : null,
        bytes: noise(600 * KIB + index),
        ratio,
      })),
    );
    expect(await harm(namespace)).toEqual([]);
  });

  it("many of half a MiB and of one MiB, more than one message holds", async () => {
    const namespace = open("many");
    for (let index = 0; index < 12; index++) {
      const size = (index % 3 === 0 ? 1024 : 511) * KIB + index;
      await store(namespace, [
        {
          id: `m${index}`,
          words: index % 2 === 0 ? "w".repeat(size) : null,
          bytes: index % 2 === 0 ? null : noise(size),
        },
      ]);
    }
    expect(await harm(namespace)).toEqual([]);
  });

  it("written while they move", async () => {
    const namespace = open("written");
    for (let index = 0; index < 8; index++)
      await store(namespace, [{ id: `w${index}`, words: "a".repeat(700 * KIB), bytes: null }]);
    const wrote = beforeFirst(namespace.name, "verify", ({ host }) => {
      host.sql.run(
        "UPDATE files SET words = words || 'changed' WHERE id IN ('w1', 'w2', 'w3', 'w4', 'w5')",
      );
      host.sql.run(
        "INSERT INTO files (id, region, words) VALUES ('new', 'r', ?)",
        "n".repeat(1500 * KIB),
      );
    });
    await namespace.toHash("id", 3);
    expect(wrote.done).toBe(true);
    const sizes = await namespace.contents("files");
    expect(sizes).toHaveLength(9);
    expect(sizes.filter((row) => row.includes(`words=text:${700 * KIB + 7}:`))).toHaveLength(5);
    expect(await namespace.leftovers()).toEqual([]);
  });

  it("one byte above the limit: the operation fails, says so, and changes nothing", async () => {
    const namespace = open("over");
    await store(namespace, [sized("fits", 100, "x"), sized("over", ROW_BYTES_MAX + 1, "x")]);
    const before = await namespace.contents("files");
    const message = await refusal(() => namespace.toHash("id", 2));
    expect(message).toContain(
      `Row (not shown) of table 'files' has ${ROW_BYTES_MAX + 1} bytes, above the limit of ${ROW_BYTES_MAX} for one row`,
    );
    expect(await namespace.contents("files")).toEqual(before);
    expect((await namespace.live()).epoch).toBe(0);
    expect(
      await namespace.leftovers([`${namespace.name}-shard-0`, `${namespace.name}-shard-1`]),
    ).toEqual([]);
    await namespace.sql(namespace.name, "DELETE FROM files WHERE id = 'over'");
    await namespace.toHash("id", 2);
    expect(await namespace.contents("files")).toHaveLength(1);
  });
});
