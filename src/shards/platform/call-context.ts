/**
 * Remembers which routed call a piece of code runs for, where the runtime can tell: a caller's
 * router that is made inside a method then marks what it sends, as the host's own does.
 *
 * | the Worker's flags               | a call by `connect` inside a method                              |
 * |----------------------------------|------------------------------------------------------------------|
 * | `nodejs_compat`, or `nodejs_als` | is marked with the members below it                              |
 * | neither                          | looks like one from outside: it may cost a fence an attempt      |
 *
 * `AsyncLocalStorage` is looked for while the Worker runs, so that the library loads without it.
 */
import type { Chain } from "../../model/wire/protocol.ts";

/** The part of `AsyncLocalStorage` that is used. */
interface Store<Value> {
  run<Result>(value: Value, work: () => Result): Result;
  getStore(): Value | undefined;
}

/** A routed call; what outlives it has nobody below it. */
interface CallContext {
  readonly chain: Chain;
  isOver: boolean;
}

/** A variable, or bundlers would look for the module where there is none. */
const MODULE = "node:async_hooks";

let store: Store<CallContext> | null = storeFrom(builtinModule());
let isSought = store !== null;

/**
 * Runs a routed call; what it sends until it ends, by any router of this Worker, is below `chain`.
 */
export async function runBelow<Value>(
  chain: Chain,
  work: () => Value | Promise<Value>,
): Promise<Value> {
  if (!isSought) await seek();
  if (store === null) return work();
  const context: CallContext = { chain, isOver: false };
  try {
    return await store.run(context, work);
  } finally {
    context.isOver = true;
  }
}

/**
 * The members below what is sent now; undefined outside of a routed call, and where nobody knows.
 */
export function chainBelow(): Chain | undefined {
  const context = store?.getStore();
  return context === undefined || context.isOver ? undefined : context.chain;
}

/**
 * With the flag `nodejs_als` alone the module can only be imported. Each call that comes meanwhile
 * does so itself: one must not wait for what another began.
 */
async function seek(): Promise<void> {
  try {
    const found = storeFrom(await import(MODULE));
    store ??= found;
  } catch {
    // The runtime has no such module: calls by `connect` are not recognised.
  }
  isSought = true;
}

function builtinModule(): unknown {
  const runtime: unknown = Reflect.get(globalThis, "process");
  const find: unknown =
    runtime instanceof Object ? Reflect.get(runtime, "getBuiltinModule") : undefined;
  return typeof find === "function" ? Reflect.apply(find, runtime, [MODULE]) : undefined;
}

function storeFrom(module: unknown): Store<CallContext> | null {
  // The namespace of a module is no instance of Object.
  const found: unknown =
    typeof module === "object" && module !== null
      ? Reflect.get(module, "AsyncLocalStorage")
      : undefined;
  return typeof found === "function" ? (Reflect.construct(found, []) as Store<CallContext>) : null;
}
