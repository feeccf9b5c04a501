/** Says what is out of step in a namespace, and what a repair of it does. */
import type { Disorder, RepairStep } from "../../model/repair.ts";
import type { TableRows } from "../protocol/replies.ts";
import type { RepairDecision } from "./repair-plan.ts";

/** The state of the namespace, in words: null when nothing is out of step. */
export function disorderOf(
  root: string,
  members: readonly {
    readonly member: string;
    readonly kind: Disorder["kind"];
    readonly message: string;
    readonly since: number;
  }[],
): Disorder | null {
  const lost = members.find(({ member, kind }) => member === root && kind === "registryLost");
  if (lost)
    return { kind: "registryLost", members: [root], message: lost.message, since: lost.since };
  const first = members[0];
  if (!first) return null;
  return {
    kind: "outOfStep",
    members: members.map(({ member }) => member),
    message: members.map(({ message }) => message).join("; "),
    since: Math.min(...members.map(({ since }) => since)),
  };
}

/** One line for each thing that a repair does, without its rows set aside. */
export function describeSteps(
  decision: RepairDecision,
  root: string,
  straysOf: (member: string) => readonly TableRows[],
): RepairStep[] {
  const { epoch, layout, isRegistryLost, operations, mends, endedUpTo } = decision;
  const steps: RepairStep[] = [];
  for (const end of operations) {
    const summary =
      end.kind === "over"
        ? `Ends operation ${end.record.id} in the journal: its members have ended it, or know nothing of it`
        : end.kind === "forward"
          ? `Carries the cutover of operation ${end.move.operation} to its end on every member, and ends it there`
          : `Ends operation ${end.move.operation} as cancelled: its members let go, and keep their rows`;
    steps.push({ kind: "operation", member: root, summary, setAside: [] });
  }
  if (isRegistryLost) {
    const shards =
      layout.kind === "none"
        ? "unsharded"
        : `${layout.members.length} shards by ${layout.shardKey}`;
    steps.push({
      kind: "registry",
      member: root,
      summary: `Takes the registry that the members prove: ${shards}, as epoch ${epoch}`,
      setAside: [],
    });
  }
  if (!isRegistryLost && decision.isJournalBehind)
    steps.push({
      kind: "registry",
      member: root,
      summary: `Gives no operation a number up to ${endedUpTo}: members know operations that the journal has forgotten`,
      setAside: [],
    });
  for (const { member, layout: taken } of mends) {
    const setAside = straysOf(member).map(({ table, rows }) => ({ member, table, rows }));
    const owns = layout.members.includes(member) ? "its part" : "no part";
    const summary =
      taken === null
        ? `Serves again, by what it knows`
        : `Takes the layout at epoch ${epoch}, with ${owns} of the keys`;
    steps.push({ kind: "member", member, summary, setAside });
  }
  if (decision.suspectsDirectory)
    steps.push({ kind: "directory", member: root, summary: ENTERS_AGAIN, setAside: [] });
  return steps;
}

const ENTERS_AGAIN =
  "Has all members enter the ids of their rows in the directory again: until then no row is found by its id alone, and calls that store a new id wait or are told to retry";
