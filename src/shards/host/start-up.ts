/**
 * The start of an object: from the construction of its class until every
 * `ctx.blockConcurrencyWhile` that it has begun has ended.
 *
 * The runtime delivers nothing before that, so what is done at the end of the start is done before
 * the class's own handlers run, be it `fetch`, a method called by RPC, an alarm or a socket. A
 * section of one's own is the barrier: sections begun before it end before it, those begun after it
 * are counted.
 *
 * Trade-off: a host that is made in the middle of an asynchronous section of a class that does not
 * extend `ShardedObject` cannot know of that section, and takes the start for over.
 */

/** The part of a `DurableObjectState` that is needed. */
export interface StartContext {
  blockConcurrencyWhile<Value>(work: () => Promise<Value>): Promise<Value>;
}

interface Sections {
  running: number;
  /** Called once none runs any more. */
  end: (() => Promise<void>) | undefined;
}

const sectionsOf = new WeakMap<StartContext, Sections>();

/**
 * Counts the sections that are begun from here on. Call it before the class's own code runs.
 * Idempotent.
 */
export function countSections(ctx: StartContext): void {
  startOf(ctx);
}

/**
 * Runs `end` once when the object has started; nothing is delivered before it has ended. It must
 * not throw.
 */
export function whenStarted(ctx: StartContext, end: () => Promise<void>): void {
  startOf(ctx).end = end;
  void ctx.blockConcurrencyWhile(async () => undefined);
}

function startOf(ctx: StartContext): Sections {
  const known = sectionsOf.get(ctx);
  if (known) return known;
  const sections: Sections = { running: 0, end: undefined };
  sectionsOf.set(ctx, sections);
  const begin = ctx.blockConcurrencyWhile.bind(ctx);
  ctx.blockConcurrencyWhile = (work) => {
    sections.running++;
    return begin(async () => {
      try {
        return await work();
      } finally {
        if (--sections.running === 0) {
          const { end } = sections;
          sections.end = undefined;
          await end?.();
        }
      }
    });
  };
  return sections;
}
