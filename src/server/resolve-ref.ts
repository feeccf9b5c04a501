/**
 * Finds the namespace that a request is about: by its name, and by its binding where several have
 * one of that name.
 */
import type { NamespaceRef } from "../model/live.ts";
import type { ApiContext } from "./context.ts";
import { RefusedRequest } from "../model/refused-request.ts";

/** @throws RefusedRequest when the name is not known here, or is ambiguous without `?object=`. */
export async function resolveRef(context: ApiContext, name: string): Promise<NamespaceRef> {
  const object = context.req.query("object");
  if (object) return { name, object };
  const known = await context.var.coordinator.plans.listNamespaces(null);
  const matches = known.filter((ref) => ref.name === name);
  const [only] = matches;
  if (!only)
    throw new RefusedRequest(
      "notFound",
      `No namespace '${name}' is known here: none of this name is declared, or was ever sharded. To read another, add ?object=<BINDING>.`,
    );
  if (matches.length > 1) {
    throw new RefusedRequest(
      "invalid",
      `'${name}' is behind ${matches.map((ref) => ref.object).join(" and ")}: name one with ?object=<BINDING>.`,
    );
  }
  return only;
}
