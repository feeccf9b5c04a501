/**
 * Notes when fences went up and came down, as the members' own messages say. Kept beside the
 * objects: in the local runtime all objects of a Worker live in one isolate.
 */

/**
 * From the first fence of an attempt to the last member that acts by its outcome. Milliseconds
 * since the Unix epoch.
 */
export interface FenceWindow {
  readonly from: number;
  readonly to: number;
}

let windows: { from: number; to: number; isEnding: boolean }[] = [];

export function markStart(kind: string): void {
  if (kind !== "fence") return;
  const last = windows.at(-1);
  if (!last || last.isEnding) windows.push({ from: Date.now(), to: Date.now(), isEnding: false });
}

export function markEnd(kind: string): void {
  if (kind !== "activate" && kind !== "unfence") return;
  const last = windows.at(-1);
  // A swap's last answers may come after the next attempt has begun: those cannot be told apart,
  // and do not happen without faults.
  if (last) Object.assign(last, { to: Date.now(), isEnding: true });
}

/** The windows since the last call. */
export function takeWindows(): FenceWindow[] {
  const taken = windows;
  windows = [];
  return taken.map(({ from, to }) => ({ from, to }));
}
