/** Refuses a request where the reason is known; `server/problems.ts` makes the response. */
import type { Problem, ProblemKind } from "./api.ts";

export type ProblemErrors = NonNullable<Problem["errors"]>;

/** A refusal on its way to the client. Thrown by handlers, turned into a response at the edge. */
export class RefusedRequest extends Error {
  readonly kind: ProblemKind;
  readonly errors: ProblemErrors | undefined;

  constructor(kind: ProblemKind, detail: string, errors?: ProblemErrors) {
    super(detail);
    this.kind = kind;
    this.errors = errors;
  }
}
