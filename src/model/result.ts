/**
 * Expected failures as values: a result is the value, or a failure with a `kind` and facts.
 * Exceptions are for broken invariants.
 */

export type Result<Value, Failure> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly failure: Failure };

export function success<Value>(value: Value): { readonly ok: true; readonly value: Value } {
  return { ok: true, value };
}

export function failure<Failure>(reason: Failure): {
  readonly ok: false;
  readonly failure: Failure;
} {
  return { ok: false, failure: reason };
}

/** Closes a `switch` over a union: reaching it at run time means that a value escaped its type. */
export function assertNever(value: never): never {
  throw new Error(`Unexpected value: ${JSON.stringify(value)}`);
}
