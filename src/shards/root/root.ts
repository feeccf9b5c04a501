/**
 * The root of a namespace: answers the control half, keeps the registry and starts, drives and
 * cancels operations.
 *
 * Every object can be a root; it becomes one by being asked.
 */
import { findStartProblem } from "../../model/wire/check-start.ts";
import { type Partitioners, newestPartitioners } from "../../model/layout/partitioners.ts";
import type {
  Distribution,
  DistributionRequest,
  LiveNamespace,
  RowIds,
  TableStatus,
} from "../../model/live.ts";
import { operationModeFor } from "../../model/operation-mode.ts";
import type { OperationFault, OperationStatus, StartOperation } from "../../model/operation.ts";
import { type ProtocolFailure, refusal } from "../../model/wire/protocol-failure.ts";
import type { Disorder, RepairOutcome, RepairPlan, RepairRequest } from "../../model/repair.ts";
import { type Result, failure, success } from "../../model/result.ts";
import type { Ask, MemberRequest } from "../protocol/messages.ts";
import type { Trouble } from "../protocol/replies.ts";
import { doChores } from "./chores.ts";
import {
  type MemberCount,
  askTrouble,
  countMember,
  distributeOverMembers,
} from "./count-members.ts";
import { drive, requestCancel } from "./driver.ts";
import { isDirectoryChecked, putDirectoryCheck } from "./directory-check.ts";
import { Journal, type RegistryEntry, type StoredEvent } from "./journal.ts";
import { each } from "./each.ts";
import { type OperationRecord, newRecord, participants } from "./operation-record.ts";
import { noteMembers } from "./member-notes.ts";
import { type RepairContext, planRepair, repair } from "./repair.ts";
import { disorderOf } from "./repair-words.ts";
import { tellRows } from "./tell-rows.ts";
import { requestPause, requestResume } from "./pause.ts";
import type { DriverContext } from "./progress.ts";
import { keepReserve, requireRoom } from "../storage/reserve.ts";
import { ensureSchema } from "../storage/schema.ts";
import type { HostStorage, Runtime, Sql } from "../storage/storage.ts";
import type { TableSpec } from "../storage/tables.ts";

/** How long one alarm works before it hands over to the next. */
const DRIVE_MS = 20_000;
/**
 * The alarm is set this far ahead while the driver works: after a crash it fires again, and never
 * counts as a failed one.
 */
const LEASE_MS = 1_000;

export interface RootOptions {
  readonly sql: Sql;
  readonly storage: HostStorage;
  readonly runtime: Runtime;
  readonly namespace: string;
  readonly specs: readonly TableSpec[];
  readonly partitioners: Partitioners;
  readonly onEvent: ((event: StoredEvent) => void) | undefined;
  readonly onEpoch: ((entry: RegistryEntry) => void) | undefined;
  readonly ask: Ask;
  /** Why this object serves nothing until it is repaired; undefined when nothing is wrong. */
  readonly troubleOfRoot: () => Trouble | undefined;
}

export class Root {
  readonly journal: Journal;
  readonly #options: RootOptions;
  #driving: Promise<void> | undefined;
  /** Of the operation that was last asked about: a record is long to read. */
  #token: { readonly operation: number; readonly token: string | undefined } | undefined;
  #watchers: (() => void)[] = [];

  constructor(options: RootOptions) {
    this.#options = options;
    this.journal = new Journal(options.sql, options.namespace);
  }

  /** Looks at the namespace, with counts that are no older than this. */
  async describe(object: string, countsMaxAgeMs = 0): Promise<LiveNamespace> {
    const { runtime, specs, namespace, partitioners } = this.#options;
    const { layout, epoch } = this.journal.registry();
    const counts = await Promise.all(
      layout.members.map((member) => countMember(this.#options, member, countsMaxAgeMs)),
    );
    this.#resumeDirectoryCheck(counts);
    const running = this.journal.running();
    const latest = running ?? this.journal.history(1)[0];
    return {
      name: namespace,
      object,
      layout,
      epoch,
      operation: latest ? this.journal.status(latest) : null,
      disorder: await this.#findDisorder(counts),
      members: noteMembers(
        this.#options.sql,
        counts.map((count) => count.status),
        runtime.now(),
      ),
      tables: specs.map((spec): TableStatus => ({
        name: spec.name,
        role: "follows" in spec ? "follows" : "keyed",
      })),
      undeclaredTables: [...new Set(counts.flatMap((count) => count.undeclared))].toSorted(),
      partitioners: newestPartitioners(partitioners),
      countedAt: Math.min(runtime.now(), ...counts.map(({ countedAt }) => countedAt)),
      marked: true,
    };
  }

  /**
   * Takes up again what a root that was restored, or lost, has forgotten: its members answer for
   * no id until then.
   */
  #resumeDirectoryCheck(counts: readonly MemberCount[]): void {
    const since = counts.flatMap(({ suspectSince }) => suspectSince ?? []);
    if (since.length === 0 || this.#options.troubleOfRoot()) return;
    if (isDirectoryChecked(this.journal)) return;
    const { layout } = this.journal.registry();
    this.#options.sql.transaction(() => {
      putDirectoryCheck(
        this.journal,
        layout.members,
        Math.max(...since),
        this.#options.runtime.now(),
      );
    });
    this.wake();
  }

  /** Collects the troubles of its members, and of the root, which need not be one of them. */
  async #findDisorder(counts: readonly MemberCount[]): Promise<Disorder | null> {
    const { namespace, troubleOfRoot } = this.#options;
    const counted = counts.flatMap(({ status, trouble }) =>
      trouble ? [{ member: status.name, ...trouble }] : [],
    );
    const troubles = [
      ...counted,
      ...(await this.#troublesBeside(counts.map(({ status }) => status.name))),
    ];
    const own = troubleOfRoot();
    const others = troubles.filter(({ member }) => member !== namespace);
    return disorderOf(namespace, own ? [{ member: namespace, ...own }, ...others] : others);
  }

  /**
   * Of those that take part in an operation, or have yet to hear of its end, and are no members.
   */
  async #troublesBeside(
    members: readonly string[],
  ): Promise<({ readonly member: string } & Trouble)[]> {
    const running = this.journal.running();
    // A target that has yet to be prepared knows nothing rightly, and so does one that never was.
    const waiting = this.journal
      .chores()
      .filter(({ tries, kind }) => tries > 0 && kind !== "abandon");
    const parts =
      running?.step === "prepare" ? running.from.members : running ? participants(running) : [];
    const names = [...parts, ...waiting.map(({ member }) => member)];
    const beside = [...new Set(names)].filter((name) => !members.includes(name));
    const troubles = await each(beside, async (member) => ({
      member,
      trouble: await askTrouble(this.#options, member),
    }));
    return troubles.flatMap(({ member, trouble }) => (trouble ? [{ member, ...trouble }] : []));
  }

  /** Counts by a key on every member. @throws when a member does not answer. */
  distribute(distribution: DistributionRequest, isExact: boolean): Promise<Distribution> {
    return distributeOverMembers(
      this.#options,
      this.journal.registry().layout.members,
      distribution,
      isExact,
    );
  }

  /**
   * Journals the operation; the alarm does the rest. The same correlation id starts nothing twice.
   */
  start(request: StartOperation): Result<OperationStatus, ProtocolFailure> {
    const { sql, runtime, namespace } = this.#options;
    ensureSchema(sql);
    const known = this.journal.findByCorrelation(request.correlationId);
    if (known && known.kind !== request.kind) {
      return failure(
        refusal(
          "invalid",
          `Correlation id '${request.correlationId}' belongs to operation ${known.id} (${known.kind}): use another`,
        ),
      );
    }
    if (known) return success(this.journal.status(known));
    const refused = this.#refuseStart(request);
    if (refused) return failure(refused);
    const { layout, epoch } = this.journal.registry();
    const now = runtime.now();
    const { kind, to, policy, correlationId, requestedBy, refuseEmpty } = request;
    const record: OperationRecord = {
      ...newRecord(this.journal.nextId(), now),
      token: tokenOf(correlationId, now),
      kind,
      mode: operationModeFor(layout, to),
      from: layout,
      to,
      epochFrom: epoch,
      epoch,
      policy,
      correlationId,
      requestedBy,
      refuseEmpty,
    };
    sql.transaction(() => {
      requireRoom(sql);
      // The writes that end the operation must have room even where the storage fills up meanwhile.
      keepReserve(sql, JSON.stringify([layout, request.to]).length);
      this.journal.insert(record);
      this.#emit(`${request.kind}.started`, record, {
        namespace,
        count: request.to.members.length,
        strategy: request.to.kind,
      });
    });
    this.wake();
    return success(this.journal.status(record));
  }

  /**
   * Before everything is deleted: gives what writes the registry down again, of a namespace that is
   * unsharded after it was sharded. Null for any other: its members know more than could be kept.
   */
  rememberUnsharded(): (() => void) | null {
    const { epoch, layout } = this.journal.registry();
    if (epoch === 0 || layout.kind !== "none" || this.journal.running()) return null;
    const newest = this.journal.nextId() - 1;
    return () => {
      this.journal.skipTo(newest);
      this.journal.commitEpoch(epoch, layout, 0, this.#options.runtime.now());
    };
  }

  /** Plans a repair. */
  planRepair(request: RepairRequest): Promise<RepairPlan> {
    return planRepair(this.#repairContext(), request);
  }

  /** Does what the plan of this fingerprint has shown. @throws RefusedError */
  async repair(request: RepairRequest, fingerprint: string, by: string): Promise<RepairOutcome> {
    ensureSchema(this.#options.sql);
    const outcome = await repair(this.#repairContext(), request, fingerprint, by);
    this.#token = undefined;
    this.wake();
    return outcome;
  }

  find(id: number): Result<OperationStatus, ProtocolFailure> {
    const record = this.journal.find(id);
    return record ? success(this.journal.status(record)) : failure(this.#notFound(id));
  }

  /** Tells what the objects name of single rows. */
  tellRows(): Promise<RowIds> {
    return tellRows({ ...this.#options, journal: this.journal });
  }

  history(limit: number): OperationStatus[] {
    return this.journal.history(limit).map((record) => this.journal.status(record));
  }

  /** Ends an operation before its cutover. Idempotent; after the cutover it refuses. */
  cancel(
    id: number,
    fault: OperationFault = { kind: "cancelled", message: "Cancelled on request" },
  ): Result<OperationStatus, ProtocolFailure> {
    const record = this.journal.find(id);
    if (!record) return failure(this.#notFound(id));
    if (record.state !== "running" || record.fault !== null)
      return success(this.journal.status(record));
    const cancelled = requestCancel(this.#context(), record, fault);
    if (cancelled === "tooLate") {
      return failure(
        refusal(
          "tooLate",
          `Operation ${id} has cut over (step ${record.step}): it can only go forward. Start another operation to go back`,
        ),
      );
    }
    this.wake();
    return success(this.journal.status(cancelled));
  }

  /**
   * Lets a running operation stand still: durable before the answer leaves. Idempotent; with
   * nothing left to hold up it refuses.
   */
  pause(id: number, reason: string, by: string): Result<OperationStatus, ProtocolFailure> {
    const record = this.journal.find(id);
    if (!record) return failure(this.#notFound(id));
    const paused = requestPause(this.#context(), record, { reason, by });
    if (paused === "tooLate") {
      const where =
        record.state === "running" ? `is in step ${record.step}` : `has ended: ${record.state}`;
      return failure(refusal("tooLate", `Operation ${id} ${where}: nothing is left to hold up`));
    }
    if (!record.paused) this.#emit(`${record.kind}.paused`, paused, { reason, by });
    this.wake();
    return success(this.journal.status(paused));
  }

  /** Lets a paused operation go on at once. Idempotent. */
  resume(id: number): Result<OperationStatus, ProtocolFailure> {
    const record = this.journal.find(id);
    if (!record) return failure(this.#notFound(id));
    const resumed = requestResume(this.#context(), record);
    if (record.paused) {
      this.#emit(`${record.kind}.resumed`, resumed, {
        pausedMs: this.#options.runtime.now() - record.paused.since,
      });
      this.wake();
    }
    return success(this.journal.status(resumed));
  }

  /**
   * Waits until the operation satisfies `until`, or `waitMs` have passed; gives what it is then.
   */
  async waitFor(
    id: number,
    until: (record: OperationRecord) => boolean,
    waitMs: number,
  ): Promise<OperationRecord> {
    const { runtime } = this.#options;
    const deadline = runtime.now() + waitMs;
    for (;;) {
      const record = this.journal.find(id);
      if (!record) throw new Error(`Operation ${id} is not in the journal`);
      const leftMs = deadline - runtime.now();
      if (until(record) || leftMs <= 0) return record;
      await new Promise<void>((resolve) => {
        const woken = new AbortController();
        this.#watchers.push(() => {
          woken.abort();
          resolve();
        });
        void runtime.sleep(leftMs, woken.signal).then(resolve, resolve);
      });
    }
  }

  /**
   * Sets the alarm to the next moment: the driver goes on in its own event. Call in the turn of the
   * change that needs it. Not to now: set in the handler of another alarm, that may fire late.
   */
  wake(): void {
    void this.#options.storage.setAlarm(this.#options.runtime.now() + 1);
  }

  /**
   * Tells a participant the end of an operation once more, which takes part in it again: it was
   * restored to before it was told.
   */
  tellAgain(record: OperationRecord, member: string): void {
    const { id, state, fault } = record;
    if (
      state === "running" ||
      member === this.#options.namespace ||
      !participants(record).includes(member)
    )
      return;
    const kind = fault === null ? "finish" : "abandon";
    if (
      this.journal
        .chores()
        .some((chore) => chore.member === member && chore.kind === kind && chore.operation >= id)
    )
      return;
    this.journal.putChore({
      member,
      kind,
      operation: id,
      dueAt: this.#options.runtime.now(),
      tries: 0,
    });
    this.wake();
  }

  /**
   * Works on the operation and the chores; the alarm's body. Never throws for a failure of the
   * work: the runtime would give up on the alarm after six. At most one at a time.
   */
  async onAlarm(): Promise<void> {
    this.#driving ??= this.#drive().finally(() => {
      this.#driving = undefined;
    });
    return this.#driving;
  }

  /**
   * When the driver has something to do: now, after a backoff, or when a chore is due. Null when
   * there is nothing.
   */
  nextDue(): number | null {
    // A root that has lost its registry acts on nothing.
    if (this.#options.troubleOfRoot()) return null;
    const running = this.journal.running();
    const chore = this.journal.chores()[0]?.dueAt ?? null;
    if (!running) return chore;
    return chore === null ? running.notBefore : Math.min(running.notBefore, chore);
  }

  async #drive(): Promise<void> {
    const { storage, runtime } = this.#options;
    const context = this.#context();
    if (this.nextDue() === null) return;
    await storage.setAlarm(runtime.now() + LEASE_MS);
    await drive(context, DRIVE_MS);
    await doChores(context);
  }

  #refuseStart({ epoch, to, policy }: StartOperation): ProtocolFailure | null {
    const running = this.journal.running();
    const registry = this.journal.registry();
    if (running)
      return refusal(
        "operationRunning",
        running.paused
          ? `Operation ${running.id} (${running.kind}) is paused (${running.paused.reason}): resume it, or cancel it`
          : `Operation ${running.id} (${running.kind}) is running: wait for it, or cancel it`,
      );
    if (isDirectoryChecked(this.journal))
      return refusal(
        "operationRunning",
        "The ids of all rows are being entered in the directory again, after a repair: wait for its end",
      );
    if (registry.epoch !== epoch) {
      return refusal(
        "epochChanged",
        `'${this.#options.namespace}' is at epoch ${registry.epoch}, the plan was made for epoch ${epoch}: plan again`,
      );
    }
    const problem = findStartProblem({ to, policy });
    if (problem !== null) return refusal("invalid", problem);
    const isSwap = operationModeFor(registry.layout, to) === "swap";
    const stays = to.members.find((member) => registry.layout.members.includes(member));
    if (isSwap && stays !== undefined)
      return refusal("invalid", `${stays} cannot be a source and a target of one swap`);
    return null;
  }

  #notFound(id: number): ProtocolFailure {
    return refusal("notFound", `'${this.#options.namespace}' has no operation ${id}`);
  }

  #repairContext(): RepairContext {
    return { ...this.#context(), root: this.#options.namespace };
  }

  #context(): DriverContext {
    const { sql, runtime } = this.#options;
    const { journal } = this;
    return {
      sql,
      runtime,
      journal,
      ask: (member, request) => this.#options.ask(member, this.#named(request)),
      emit: (type, record, detail) => this.#emit(type, record, detail),
      committed: () => this.#options.onEpoch?.(this.journal.registry()),
      changed: () => this.#changed(),
    };
  }

  /** Names the operation, and the epoch of the registry, in a message of an operation. */
  #named<const Request extends MemberRequest>(request: Request): Request {
    if (!("operation" in request) || request.kind === "start") return request;
    const token = this.#tokenOf(request.operation);
    return {
      ...request,
      registryEpoch: this.journal.epoch(),
      ...(token === undefined ? {} : { token }),
    };
  }

  #tokenOf(operation: number): string | undefined {
    if (this.#token?.operation !== operation)
      this.#token = { operation, token: this.journal.find(operation)?.token };
    return this.#token.token;
  }

  #changed(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const wake of watchers) wake();
  }

  #emit(type: string, record: OperationRecord, detail: Readonly<Record<string, unknown>>): void {
    const { runtime, onEvent } = this.#options;
    const event = this.journal.addEvent(
      type,
      record.correlationId,
      record.id,
      runtime.now(),
      detail,
    );
    // After this turn: the callback is the user's, and must not be able to fail the transaction
    // that it is told of.
    if (onEvent) void Promise.resolve(event).then(onEvent);
  }
}

/**
 * Unique to one start: a root that was restored may start the same request again, but not at the
 * same time.
 */
function tokenOf(correlationId: string, startedAt: number): string {
  return `${startedAt.toString(36)}-${correlationId}`;
}
