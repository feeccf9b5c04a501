/**
 * The engine that a benchmark measures: a tree with `src` and, beside it, this benchmark's Worker.
 */
import { fileURLToPath } from "node:url";

export interface Engine {
  /** For people, such as `this tree` or a short commit. */
  readonly name: string;
  /** The folder that has `src` and `test/programs/bench/worker.ts`. */
  readonly folder: string;
}

/** The tree that this benchmark is part of. */
export const THIS_FOLDER = fileURLToPath(new URL("../../../", import.meta.url).href);

/**
 * The benchmark's Worker in a tree, by path: its imports of `src` lead to the engine of that tree.
 */
export const WORKER_FILE = "test/programs/bench/worker.ts";
