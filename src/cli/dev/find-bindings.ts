/** The Durable Object bindings that the manifests name, for the generated Worker. */
import { type CliResult, fail } from "../failure.ts";
import type { Host } from "../host.ts";
import { loadDesired } from "../load-desired.ts";
import type { Project } from "../project.ts";

/** Distinct and sorted. Manifests with errors, or none at all, fail: a runtime without its bindings helps nobody. */
export async function findBindings(host: Host, project: Project): Promise<CliResult<readonly string[]>> {
  const loaded = await loadDesired(host, project, []);
  if (!loaded.ok) return loaded;
  const bindings = [...new Set(loaded.value.namespaces.map((namespace) => namespace.object))].toSorted();
  if (bindings.length > 0) return { ok: true, value: bindings };
  return fail(
    "manifests",
    `There are no namespaces in ${project.manifests.join(", ")}: nothing to run.`,
    "Write a first one with: shardctl init",
  );
}
