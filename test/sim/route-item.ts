/**
 * Routes a call to the owner of an item, by what the namespace is sharded by now. Clients do so,
 * and methods that call other items.
 */
import type { Layout } from "../../src/model/layout/layout.ts";
import type { Router } from "../../src/shards/router.ts";

export interface ItemCall {
  readonly id: string;
  readonly grp: string;
  /** Gives the item an owner where a directory deals them. */
  readonly deal: boolean;
  readonly method: string;
  readonly args: readonly unknown[];
  /** The call may store the item anew: where ids are unique its id is claimed first. */
  readonly isNew: boolean;
}

/** The layout does not suit the call, which was not made. */
export class LayoutChanged extends Error {}

export function routeItem(
  router: Router,
  { id, grp, deal, method, args, isNew }: ItemCall,
  fits?: (layout: Layout) => boolean,
): Promise<unknown> {
  return router.attempt(async (view) => {
    if (fits !== undefined && !fits(view.layout))
      throw new LayoutChanged("The layout no longer suits the call");
    const isById =
      view.layout.kind === "roundRobin" ||
      (view.knowsKeys && method === "get" && fits === undefined);
    if (isById) return view.callById("items", id, deal, method, args);
    const newIds = isNew ? [{ table: "items", ids: [id] }] : [];
    return view.callOwner((shardKey) => (shardKey === "grp" ? grp : id), method, args, newIds);
  });
}
