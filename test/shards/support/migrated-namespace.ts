/**
 * Namespaces of the class `Migrated`, to which a test deploys one list of migration steps after the
 * other.
 */
import { env } from "cloudflare:workers";

import { type Router, connect } from "../../../src/shards/router.ts";
import {
  type Migrated,
  type MigratorName,
  NOTES,
  type Step,
  deploySteps,
} from "../../support/migrated.ts";
import type { ShardsEnv } from "../../support/shards-worker.ts";
import { TestNamespace } from "./namespace.ts";

export const CREATE: Step = {
  id: "1-docs",
  up: ["CREATE TABLE docs (id TEXT PRIMARY KEY, region TEXT, home TEXT)"],
};

/** A column, and its value in every row. */
export const STATUS: Step = {
  id: "2-status",
  up: ["ALTER TABLE docs ADD COLUMN status TEXT"],
  backfill: ["UPDATE docs SET status = 'new' WHERE status IS NULL"],
};

/**
 * Rows only: the definition of no table tells that it has run. Twice is once too often: it shows in
 * the row.
 */
export const MARK: Step = { id: "2-mark", up: ["UPDATE docs SET home = home || '!'"] };

export class MigratedNamespace extends TestNamespace<Migrated> {
  readonly router: Router<Migrated>;
  readonly #migrator: MigratorName;

  constructor(name: string, migrator: MigratorName) {
    const { MIGRATED } = env as unknown as ShardsEnv;
    super(MIGRATED, name);
    this.#migrator = migrator;
    deploySteps(name, migrator, [CREATE]);
    this.router = connect<Migrated>(MIGRATED, name);
  }

  async load(rows: number): Promise<void> {
    const values = Array.from(
      { length: rows },
      (_, index) => `('d${index}', 'r${index % 7}', 'h${index % 5}')`,
    );
    await this.sql(this.name, `INSERT INTO docs (id, region, home) VALUES ${values.join(", ")}`);
  }

  /**
   * Deploys these steps, and starts these objects anew; the others keep what they run until they
   * start.
   */
  async deploy(steps: readonly Step[], members: readonly string[]): Promise<void> {
    deploySteps(this.name, this.#migrator, steps);
    for (const member of members) await this.abort(member);
  }

  /** Returns the number of notes of the migrator on this object, one for each step. */
  async notes(member: string): Promise<number> {
    return (await this.sql(member, NOTES[this.#migrator])).length;
  }

  /** The rows of all members, as `id column`, sorted. */
  async values(column: string): Promise<string[]> {
    const { layout } = await this.live();
    const rows = await Promise.all(
      layout.members.map((member) =>
        this.sql(member, `SELECT id || ' ' || ifnull(${column}, 'null') AS text FROM docs`),
      ),
    );
    return rows
      .flat()
      .map((row) => row["text"] as string)
      .toSorted();
  }
}
