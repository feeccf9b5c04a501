/**
 * From rows of a source to messages for its targets: scan, route, pack, deliver, check.
 *
 * Rule "sequence-numbers": rows travel with a number per source and target that only grows, taken
 * in the turn in which the rows are read. The target stores it with the rows and ignores older
 * ones, so a call that seemed to fail may still arrive without harm.
 */
import { rowWords } from "../../model/row-words.ts";
import type { Key } from "../../model/layout/key.ts";
import { isMissing } from "../../model/layout/key.ts";
import { EngineFault } from "../storage/faults.ts";
import type { CheckPart, RowsPart } from "../protocol/messages.ts";
import type { Moving } from "./moving.ts";
import { type MovePlan, type MoveTable, keyColumn, keyOf } from "./move-plan.ts";
import { positionJson } from "./position.ts";
import { type Refuge, findRefuge } from "./refuge.ts";
import {
  LARGE_ROW_BYTES,
  type LargeRow,
  ROW_BYTES_MAX,
  type RowForm,
  cellsText,
  isAltered,
  primaryKeyMatches,
  readCells,
  rowBytes,
  rowJson,
} from "../storage/row-codec.ts";
import { type Runtime, type Sql, type SqlRow, quoteName, textOf } from "../storage/storage.ts";

/** Bytes of rows that one page reads; a single larger row is read alone. */
export const PAGE_BYTES_MAX = 1024 * 1024;
/** Rows of one page. */
export const PAGE_ROWS_MAX = 10_000;

/** A row of a scan. */
export interface ScannedRow {
  readonly key: string;
  readonly route: Key;
  /** The key under the source layout; null when that layout does not route by key. */
  readonly origin: Key | null;
  /** Size in transit: of the JSON text, or of a large row's values. */
  readonly bytes: number;
  /** Null for a row that must go cell by cell. */
  readonly json: string | null;
  readonly hasBlobs: boolean;
}

/** The part of one table that one target gets. */
interface PartBuilder {
  readonly columns: readonly string[];
  /** `json` is sent; `text`, the row as it was read, is hashed. */
  readonly rows: { readonly json: string; readonly text: string; readonly key: string }[];
  readonly keys: string[];
  readonly texts: string[];
  readonly large: LargeRow[];
  readonly absent: string[];
  /** Keys of rows that do not show where they came from. */
  readonly origins: Set<string>;
  bytes: number;
  withBlobs: boolean;
}

/** A part of a message, and the text of what the target must hold when it has stored it. */
export interface Packed {
  readonly part: RowsPart;
  readonly text: string;
}

/**
 * Characters of the rows in one statement: at most 2 MB as UTF-8, the runtime's limit for a string,
 * whatever the characters.
 */
const STATEMENT_CHARACTERS_MAX = 640 * 1024;

/** Rows for many targets, of one or more tables in the plan's order. */
export class Batch {
  readonly #sql: Sql;
  readonly #plan: MovePlan;
  readonly #self: string;
  readonly #refuge: Refuge | null;
  readonly #byTarget = new Map<string, Map<string, PartBuilder>>();

  constructor(sql: Sql, plan: MovePlan, self: string) {
    this.#sql = sql;
    this.#plan = plan;
    this.#self = self;
    this.#refuge = findRefuge(plan.moving, self);
  }

  get targets(): string[] {
    return [...this.#byTarget.keys()].toSorted();
  }

  /**
   * Adds a row for its owner under the target layout, and says who that is; null when the row stays
   * where it is.
   * @throws EngineFault when the row may not move.
   */
  add(table: MoveTable, row: ScannedRow): string | null {
    const { moving, originOf } = this.#plan;
    const isMisplaced =
      originOf !== null && row.origin !== null && originOf(row.origin) !== this.#self;
    const refuge = moving.mode === "shift" && isMisplaced ? this.#refuge : null;
    const owner = refuge?.owner ?? table.ownerOf(row.route);
    if (moving.mode === "shift" && refuge === null && (owner === this.#self || isMisplaced)) {
      if (isMisplaced) this.#refuseToLeave(table, row);
      // A shift moves what its layouts say changes hands: a row that is already misplaced is the
      // audit's business.
      return null;
    }
    refuseRow(table, row, moving.allowMissingKey);
    table.enter(row.key, row.route);
    const part = this.#part(owner, table);
    const position = refuge?.position ?? positionOf(moving, row.route);
    part.keys.push(row.key);
    part.bytes += row.bytes;
    // The key of a follower is another row's, and a directory entry has none: they cannot show
    // where they came from.
    const showsOrigin = row.origin !== null && table.table.followed === null && !isMisplaced;
    if (originOf !== null && !showsOrigin) part.origins.add(row.key);
    if (row.json === null) {
      const cells = readCells(this.#sql, table.table, row.key);
      part.large.push({ position, key: row.key, cells });
      part.texts.push(cellsText(cells));
    } else {
      part.rows.push({ json: sentJson(moving, position, row.json), text: row.json, key: row.key });
      part.texts.push(row.json);
      if (row.hasBlobs) part.withBlobs = true;
    }
    return owner;
  }

  /**
   * A member that leaves takes every row along: one that no range takes along must be moved first.
   */
  #refuseToLeave(table: MoveTable, row: ScannedRow): void {
    if (this.#plan.moving.to.members.includes(this.#self)) return;
    throw new EngineFault(
      "internal",
      `Row ${rowWords(row.key)} of table '${table.table.name}' stands on ${this.#self}, which leaves and owns no keys: move or delete the row, then start again`,
    );
  }

  /** Says that this source has no such row, or not for this target. */
  addAbsent(table: MoveTable, target: string, key: string): void {
    this.#part(target, table).absent.push(key);
  }

  /**
   * The rows for a target, in parts that one statement can take. What has no rows goes with the
   * first part of its table.
   */
  rowsFor(target: string): Packed[] {
    return this.#parts(target).flatMap(([table, part]) => {
      const [first = [], ...rest] = splitRows(part.rows);
      const absent = { absent: `[${part.absent.join(",")}]`, absentCount: part.absent.length };
      const packed = packRows(table, part, first, part.large);
      return [
        { ...packed, part: { ...packed.part, ...absent } },
        ...rest.map((rows) => packRows(table, part, rows, [])),
      ];
    });
  }

  /**
   * Builds the checks that a target compares by key, in parts that one statement can take. Absent
   * keys go with the first part of their table.
   */
  async checksFor(target: string, runtime: Runtime): Promise<CheckPart[]> {
    const checks: CheckPart[] = [];
    for (const [table, part] of this.#parts(target)) {
      const absent = `[${part.absent.join(",")}]`;
      for (const [index, { from, to }] of cutKeys(part.keys).entries()) {
        checks.push({
          table,
          keys: `[${part.keys.slice(from, to).join(",")}]`,
          digest: await runtime.digest(part.texts.slice(from, to).join("\n")),
          absent: index === 0 ? absent : "[]",
        });
      }
    }
    return checks;
  }

  /** Rows and bytes per table for one target. */
  countsFor(
    target: string,
  ): { readonly table: string; readonly rows: number; readonly bytes: number }[] {
    return this.#parts(target).map(([table, part]) => ({
      table,
      rows: part.keys.length,
      bytes: part.bytes,
    }));
  }

  #parts(target: string): [string, PartBuilder][] {
    const tables = this.#byTarget.get(target);
    if (!tables) return [];
    return this.#plan.tables.flatMap(({ table }): [string, PartBuilder][] => {
      const part = tables.get(table.name);
      return part ? [[table.name, part]] : [];
    });
  }

  #part(target: string, { table }: MoveTable): PartBuilder {
    let tables = this.#byTarget.get(target);
    if (!tables) this.#byTarget.set(target, (tables = new Map()));
    let part = tables.get(table.name);
    if (!part) {
      const { columns } = table;
      part = {
        columns,
        rows: [],
        keys: [],
        texts: [],
        large: [],
        absent: [],
        origins: new Set(),
        bytes: 0,
        withBlobs: false,
      };
      tables.set(table.name, part);
    }
    return part;
  }
}

function packRows(
  table: string,
  part: PartBuilder,
  rows: PartBuilder["rows"],
  large: readonly LargeRow[],
): Packed {
  const keys = [...rows.map((row) => row.key), ...large.map((row) => row.key)];
  const origins = part.origins.size === 0 ? [] : keys.filter((key) => part.origins.has(key));
  const text = rows.map((row) => row.text).join(",");
  // Most rows are sent as they were read.
  const sent = rows.every((row) => row.json === row.text)
    ? text
    : rows.map((row) => row.json).join(",");
  return {
    part: {
      table,
      columns: part.columns,
      rows: `[${sent}]`,
      rowCount: rows.length,
      keys: `[${keys.join(",")}]`,
      withBlobs: part.withBlobs,
      large,
      absent: "[]",
      absentCount: 0,
      origins: `[${origins.join(",")}]`,
      originCount: origins.length,
    },
    text: partText(
      text,
      large.map((row) => cellsText(row.cells)),
    ),
  };
}

function splitRows(rows: PartBuilder["rows"]): PartBuilder["rows"][] {
  const parts: PartBuilder["rows"][] = [];
  let characters = STATEMENT_CHARACTERS_MAX;
  for (const row of rows) {
    characters += row.json.length;
    if (characters > STATEMENT_CHARACTERS_MAX) {
      parts.push([]);
      characters = row.json.length;
    }
    parts.at(-1)?.push(row);
  }
  return parts;
}

/** Cuts a list of keys where one statement ends; one empty piece where there are none. */
function cutKeys(keys: readonly string[]): { readonly from: number; readonly to: number }[] {
  const pieces: { readonly from: number; readonly to: number }[] = [];
  let from = 0;
  let characters = 0;
  keys.forEach((key, index) => {
    if (index > from && characters + key.length > STATEMENT_CHARACTERS_MAX) {
      pieces.push({ from, to: index });
      from = index;
      characters = 0;
    }
    characters += key.length;
  });
  return [...pieces, { from, to: keys.length }];
}

/**
 * The rows of a part as the text that is hashed: as the source reads them, and as the target reads
 * back what it has stored.
 */
export function partText(rows: string, large: readonly string[]): string {
  return [rows, ...large].join("\n");
}

/** How one table's rows are read: the SQL, and the reader of what it gives. */
export interface Scan {
  /**
   * A SELECT over `from`, in which the table has the alias `t`, with other columns before; append
   * `WHERE`, `ORDER BY` and `LIMIT`.
   */
  sql(from: string, others?: string): string;
  /**
   * The same rows as one text in a single row, for `readLines`: a row of its own in JavaScript
   * costs more than it does in SQLite.
   */
  linesSql(select: string): string;
  read(row: SqlRow): ScannedRow;
  /** The rows of a text, each made when it is asked for. */
  readLines(lines: string): Iterable<ScannedRow>;
}

export function createScan(sql: Sql, table: MoveTable, form: RowForm): Scan {
  const { columns, primaryKey } = table.table;
  const origin = table.originSql("t");
  const route = table.routeSql("t");
  const hasOwnOrigin = origin !== null && origin !== route;
  const parts = [
    `${rowJson(primaryKey, "t", form)} AS pk`,
    keyColumn(route, "route"),
    ...(hasOwnOrigin ? [keyColumn(origin, "origin")] : []),
    `CASE WHEN ${rowBytes(columns, "t")} <= ${LARGE_ROW_BYTES} THEN ${rowJson(columns, "t", form)} END AS row`,
  ];
  const selected = parts.join(", ");
  const read = (
    key: string,
    routed: string,
    own: string | null,
    stored: string | null,
  ): ScannedRow => {
    const routeKey = keyOf(routed);
    const json = stored === null || isAltered(stored) ? null : stored;
    return {
      key,
      route: routeKey,
      origin: origin === null ? null : own === null ? routeKey : keyOf(own),
      bytes: json === null ? largeRowBytes(sql, table, key) : json.length,
      json,
      hasBlobs: form === "masked" && json !== null && !json.endsWith(",null]"),
    };
  };
  return {
    sql: (from, others = "") => `SELECT ${others}${selected} FROM ${from}`,
    linesSql: (select) => {
      // JSON has neither tabs nor line ends of its own.
      const cells = [
        "pk",
        "json_quote(route)",
        ...(hasOwnOrigin ? ["json_quote(origin)"] : []),
        "coalesce(row, '')",
      ];
      return `SELECT group_concat(${cells.join(" || char(9) || ")}, char(10)) AS lines FROM (${select})`;
    },
    read: (row) =>
      read(
        textOf(row["pk"]),
        textOf(row["route"]),
        hasOwnOrigin ? textOf(row["origin"]) : null,
        row["row"] === null ? null : textOf(row["row"]),
      ),
    *readLines(lines) {
      for (const line of lines.split("\n")) {
        const cells = line.split("\t");
        const row = cells.at(-1) ?? "";
        yield read(
          cells[0] ?? "",
          unquote(cells[1]),
          hasOwnOrigin ? unquote(cells[2]) : null,
          row === "" ? null : row,
        );
      }
    },
  };
}

/** The text of a JSON string. */
function unquote(json = ""): string {
  return json.includes("\\") ? (JSON.parse(json) as string) : json.slice(1, -1);
}

function largeRowBytes(sql: Sql, { table }: MoveTable, key: string): number {
  const query = `SELECT ${rowBytes(table.columns, "t")} AS bytes FROM ${quoteName(table.name)} AS t WHERE ${primaryKeyMatches(table, "t", "?1")}`;
  return sql.first<{ bytes: number }>(query, key)?.bytes ?? 0;
}

/** Takes the next sequence number for a target. Call in the turn in which the rows are read. */
export function nextSequence(sql: Sql, target: string): number {
  sql.run(
    "INSERT INTO shardctl_sent (target, sequence) VALUES (?, 1) ON CONFLICT (target) DO UPDATE SET sequence = sequence + 1",
    target,
  );
  return (
    sql.first<{ sequence: number }>("SELECT sequence FROM shardctl_sent WHERE target = ?", target)
      ?.sequence ?? 1
  );
}

export function tableFrom(table: MoveTable): string {
  return `${quoteName(table.table.name)} AS t`;
}

/** Only staged rows have a place in the order of waves. */
function positionOf({ mode, to }: Moving, route: Key): string {
  return mode === "swap" ? "0,0" : positionJson(to, route);
}

/** A staged row has its position before its columns. */
function sentJson({ mode }: Moving, position: string, json: string): string {
  return mode === "shift" ? `[${position},${json.slice(1)}` : json;
}

function refuseRow(table: MoveTable, row: ScannedRow, allowMissingKey: boolean): void {
  // Only a row that goes cell by cell can be that large; the JSON of another may be, by its
  // escapes.
  if (row.json === null && row.bytes > ROW_BYTES_MAX) {
    throw new EngineFault(
      "rowTooLarge",
      `Row ${rowWords(row.key)} of table '${table.table.name}' has ${row.bytes} bytes, above the limit of ${ROW_BYTES_MAX} for one row: shorten it, then start again`,
    );
  }
  if (table.needsKey && !allowMissingKey && isMissing(row.route)) {
    throw new EngineFault(
      "missingKey",
      `Row ${rowWords(row.key)} of table '${table.table.name}' has no shard key, and policy.onMissingKey is reject: give it one, or set onMissingKey: allow`,
    );
  }
}
