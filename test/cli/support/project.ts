/** A throwaway project with one manifest, and the environment that points the CLI at a server. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { temporaryFolder } from "./run-cli.ts";
import { MANIFEST } from "./states.ts";

export async function temporaryProject(
  manifests: Readonly<Record<string, string>> = { "manifests/orders.yaml": MANIFEST },
) {
  const folder = await temporaryFolder();
  for (const [path, text] of Object.entries(manifests)) {
    const absolute = join(folder.path, path);
    await mkdir(join(absolute, ".."), { recursive: true });
    await writeFile(absolute, text);
  }
  return folder;
}

export const TOKEN = "token-that-nobody-may-see";

export function environmentFor(endpoint: string): Record<string, string> {
  return { SHARDCTL_ENDPOINT: endpoint, SHARDCTL_TOKEN: TOKEN };
}
