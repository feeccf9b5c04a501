/**
 * Types the calls of a part by how far away it is. A part declares them as it answers, at once or
 * later; whoever reaches it over a network waits for each.
 */

/** The calls over a network: each answers later. */
export type Remote<Calls> = {
  readonly [Name in keyof Calls]: Calls[Name] extends (...args: infer Args) => infer Value
    ? (...args: Args) => Promise<Awaited<Value>>
    : never;
};

/** The calls of the part itself, or over a network: for work that is done in both places. */
export type Reachable<Calls> = {
  readonly [Name in keyof Calls]: Calls[Name] extends (...args: infer Args) => infer Value
    ? (...args: Args) => Awaited<Value> | Promise<Awaited<Value>>
    : never;
};
