/**
 * Chooses file names for imported manifests: names that every system can check out, in the folder
 * that was asked for and nowhere else, and no two that a system without case would confuse.
 */
import { createHash } from "node:crypto";

const PLAIN = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?$/u;
/** Devices of Windows, whatever follows behind a dot. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/iu;
const STEM_LENGTH_MAX = 60;

/** File names in the order of `names`, which are all different. */
export function importFileNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const isPlain = PLAIN.test(name) && !DEVICE.test(name);
    const stem = isPlain && !taken.has(name.toLowerCase()) ? name : markedStem(name);
    taken.add(stem.toLowerCase());
    return `${stem}.yaml`;
  });
}

/** The letters and digits of the name, and a mark that only this name has. */
function markedStem(name: string): string {
  const letters = name.replaceAll(/[^A-Za-z0-9_-]+/gu, "-").replaceAll(/^-+|-+$/gu, "");
  const mark = createHash("sha256").update(name).digest("hex").slice(0, 12);
  const stem = letters.slice(0, STEM_LENGTH_MAX);
  return stem === "" || DEVICE.test(stem) ? `namespace-${mark}` : `${stem}-${mark}`;
}
