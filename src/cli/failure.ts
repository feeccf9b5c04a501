/**
 * Describes why a command failed: what happened, what to do next, and the exit code. The CLI fails
 * in no other shape.
 */
import type { Result } from "../model/result.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

export type FailureKind =
  | "usage"
  | "manifests"
  | "config"
  | "file"
  | "noEndpoint"
  | "unreachable"
  | "timeout"
  | "redirected"
  | "nonsense"
  | "unauthenticated"
  | "forbidden"
  | "notFound"
  | "invalid"
  | "conflict"
  | "server"
  | "stalePlan"
  | "blocked"
  | "locked"
  | "notConfirmed"
  | "runFailed"
  | "lostRun"
  | "interrupted"
  | "dev";

export interface CliFailure {
  /** Stable word for programs. */
  readonly kind: FailureKind;
  /** Description of what happened, with the numbers. May have several lines. */
  readonly message: string;
  /** Next step; null when the message names it. */
  readonly hint: string | null;
  readonly exitCode: ExitCode;
  /** Details that `--json` prints beside the error, e.g. the plan that is blocked. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export type CliResult<Value> = Result<Value, CliFailure>;

const EXIT_CODES: Partial<Record<FailureKind, ExitCode>> = {
  stalePlan: EXIT.stalePlan,
  blocked: EXIT.blocked,
  locked: EXIT.locked,
  interrupted: EXIT.interrupted,
};

/** A failed result; the exit code follows from the kind. */
export function fail(
  kind: FailureKind,
  message: string,
  hint: string | null = null,
  details?: Readonly<Record<string, unknown>>,
): { readonly ok: false; readonly failure: CliFailure } {
  const failure = { kind, message, hint, exitCode: EXIT_CODES[kind] ?? EXIT.error };
  return { ok: false, failure: details === undefined ? failure : { ...failure, details } };
}
