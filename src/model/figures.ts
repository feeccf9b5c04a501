/**
 * Formats figures for people, the same in messages, terminals and comments: English grouping,
 * decimal units, independent of the machine's locale.
 */

import type { Window } from "./spec.ts";

/** An integer with thousands separators: 1204332 → "1,204,332". */
export function formatCount(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** Bytes in decimal units with three significant digits at most: 1234567 → "1.2 MB". */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[unit] ?? "B"}`;
}

/**
 * A part of a whole: "33.3 %". A part that is not zero is never shown as 0.0 %, nor less than the
 * whole as 100.0 %.
 */
export function formatShare(part: number, whole: number): string {
  if (whole === 0 || part === 0) return "0.0 %";
  const share = (part / whole) * 100;
  if (share < 0.05) return "< 0.1 %";
  return `${(part < whole ? Math.min(share, 99.9) : share).toFixed(1)} %`;
}

/** "1 row", "2 rows", "1,204 rows". */
export function formatQuantity(count: number, singular: string, plural = `${singular}s`): string {
  return `${formatCount(count)} ${count === 1 ? singular : plural}`;
}

/** `"0 2 * * 1-5" for 2h Europe/Berlin`. */
export function formatWindow({ start, durationMs, timezone }: Window): string {
  const minutes = Math.round(durationMs / 60_000);
  const length = minutes % 60 === 0 ? `${minutes / 60}h` : `${minutes}m`;
  return `"${start}" for ${length} ${timezone}`;
}
