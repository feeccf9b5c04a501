/**
 * Finds the Durable Object binding of a namespace: the one that was given, or the one of its
 * manifest.
 */
import type { Host } from "./host.ts";
import { parseProject } from "./load-desired.ts";
import type { Project } from "./project.ts";

/**
 * The binding, or null: then the server knows it, or says that it does not. Manifests with errors
 * are no reason to refuse a look.
 */
export async function findObject(
  host: Host,
  project: Project,
  name: string,
  given: string | undefined,
): Promise<string | null> {
  if (given !== undefined) return given;
  const parsed = await parseProject(host, project, []);
  if (!parsed.ok) return null;
  return (
    parsed.value.desired?.namespaces.find((namespace) => namespace.name === name)?.object ?? null
  );
}
