/** Moments and durations as people read them. Everything is UTC, and "now" is always passed in. */

/** "2026-03-01 12:00:05Z". */
export function formatMoment(moment: number): string {
  return new Date(moment)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, "Z");
}

/** The two largest units: "840 ms", "12.3 s", "1m 35s", "2h 5m", "3d 4h". */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.max(0, Math.round(durationMs))} ms`;
  if (durationMs < 59_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
  return `${Math.floor(minutes / 1440)}d ${Math.floor((minutes % 1440) / 60)}h`;
}

/** "12.3 s ago", or "just now" under a second and for clocks that disagree. */
export function formatAge(moment: number, now: number): string {
  return now - moment < 1000 ? "just now" : `${formatDuration(now - moment)} ago`;
}
