/**
 * Orders the rooms of a folder as floors, from the ground up. A room imports itself and the rooms
 * below it, or those of them that its row allows; `check-imports.ts` refuses the rest, types too.
 *
 * A room is a folder, or a file that lies in none, by its name. A new room needs a floor here.
 */
export interface Floors {
  /** From the root of the repository. */
  readonly folder: string;
  /** From the ground up. */
  readonly rooms: readonly string[];
  /** The rooms below that each room imports. Left out: it may import all of them. */
  readonly imports?: Readonly<Record<string, readonly string[]>>;
}

/**
 * A row for each room: an import that is missing here is refused, and so is one that no file uses.
 */
const SRC_IMPORTS = {
  "log.ts": [],
  model: [],
  planning: ["model"],
  manifest: ["model"],
  shards: ["model", "planning"],
  live: ["model"],
  github: ["model"],
  render: ["model"],
  reviews: ["model", "github"],
  repair: ["model", "live"],
  runs: ["log.ts", "model", "planning", "live", "reviews"],
  history: ["model", "render", "runs"],
  pauses: ["model", "live", "runs", "history"],
  reconcile: [
    "log.ts",
    "model",
    "planning",
    "manifest",
    "live",
    "github",
    "reviews",
    "repair",
    "runs",
    "history",
    "pauses",
  ],
  alerts: ["log.ts", "model", "github", "render", "history"],
  metrics: ["model", "github", "history", "reconcile", "alerts"],
  page: ["model", "live", "github", "render", "reviews", "runs", "history", "reconcile"],
  pulls: ["log.ts", "model", "manifest", "live", "github", "render", "reviews", "runs"],
  server: [
    "log.ts",
    "model",
    "manifest",
    "shards",
    "live",
    "github",
    "reviews",
    "repair",
    "runs",
    "history",
    "pauses",
    "reconcile",
    "alerts",
    "metrics",
    "page",
    "pulls",
  ],
  cli: ["model", "planning", "manifest", "github", "render", "pulls"],
} as const;

export const SRC_FLOORS: Floors = {
  folder: "src",
  rooms: Object.keys(SRC_IMPORTS),
  imports: SRC_IMPORTS,
};

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
