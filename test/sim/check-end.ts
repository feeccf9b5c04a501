/**
 * Checks the end state once everything has come to rest: one owner per key and every row on it,
 * members that agree with the registry, nothing left behind, and operations that have ended for a
 * reason that the run gave them.
 */
import { toKey } from "../../src/model/layout/key.ts";
import { directoryMember, hasKeyedDirectory } from "../../src/model/layout/directory.ts";
import type { Layout } from "../../src/model/layout/layout.ts";
import { createOwnerLookup } from "../../src/model/layout/owner-lookup.ts";
import { ownsSamePart } from "../../src/model/layout/own-part.ts";
import type { OperationFault } from "../../src/model/operation.ts";
import type { OperationRecord } from "../../src/shards/root/operation-record.ts";
import type { Membership } from "../../src/shards/member/membership.ts";
import { textOf } from "../../src/shards/storage/storage.ts";
import { checkVersions, knowsAll } from "./check-versions.ts";
import { keyOfView } from "./history.ts";
import type { Deploys } from "./hazards.ts";
import type { Scenario } from "./scenario.ts";
import { hasTable, readMeta, viewsOf } from "./peek.ts";
import type { View } from "./store.ts";
import type { SimObject } from "./object.ts";
import { tablesOf } from "./versions.ts";
import type { World } from "./world.ts";

/** Tables of one move: empty when no move runs. */
const MOVE_RECORDS = ["walk", "outgoing", "sent", "received", "captured", "origin", "dealt"];

export interface EndState {
  readonly layout: Layout;
  readonly epoch: number;
  /** The live rows by `keyOfView`. */
  readonly views: ReadonlyMap<string, View>;
  readonly operations: readonly OperationRecord[];
}

/** The parts of a scenario that give operations reason to end otherwise than completed. */
type Expected = Pick<Scenario, "hasTwins" | "hasRivals" | "deploys"> & {
  /** True where a repair has left epochs out, and ended operations. */
  readonly isRepaired?: boolean;
  /** True where members went back: operations may miss what they need of them. */
  readonly hasSetbacks?: boolean;
};

/** Reads the end state, and tells `world` of everything that is wrong with it. */
export function checkEnd(world: World, scenario: Expected): EndState {
  const { namespace } = world.options;
  const root = world.object(namespace);
  const registry = checkRegistry(world, root, scenario.isRepaired === true);
  const operations = checkOperations(world, root, registry.epoch, scenario);
  const members = [...world.objects.values()].filter(({ name }) =>
    registry.layout.members.includes(name),
  );
  checkVersions(world, members, scenario.deploys);
  const views = new Map<string, View>();
  for (const object of world.objects.values()) {
    const isMember = registry.layout.members.includes(object.name);
    // The class's own constructor finds no room for good: nobody can tell it anything.
    if (!isMember && object.hasFailedFull && object.isLimited) continue;
    checkObject(world, object, registry, isMember, operations.length > 0);
    for (const view of viewsOf(object)) {
      if (!isMember) {
        world.violate(`${object.name} is no member but still holds ${view.id}`);
        continue;
      }
      const key = keyOfView(view);
      if (views.has(key)) world.violate(`${key} stands on two members`);
      views.set(key, view);
      checkEntry(world, registry.layout, view);
      if (!view.intact) world.violate(`${view.id} has another value than was stored`);
      const owner = ownerOf(world, registry.layout, view);
      if (owner !== object.name)
        world.violate(`${view.id} (${view.grp}) stands on ${object.name}, its owner is ${owner}`);
    }
  }
  return { ...registry, views, operations };
}

interface Registry {
  readonly isRepaired: boolean;
  readonly layout: Layout;
  readonly epoch: number;
}

function checkRegistry(world: World, root: SimObject, isRepaired: boolean): Registry {
  const rows = hasTable(root, "shardctl_registry")
    ? root.storage.peek("SELECT epoch, layout FROM shardctl_registry ORDER BY epoch")
    : [];
  rows.forEach((row, index) => {
    if (Number(row["epoch"]) !== index + 1 && !isRepaired)
      world.violate(
        `the registry's epochs are not 1, 2, 3 …: ${rows.map((each) => Number(each["epoch"])).join(", ")}`,
      );
  });
  const last = rows.at(-1);
  if (!last)
    return {
      isRepaired,
      layout: { kind: "none", generation: 0, members: [world.options.namespace] },
      epoch: 0,
    };
  return {
    isRepaired,
    layout: JSON.parse(textOf(last["layout"])) as Layout,
    epoch: Number(last["epoch"]),
  };
}

function checkOperations(
  world: World,
  root: SimObject,
  epoch: number,
  scenario: Expected,
): OperationRecord[] {
  if (!hasTable(root, "shardctl_operations")) return [];
  const records = root.storage
    .peek("SELECT record FROM shardctl_operations ORDER BY id")
    .map((row) => JSON.parse(textOf(row["record"])) as OperationRecord);
  if (scenario.isRepaired !== true) checkEpochs(world, root, epoch, records);
  for (const record of records) checkOperation(world, record, scenario);
  if (root.storage.peek("SELECT 1 FROM shardctl_waves").length > 0)
    world.violate("waves are left in the journal");
  const chores = root.storage.peek("SELECT member, kind FROM shardctl_chores");
  if (chores.length > 0) world.violate(`chores are left: ${JSON.stringify(chores)}`);
  return records;
}

function checkOperation(world: World, record: OperationRecord, scenario: Expected): void {
  const { id, kind, state, fault, wavesDone } = record;
  if (state === "running")
    world.violate(
      `operation ${id} (${kind}) is still running, in step ${record.step}: ${record.lastError ?? "no error"}`,
    );
  const isEndedByRepair = scenario.isRepaired === true && /repair/.test(fault?.message ?? "");
  if (!isEndedByRepair && !isExplained(world, record, scenario))
    world.violate(
      `operation ${id} (${kind}) ended for no reason with ${fault?.kind ?? "nothing"}: ${fault?.message ?? state}`,
    );
  if (state === "completed" && wavesDone !== record.waveCount)
    world.violate(`operation ${id} completed after ${wavesDone} of ${record.waveCount} waves`);
}

/** Each operation begins where the one before it ended, and commits what it says. */
function checkEpochs(
  world: World,
  root: SimObject,
  epoch: number,
  records: readonly OperationRecord[],
): void {
  let reached = 0;
  for (const { id, epochFrom, epoch: ended } of records) {
    if (epochFrom !== reached)
      world.violate(
        `operation ${id} began at epoch ${epochFrom}, the one before it ended at ${reached}`,
      );
    const committed = Number(
      root.storage.peek("SELECT count(*) AS n FROM shardctl_registry WHERE operation = ?", id)[0]?.[
        "n"
      ],
    );
    if (ended !== epochFrom + committed)
      world.violate(
        `operation ${id} committed ${committed} epochs from ${epochFrom}, and ended at ${ended}`,
      );
    reached = ended;
  }
  if (reached !== epoch)
    world.violate(`the last operation ended at epoch ${reached}, the registry is at ${epoch}`);
}

/**
 * Returns true when the run gave the operation a reason to end as it did. Silence is none: faults
 * last for seconds, the engine's retries for minutes.
 */
function isExplained(world: World, record: OperationRecord, scenario: Expected): boolean {
  const { id, state, fault } = record;
  switch (state) {
    case "running": // told of elsewhere
    case "completed":
      return true;
    case "cancelled":
      // A root that went back asks for what its members have ended.
      return fault?.kind === "cancelled" && (world.cancels.has(id) || scenario.isRepaired === true);
    case "failed":
      return fault !== null && hasReason(world, record, fault, scenario);
  }
}

function hasReason(
  world: World,
  record: OperationRecord,
  fault: OperationFault,
  scenario: Expected,
): boolean {
  switch (fault.kind) {
    case "outOfStep": // a member that went back has forgotten its part: nothing was changed
      return scenario.hasSetbacks === true && world.setbacks.all.length > 0;
    case "storageFull":
      return hasFilledUp(world, record, fault.message);
    case "schema": // a timer's row may point at one that is about to leave
      return (
        /\d rows of 'pins' stay on/.test(fault.message) ||
        hasOtherTables(world, record, fault.message, scenario.deploys)
      );
    case "duplicateId":
      return scenario.hasTwins || scenario.hasRivals;
    default:
      return false;
  }
}

/**
 * True when a statement of the object that the fault names has found no room while the operation
 * ran.
 */
function hasFilledUp(
  world: World,
  { startedAt, finishedAt }: OperationRecord,
  message: string,
): boolean {
  const named = /^(.+?) has no room left/.exec(message)?.[1] ?? "";
  const times = world.fullAt.get(named === "The root" ? world.options.namespace : named) ?? [];
  return times.some((at) => at >= startedAt && at <= (finishedAt ?? Infinity));
}

/**
 * True when a version of the run declares what the others do not, in the middle of a move; or when
 * tables have stayed different, because the newest version does not know what another has added, or
 * a constructor found no room.
 */
function hasOtherTables(
  world: World,
  { startedAt, finishedAt }: OperationRecord,
  message: string,
  { versions }: Deploys,
): boolean {
  if (message.includes("declares its tables in another way"))
    return new Set(versions.map((version) => JSON.stringify(tablesOf(version)))).size > 1;
  if (!STAY_DIFFERENT.some((words) => message.includes(words))) return false;
  return (
    !knowsAll(versions) ||
    world.failedStarts.some((at) => at >= startedAt && at <= (finishedAt ?? Infinity))
  );
}

/** Phrases in the message of an operation that waited for tables to be the same, and gave up. */
const STAY_DIFFERENT = ["has other columns on", "have not run the same steps of their migrations"];

function checkObject(
  world: World,
  object: SimObject,
  registry: Registry,
  isMember: boolean,
  hasRun: boolean,
): void {
  const { epoch } = registry;
  const { name, storage } = object;
  const left = storage
    .peek(
      "SELECT name FROM sqlite_master WHERE name LIKE 'shardctl\\_stage\\_%' ESCAPE '\\' OR name LIKE 'shardctl\\_capture\\_%' ESCAPE '\\' OR name LIKE 'shardctl\\_retired\\_%' ESCAPE '\\' ORDER BY name",
    )
    .map((row) => textOf(row["name"]))
    // The journal that would have had them dropped is lost: the object's next operation drops them.
    .filter((table) => !registry.isRepaired || !table.startsWith("shardctl_retired_"));
  if (left.length > 0) world.violate(`${name} has left behind: ${left.join(", ")}`);
  const guards = storage.peek(
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'shardctl\\_guard\\_%' ESCAPE '\\'",
  );
  if (isMember && guards.length > 0)
    world.violate(`${name} serves but refuses writes: ${guards.length} guards`);
  if (hasTable(object, "notes")) checkForeignKeys(world, object, isMember);
  if (!hasTable(object, "shardctl_meta")) return;
  for (const table of MOVE_RECORDS) {
    const count = Number(storage.peek(`SELECT count(*) AS n FROM shardctl_${table}`)[0]?.["n"]);
    if (count > 0) world.violate(`${name} has ${count} rows left in shardctl_${table}`);
  }
  const moving = readMeta(object, "moving");
  if (moving !== undefined)
    world.violate(`${name} still takes part in a move: ${JSON.stringify(moving).slice(0, 120)}`);
  const membership = readMeta<Membership>(object, "membership");
  if (isMember && hasRun && epoch > 0) checkMembership(world, name, registry, membership);
  if (!isMember && membership?.serving) world.violate(`${name} is no member but serves`);
  if (!isMember && membership && !refusesWrites(storage, guards.length))
    world.violate(`${name} is no member but takes writes`);
  checkDirectory(world, object, registry, isMember);
}

/**
 * Write blocks stand, and their row says so. Whether they are armed is a matter of the object's
 * life: it need not be running.
 */
function refusesWrites(storage: SimObject["storage"], guards: number): boolean {
  return (
    guards > 0 && storage.peek("SELECT 1 FROM shardctl_guard WHERE reason = 'notMember'").length > 0
  );
}

/** A member serves, by the registry's layout and at its epoch. */
function checkMembership(
  world: World,
  name: string,
  { layout, epoch, isRepaired }: Registry,
  membership: Membership | undefined,
): void {
  // After a repair members hear of the newest epoch when they are called.
  const isBehind =
    membership?.epoch !== epoch &&
    !(isRepaired && membership && ownsSamePart(name, membership.layout, layout));
  if (isBehind || !membership?.serving) {
    const does = membership?.serving ? "serves" : "does not serve";
    world.violate(
      `${name} is a member at epoch ${epoch}, but is at ${membership?.epoch ?? "none"} and ${does}`,
    );
  } else if (!isRepaired && JSON.stringify(membership.layout) !== JSON.stringify(layout)) {
    world.violate(`${name} serves by another layout than the registry's`);
  }
}

function checkForeignKeys(world: World, object: SimObject, isMember: boolean): void {
  const { name, storage } = object;
  const orphans = storage.peek(
    "SELECT item, seq FROM notes WHERE item NOT IN (SELECT id FROM items)",
  );
  if (orphans.length > 0)
    world.violate(`${name} has notes without their item: ${JSON.stringify(orphans)}`);
  if (storage.peek("PRAGMA foreign_keys")[0]?.["foreign_keys"] !== 1)
    world.violate(`${name} no longer enforces foreign keys`);
  if (isMember && hasTable(object, "pins")) checkPins(world, object);
}

function checkPins(world: World, { name, storage }: SimObject): void {
  const dangling = storage.peek("SELECT item FROM pins WHERE item NOT IN (SELECT id FROM items)");
  if (dangling.length > 0)
    world.violate(`${name} has pins without their item: ${JSON.stringify(dangling)}`);
}

function checkDirectory(
  world: World,
  object: SimObject,
  { layout, isRepaired }: Registry,
  isMember: boolean,
): void {
  // As with retired tables: they are part of what the lost journal would have had dropped.
  if (!isMember && isRepaired) return;
  const rows = object.storage.peek("SELECT table_name, id, owner FROM shardctl_directory");
  if (layout.kind !== "roundRobin" || !isMember) {
    if (rows.length > 0 && !(isMember && layout.kind !== "roundRobin"))
      world.violate(`${object.name} has ${rows.length} directory entries left`);
    return;
  }
  for (const row of rows) {
    const holder = directoryMember(layout, textOf(row["id"]));
    if (holder !== object.name)
      world.violate(
        `the directory entry of ${textOf(row["id"])} stands on ${object.name}, it belongs on ${holder}`,
      );
  }
}

/**
 * Where ids are unique, the directory has each row's key: two rows of one id cannot both be right.
 */
function checkEntry(world: World, layout: Layout, { id, grp }: View): void {
  if (!hasKeyedDirectory(layout)) return;
  const holder = world.object(directoryMember(layout, id));
  const query = "SELECT owner FROM shardctl_directory WHERE table_name = 'items' AND id = ?";
  const entry = hasTable(holder, "shardctl_directory")
    ? holder.storage.peek(query, id)[0]?.["owner"]
    : undefined;
  const key = `t${layout.shardKey === "grp" ? grp : id}`;
  if (entry !== key)
    world.violate(
      `the directory on ${holder.name} says ${entry === undefined ? "nothing" : textOf(entry)} of ${id}, its key is ${key}`,
    );
}

function ownerOf(world: World, layout: Layout, view: View): string {
  if (layout.kind !== "roundRobin") {
    const key = layout.kind !== "none" && layout.shardKey === "grp" ? view.grp : view.id;
    return createOwnerLookup(layout, world.options.partitioners)(toKey(key));
  }
  const holder = world.object(directoryMember(layout, view.id));
  const owner = holder.storage.peek(
    "SELECT owner FROM shardctl_directory WHERE table_name = 'items' AND id = ?",
    view.id,
  )[0]?.["owner"];
  return owner === undefined ? `unknown to the directory on ${holder.name}` : textOf(owner);
}
