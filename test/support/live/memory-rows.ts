/** The rows of in-memory namespaces: counts by key, and where the live layout puts them. */
import { toKey, type Key, type KeyInput } from "../../../src/model/layout/key.ts";
import type { Layout } from "../../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../../src/model/layout/owner-lookup.ts";
import type { Partitioners } from "../../../src/model/layout/partitioners.ts";
import type { Forecast } from "../../../src/model/forecast.ts";
import type { MemberStatus, NamespaceRef } from "../../../src/model/live.ts";
import type { Disorder, RepairPlan } from "../../../src/model/repair.ts";

/** Rows that are alike in every key that a test asks for. */
export interface MemoryRows {
  /**
   * Value by shard key, e.g. `{ "data.country": "DE", id: 7 }`. A path that is not listed is a
   * missing key.
   */
  readonly keys: Readonly<Record<string, KeyInput>>;
  readonly rows: number;
  /** Default `BYTES_PER_ROW` for each row. */
  readonly bytes?: number;
  /**
   * The member on which they lie, though the layout gives them to another; until the next
   * operation.
   */
  readonly misplacedOn?: string;
}

export interface MemoryNamespace extends NamespaceRef {
  readonly layout: Layout;
  readonly epoch: number;
  readonly rows: readonly MemoryRows[];
  readonly undeclaredTables?: readonly string[];
  /** Members that do not answer, with the reason. */
  readonly unhealthy?: Readonly<Record<string, string>>;
  /** The members' words about themselves, by the member's name. */
  readonly facts?: Readonly<
    Record<
      string,
      Pick<MemberStatus, "library" | "schema" | "storage" | "refusedWriteAt" | "counting">
    >
  >;
  /** As the coordinator adds it, which knows sizes over time. */
  readonly forecast?: Forecast;
  /** Rows on objects that the layout does not name, by the object's name. */
  readonly strays?: Readonly<Record<string, number>>;
  readonly disorder?: Disorder | null;
  /** The words and steps of a repair; without them there is nothing to repair. */
  readonly repair?: MemoryRepair;
}

export interface MemoryRepair extends Pick<RepairPlan, "testimonies" | "steps" | "losses"> {
  /** Members that must be asked by name before anything is proven. */
  readonly needs?: readonly string[];
  /** The namespace after it. */
  readonly to: Partial<Omit<MemoryNamespace, "repair" | "disorder">>;
}

export const BYTES_PER_ROW = 200;

/** The member of each group of rows, by the live layout. A round robin spreads a group evenly. */
export function placeRows(
  namespace: MemoryNamespace,
  partitioners: Partitioners,
): { member: string; group: MemoryRows }[] {
  const { layout } = namespace;
  if (layout.kind === "roundRobin") {
    const count = layout.members.length;
    return namespace.rows.flatMap((group) =>
      layout.members.map((member, index) => {
        const rows = Math.floor(group.rows / count) + (index < group.rows % count ? 1 : 0);
        return {
          member,
          group: {
            keys: group.keys,
            rows,
            bytes: group.rows === 0 ? 0 : (bytesOf(group) * rows) / group.rows,
          },
        };
      }),
    );
  }
  const ownerOf = createOwnerLookup(layout, partitioners);
  return namespace.rows.map((group) => ({
    member:
      group.misplacedOn ??
      ownerOf(layout.kind === "none" ? toKey(null) : keyOf(group, layout.shardKey)),
    group,
  }));
}

export function keyOf(group: MemoryRows, shardKey: string): Key {
  return toKey(Object.hasOwn(group.keys, shardKey) ? group.keys[shardKey] : null);
}

export function bytesOf(group: MemoryRows): number {
  return group.bytes ?? group.rows * BYTES_PER_ROW;
}
