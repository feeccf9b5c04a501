/** Names the run that started an operation in its correlation id, and reads it back. */

/**
 * Identifies the operation that a run starts in a namespace: starting it again finds it. Stored:
 * never change.
 */
export function correlationIdOf(runId: string, namespace: string): string {
  return `${runId}:${namespace}`;
}

/** The id of the run that started an operation, known or forgotten; null when no run did. */
export function runIdOf(correlationId: string): string | null {
  return /^(run-[\w-]+):/.exec(correlationId)?.[1] ?? null;
}
