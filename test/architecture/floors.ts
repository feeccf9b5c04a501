/**
 * Orders the rooms of a folder as floors. A room imports itself and the rooms below it; `check-imports.ts` refuses the rest, types too.
 *
 * A room is a folder, or a file that lies in none, by its name. A new room must be put on a floor here.
 */
export interface Floors {
  /** From the root of the repository. */
  readonly folder: string;
  /** From the ground up. */
  readonly rooms: readonly string[];
}

export const SHARDS_FLOORS: Floors = {
  folder: "src/shards",
  rooms: [
    "storage",
    "protocol",
    "platform",
    "move",
    "member",
    "directory",
    "root",
    "client",
    "router.ts",
    "host",
    "things",
    "index.ts",
  ],
};
