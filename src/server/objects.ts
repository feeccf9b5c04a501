/** The Durable Object bindings of a Worker, by name. */

export type ObjectBindings = Readonly<Record<string, DurableObjectNamespace>>;

/**
 * Every Durable Object binding of an `env` but the excluded one. For Workers that hold nothing
 * else, such as the one of `shardctl dev`.
 */
export function findObjectBindings(env: object, excluded: string): ObjectBindings {
  return Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, DurableObjectNamespace] =>
        entry[0] !== excluded && isObjectBinding(entry[1]),
    ),
  );
}

function isObjectBinding(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && "idFromName" in value && "getByName" in value
  );
}
