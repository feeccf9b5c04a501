/**
 * The number of the protocol that this Worker's engine speaks, heard from its own router. Kept
 * beside the objects: in the local runtime all objects of a Worker live in one isolate.
 */

let heard: number | undefined;

/** Called for each message that an object receives. */
export function noteProtocol(protocol: number): void {
  heard = protocol;
}

/**
 * The number; `speak` has the router send something when nothing was heard yet. @throws Error when
 * nothing is heard then either.
 */
export async function spokenProtocol(speak: () => Promise<unknown>): Promise<number> {
  if (heard === undefined) await speak();
  if (heard === undefined)
    throw new Error("The router spoke to no object: the number of its protocol is not known");
  return heard;
}
