/** A page of an export reads what it carries, whatever is behind it. */
import { afterEach, expect, it, vi } from "vitest";

import { ReviewsStore } from "../../src/reviews/reviews-store.ts";
import { CoordinatorStore } from "../../src/runs/store.ts";
import { readStatePage } from "../../src/server/coordinator/state/read-state.ts";
import { openNodeSql } from "../support/node-sql.ts";

const ROWS = 300;
const LENGTH = 200_000;

/** The same database, which counts the rows that are taken out of it. */
function counted(sql: SqlStorage) {
  const taken = { rows: 0 };
  const watched = {
    exec(query: string, ...bindings: SqlStorageValue[]) {
      const rows = sql.exec(query, ...bindings).toArray();
      return {
        toArray: () => {
          taken.rows += rows.length;
          return rows;
        },
        *[Symbol.iterator]() {
          for (const row of rows) {
            taken.rows++;
            yield row;
          }
        },
      };
    },
  };
  return { sql: watched as unknown as SqlStorage, taken };
}

afterEach(() => vi.restoreAllMocks());

it("takes no more large rows out of the database than a page has, and has each once", () => {
  const own = openNodeSql();
  const plans = new CoordinatorStore(own);
  expect(plans.listApplied()).toEqual([]);
  const reviews = new ReviewsStore(own);
  for (let pull = 0; pull < ROWS; pull++)
    reviews.putFigures({ environment: "production", pull, fingerprint: "f" }, {
      large: "x".repeat(LENGTH),
    } as never);
  const { sql, taken } = counted(own);
  const pulls: unknown[] = [];
  for (let after: string | null = null; ;) {
    const parse = vi.spyOn(JSON, "parse");
    taken.rows = 0;
    const page = readStatePage(sql, "reviewFigures", after);
    if (page === null) throw new Error("There is such a table");
    expect(taken.rows).toBeLessThanOrEqual(page.rows.length + 1);
    expect(parse.mock.calls.length).toBeLessThanOrEqual(page.rows.length + 1);
    expect(page.rows.length * LENGTH).toBeLessThan(3 * 1024 * 1024);
    pulls.push(...page.rows.map((row) => row["pull"]));
    parse.mockRestore();
    if (page.next === null) break;
    after = page.next;
  }
  expect(pulls).toEqual(Array.from({ length: ROWS }, (_, pull) => pull));
});
