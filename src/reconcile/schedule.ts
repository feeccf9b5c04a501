/**
 * Spreads checks and audits over time by the namespace's name, so that a tick costs the same
 * whatever is declared, and two Workers do not meet by chance.
 */

/**
 * A check of one namespace asks its root once. Ten thousand are checked in an hour, about 170 a
 * minute; few are checked every minute.
 */
const CHECK_MS_EACH = 360;
const CHECK_MS_MIN = 60_000;
/**
 * Nothing is ever put off for longer: what is further away was written by a clock that was wrong.
 */
export const CHECK_MS_MAX = 3_600_000;

/** An audit counts every row by its key. */
const AUDIT_MS_EACH = 24 * CHECK_MS_EACH;
const AUDIT_MS_MIN = 3_600_000;
export const AUDIT_MS_MAX = 24 * 3_600_000;

/** Silence is asked about again after half a minute, doubling to half an hour. */
const RETRY_MS_FIRST = 30_000;
const RETRY_MS_LONGEST = 1_800_000;

export function checkIntervalMs(namespaces: number): number {
  return clamp(namespaces * CHECK_MS_EACH, CHECK_MS_MIN, CHECK_MS_MAX);
}

export function auditIntervalMs(namespaces: number): number {
  return clamp(namespaces * AUDIT_MS_EACH, AUDIT_MS_MIN, AUDIT_MS_MAX);
}

/**
 * The next turn of a name after `now`: turns of one name are `intervalMs` apart, and the names
 * share the interval out among themselves.
 */
export function nextTurn(name: string, intervalMs: number, now: number): number {
  const phaseMs = Math.floor((hashName(name) / 2 ** 32) * intervalMs);
  return (Math.floor((now - phaseMs) / intervalMs) + 1) * intervalMs + phaseMs;
}

/**
 * Exponential backoff with jitter of half the delay in both directions. Source: AWS Architecture
 * Blog, "Exponential Backoff And Jitter".
 */
export function retryDelayMs(failures: number, random: () => number): number {
  const delayMs = Math.min(RETRY_MS_LONGEST, RETRY_MS_FIRST * 2 ** Math.min(failures - 1, 20));
  return Math.round(delayMs * (0.5 + random()));
}

/** FNV-1a over UTF-16 units: spreads names, and secures nothing. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at++)
    hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193) >>> 0;
  return hash;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
