/**
 * State that an object has stored of itself, cached so that admission costs no query: its
 * namespace, its membership, the move that it takes part in and the plan of that move.
 *
 * Changed by the methods of `Member` alone, inside `change`. Nothing here decides what a member
 * does.
 */
import { NOTHING_CHANGED } from "../../model/operation.ts";
import type { Partitioners } from "../../model/layout/partitioners.ts";
import { EngineFault } from "../storage/faults.ts";
import {
  type Membership,
  dropMoving,
  readMembership,
  readMoving,
  writeMembership,
  writeMoving,
} from "./membership.ts";
import {
  type FrozenTables,
  readTablesNow,
  changedTables,
  definitionsOf,
  refuseOtherSpecs,
  specsText,
  stepsOf,
} from "../move/frozen-tables.ts";
import { refused } from "../protocol/refused-error.ts";
import { type MovePlan, buildMovePlan } from "../move/move-plan.ts";
import type { Moving } from "../move/moving.ts";
import type { KeyChecks } from "./owned-keys.ts";
import type { Ask, MemberRequest } from "../protocol/messages.ts";
import { forgetSchema, hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { SourceContext } from "../move/source-context.ts";
import { type RunAlone, type Runtime, type Sql, quoteName } from "../storage/storage.ts";
import { type Table, type TableSpec, resolveTables, schemaText } from "../storage/tables.ts";

export interface MemberOptions {
  readonly sql: Sql;
  readonly runtime: Runtime;
  readonly alone: RunAlone;
  readonly namespace: string;
  readonly self: string;
  readonly specs: readonly TableSpec[];
  readonly partitioners: Partitioners;
  /** Default `all`. */
  readonly checkKeys?: KeyChecks | undefined;
  readonly ask: Ask;
}

/** Where the tables stand as they were when the move was prepared. */
const FROZEN = "frozen";
/** The same, as a library of protocol 1 reads and writes it. */
const MOVED_SCHEMA = "movedSchema";

export class MemberState implements SourceContext {
  readonly sql: Sql;
  readonly runtime: Runtime;
  readonly self: string;
  readonly life: number;
  readonly ask: Ask;
  protected readonly options: MemberOptions;
  #namespace: string;
  #plan: MovePlan | undefined;
  #frozen: FrozenTables | undefined;
  /** True when `#frozen` is stored, and not what a library of protocol 1 began with. */
  #isFrozen = false;
  /** The declared specs as one text. */
  readonly #specs: string;
  /**
   * The stored record, so that admission costs no query. Read again after a change that was
   * rolled back.
   */
  #membership: Membership | undefined;
  #moving: { readonly value: Moving | undefined } | undefined;

  constructor(options: MemberOptions) {
    this.options = options;
    this.sql = options.sql;
    this.runtime = options.runtime;
    this.self = options.self;
    this.life = options.runtime.now();
    this.ask = (member, request) => options.ask(member, this.#named(request));
    this.#namespace = options.namespace;
    this.#specs = specsText(options.specs);
  }

  /**
   * True when a message for this namespace is one for this object. What is stored decides; an
   * object that has nothing stored is the root of its own name, until a message that `introduces`
   * makes it part of another.
   */
  belongTo(namespace: string, introduces: boolean): boolean {
    if (namespace === this.membership.namespace) return true;
    if (!introduces || this.isStored) return false;
    this.#namespace = namespace;
    this.#membership = undefined;
    return true;
  }

  /**
   * After a message that was to introduce this object to a namespace and stored nothing: it is the
   * root of its own name again.
   */
  forgetUnstored(): void {
    if (this.#namespace === this.options.namespace || this.isStored) return;
    this.#namespace = this.options.namespace;
    this.#membership = undefined;
  }

  get membership(): Membership {
    return (this.#membership ??= readMembership(this.sql, this.#namespace, this.self));
  }

  /** True for an object that no rows of the namespace belong to, and that knows it. */
  get ownsNothing(): boolean {
    return !this.membership.serving && !this.membership.trouble;
  }

  get moving(): Moving | undefined {
    return (this.#moving ??= { value: readMoving(this.sql) }).value;
  }

  tables(): Table[] {
    return resolveTables(this.sql, this.options.specs);
  }

  /** The first column of TEXT affinity that holds a table's shard key itself, not below JSON. */
  textKeyColumn(shardKey: string): string | undefined {
    const affine = /char|clob|text/i;
    for (const { name, followed, shardKeys } of this.tables()) {
      const column = shardKeys[shardKey] ?? shardKey;
      if (followed !== null || column.includes(".")) continue;
      const found = this.sql
        .rows<{ name: string; type: string }>(`PRAGMA table_xinfo(${quoteName(name)})`)
        .find((info) => info.name === column);
      if (found && affine.test(found.type) && !/int/i.test(found.type)) return column;
    }
    return undefined;
  }

  /**
   * The plan of the running move.
   * @throws EngineFault when `operation` does not run here, or the class declares other tables than
   * it did.
   * @throws RefusedError `tablesChanged` when tables are no longer what they were.
   */
  plan(operation: number): MovePlan {
    const plan = this.planAfterCutover(operation);
    const frozen = this.frozen();
    this.#requireMovedSchema(frozen);
    refuseOtherSpecs(frozen, this.#specs, this.self, operation);
    const { definitions, steps } = readTablesNow(this.sql, frozen.tables);
    const changed = changedTables(frozen, definitions);
    if (changed.length > 0)
      throw refused(
        "tablesChanged",
        `A deploy has changed ${changed.join(", ")} on ${this.self}: what it changed is copied again`,
      );
    if (frozen.steps !== undefined && frozen.steps !== steps)
      throw refused(
        "tablesChanged",
        `A deploy has migrated ${this.self}: the others are waited for`,
      );
    return plan;
  }

  /**
   * The plan by the frozen tables, without a look at those of now: after the cutover there is only
   * forward. @throws EngineFault when `operation` does not run here.
   */
  planAfterCutover(operation: number): MovePlan {
    const moving = this.moving;
    if (moving?.operation !== operation) {
      const { operation: newest } = this.membership;
      if (newest < operation)
        throw new EngineFault(
          "outOfStep",
          `${this.self} knows nothing of operation ${operation}: it was restored meanwhile`,
        );
      throw new EngineFault(
        "cancelled",
        `Operation ${operation} does not run on ${this.self} (${moving ? `operation ${moving.operation} does` : "none does"})`,
      );
    }
    if (this.#plan === undefined || !sameMove(this.#plan.moving, moving)) {
      this.#plan = buildMovePlan(this.sql, moving, this.frozen().tables, this.options.partitioners);
    }
    return this.#plan;
  }

  /** The tables of the running move as they were prepared. */
  protected frozen(): FrozenTables {
    if (this.#frozen === undefined) {
      const stored = readMeta<FrozenTables>(this.sql, FROZEN);
      this.#frozen = stored ?? this.currentTables();
      this.#isFrozen = stored !== undefined;
    }
    return this.#frozen;
  }

  /** The tables as they are now, to be frozen. */
  protected currentTables(): FrozenTables {
    const tables = this.tables();
    return {
      tables,
      definitions: definitionsOf(this.sql, tables),
      specs: this.#specs,
      steps: stepsOf(this.sql),
    };
  }

  /** Freezes the tables as they are. Call inside `change`. */
  protected freezeTables(): void {
    const current = this.currentTables();
    writeMeta(this.sql, FROZEN, current);
    this.#frozen = current;
    this.#isFrozen = true;
    writeMeta(this.sql, MOVED_SCHEMA, schemaText(this.sql, current.tables));
    this.#plan = undefined;
  }

  /**
   * A move that was prepared by a library of protocol 1: its tables are what they were, or its
   * operation ends. @throws EngineFault
   */
  #requireMovedSchema(frozen: FrozenTables): void {
    if (
      this.#isFrozen ||
      readMeta<string>(this.sql, MOVED_SCHEMA) === schemaText(this.sql, frozen.tables)
    )
      return;
    throw new EngineFault(
      "schema",
      `The tables on ${this.self} were changed together with the library while an operation runs. ${NOTHING_CHANGED}: start it again`,
    );
  }

  /** A transaction that changes what this object knows of itself. */
  protected change<Value>(closure: () => Value): Value {
    try {
      return this.sql.transaction(closure);
    } catch (error) {
      this.#membership = undefined;
      this.#moving = undefined;
      this.#frozen = undefined;
      throw error;
    }
  }

  /** After the storage was deleted: nothing of what was known of it holds. */
  protected forgetCaches(): void {
    forgetSchema(this.sql);
    this.#membership = undefined;
    this.#moving = undefined;
    this.#frozen = undefined;
    this.#plan = undefined;
  }

  protected put(record: { readonly membership?: Membership; readonly moving?: Moving }): void {
    if (record.membership) writeMembership(this.sql, (this.#membership = record.membership));
    if (record.moving) writeMoving(this.sql, record.moving);
    if (record.moving) this.#moving = { value: record.moving };
  }

  protected forgetMoving(): void {
    dropMoving(this.sql);
    this.#moving = { value: undefined };
    this.#plan = undefined;
    this.#frozen = undefined;
  }

  /** Names the operation in a message of it, so that it is not taken for another of that number. */
  #named<const Request extends MemberRequest>(request: Request): Request {
    const { moving } = this;
    const isOf =
      "operation" in request &&
      moving?.operation === request.operation &&
      moving.token !== undefined;
    return isOf ? { ...request, token: moving.token } : request;
  }

  /** True when this object has stored what it knows of itself. */
  get isStored(): boolean {
    return hasSchema(this.sql) && readMeta(this.sql, "membership") !== undefined;
  }
}

/**
 * A plan stays good while only the fence of its move changes. Both are read from one document,
 * whose fields keep their order; in another order a plan would merely be made again.
 */
function sameMove(left: Moving, right: Moving): boolean {
  return left === right || JSON.stringify(left) === JSON.stringify(right);
}
