/**
 * Pauses and resumes the running operation of one namespace on request.
 *
 * A pause of a person is theirs: no window takes it back. One that the Worker has made itself is
 * taken back only when its reason is gone, since it would be made again at once: a caller who wants
 * to resume it is told how.
 */
import { WATCHED_AGE_MAX_MS } from "../live/counts-age.ts";
import type { LiveAccess } from "../live/port.ts";
import type { Remote } from "../model/calls.ts";
import type { LiveFailure, LiveResult, NamespaceRef } from "../model/live.ts";
import type { OperationStatus } from "../model/operation.ts";
import { RefusedRequest } from "../model/refused-request.ts";
import { isPausedByUs } from "../runs/hold-operation.ts";
import type { PauseCalls } from "./pauses.ts";

export interface PauseParts {
  readonly liveAccess: LiveAccess;
  readonly pauses: Remote<PauseCalls>;
  /** The name of the caller. */
  readonly by: string;
}

/**
 * @throws RefusedRequest when no operation is running, nothing is left to hold up, or the namespace
 * does not answer.
 */
export async function pauseOperation(
  parts: PauseParts,
  ref: NamespaceRef,
  reason: string,
): Promise<OperationStatus> {
  const { liveAccess, pauses, by } = parts;
  const { id } = await findRunning(
    liveAccess,
    ref,
    "pause",
    `To keep new ones from starting: policy.suspend in its manifest, or pause everything.`,
  );
  const paused = valueOf(await liveAccess.pause(ref, id, { reason, by }));
  await pauses.note(ref, `operation ${id} is paused: ${reason}`, by);
  return paused;
}

/**
 * The operation that goes on; one that was not paused is left as it is. @throws RefusedRequest the
 * same, and while the Worker itself holds it.
 */
export async function resumeOperation(
  parts: PauseParts,
  ref: NamespaceRef,
): Promise<OperationStatus> {
  const { liveAccess, pauses, by } = parts;
  const operation = await findRunning(
    liveAccess,
    ref,
    "resume",
    `\`shardctl history ${ref.name}\` shows how the last one ended.`,
  );
  const { id, paused } = operation;
  if (paused === null) return operation;
  if (isPausedByUs(operation)) {
    const hold = await pauses.findHold(ref);
    if (hold !== null)
      throw new RefusedRequest(
        "conflict",
        `Operation ${id} of '${ref.name}' would be paused again at once: ${hold}`,
      );
  }
  const resumed = valueOf(await liveAccess.resume(ref, id));
  await pauses.note(ref, `operation ${id} has resumed`, by);
  return resumed;
}

async function findRunning(
  liveAccess: LiveAccess,
  ref: NamespaceRef,
  verb: string,
  advice: string,
): Promise<OperationStatus> {
  const { operation } = valueOf(await liveAccess.describe(ref, WATCHED_AGE_MAX_MS));
  if (operation?.state === "running") return operation;
  throw new RefusedRequest(
    "conflict",
    `No operation of '${ref.name}' is running: there is nothing to ${verb}. ${advice}`,
  );
}

function valueOf<Value>(result: LiveResult<Value>): Value {
  if (result.ok) return result.value;
  throw new RefusedRequest(kindOf(result.failure), result.failure.message);
}

function kindOf({ kind }: LiveFailure): "unavailable" | "notFound" | "conflict" {
  return kind === "unreachable" ? "unavailable" : kind === "unbound" ? "notFound" : "conflict";
}
