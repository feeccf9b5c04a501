/**
 * `shardctl init --worker`: decides which files are missing, writes them, and says what is left to
 * do. A file that is there stays as it is; for a wrangler config and its entry file it says what
 * must be added.
 */
import { join, resolve } from "node:path";

import { initialConfig, initialManifest } from "../../manifest/index.ts";
import { EXIT } from "../exit-codes.ts";
import { type CliResult, fail } from "../failure.ts";
import { parseProject } from "../load-desired.ts";
import { CONFIG_NAME, type Project, loadProject } from "../project.ts";
import type { Outcome, Session } from "../session.ts";
import { type NewFile, exists, writeNewFiles } from "../write-new-files.ts";
import { addToGitignore } from "./gitignore.ts";
import { describeNextSteps, describeRest } from "./next-steps.ts";
import {
  ENTRY_PATH,
  SECRETS,
  SECRETS_TEXT,
  TSCONFIG_TEXT,
  classText,
  entryText,
  moduleName,
  wranglerConfigText,
} from "./worker-files.ts";
import {
  type WorkerObject,
  type WorkerOptions,
  type WorkerRequest,
  readWorkerRequest,
  workerFolder,
} from "./worker-request.ts";
import { findAdditions, findWranglerConfig, objectsOf } from "./wrangler-config.ts";

const FIRST_BINDING = "EXAMPLE";
const IGNORED = ["node_modules/", ".shardctl/", ".wrangler/", ".dev.vars"];

export async function initWorker(
  session: Session,
  options: WorkerOptions,
): Promise<CliResult<Outcome>> {
  const { cwd } = session.host;
  const project = await loadProject(session.host, {});
  if (!project.ok) return project;
  const isNewProject = !(await exists(join(project.value.folder, CONFIG_NAME)));
  const found = await findWranglerConfig(cwd, workerFolder(options));
  const known = objectsOf(found?.config ?? null);
  const bindings = await defaultBindings(session, isNewProject ? null : project.value, known);
  if (options.binding === undefined && !bindings.ok) return bindings;
  const request = readWorkerRequest(options, bindings.ok ? bindings.value : [], known, cwd);
  if (!request.ok) return request;

  const wanted = [
    ...(isNewProject ? projectFiles(request.value) : []),
    ...(found === null ? workerFiles(request.value) : []),
    { path: join(request.value.folder, ".dev.vars.example"), text: SECRETS_TEXT },
  ];
  const { missing, present } = await split(cwd, wanted);
  const written = await writeNewFiles(cwd, missing, false, "");
  if (!written.ok) return written;
  const ignored = await addToGitignore(cwd, IGNORED);
  if (!ignored.ok) return ignored;

  const result = {
    request: request.value,
    written: missing.map(({ path }) => path),
    kept: [...(found === null ? [] : [found.path]), ...present.map(({ path }) => path)],
    ignored: ignored.value,
    found,
    additions: found === null ? null : findAdditions(request.value, found.config),
  };
  session.show(`${describeRest(result)}\n\n${describeNextSteps(result)}`);
  const { additions, kept } = result;
  const json = {
    name: request.value.name,
    written: result.written,
    kept,
    ignored: ignored.value,
    add: additions,
    secrets: SECRETS,
  };
  return { ok: true, value: { exitCode: EXIT.done, json } };
}

/**
 * Returns the bindings that the manifests name, else those of the wrangler config, else that of the
 * first manifest.
 */
async function defaultBindings(
  session: Session,
  project: Project | null,
  known: readonly WorkerObject[],
): Promise<CliResult<readonly string[]>> {
  const others = known.length === 0 ? [FIRST_BINDING] : known.map(({ binding }) => binding);
  if (project === null) return { ok: true, value: others };
  const parsed = await parseProject(session.host, project, []);
  if (!parsed.ok || parsed.value.desired === null) {
    return fail(
      "manifests",
      "The bindings of your classes cannot be taken from the manifests: they cannot be read, or have errors.",
      "Name them: shardctl init --worker --binding ORDERS   Or see what is wrong: shardctl validate",
    );
  }
  const bindings = [
    ...new Set(parsed.value.desired.namespaces.map(({ object }) => object)),
  ].toSorted();
  return { ok: true, value: bindings.length === 0 ? others : bindings };
}

function projectFiles({ name, objects }: WorkerRequest): readonly NewFile[] {
  return [
    { path: CONFIG_NAME, text: initialConfig({ worker: name }) },
    ...objects.map(({ binding }) => {
      const namespace = binding.toLowerCase().replaceAll("_", "-");
      return {
        path: `manifests/${namespace}.yaml`,
        text: initialManifest({ name: namespace, object: binding }),
      };
    }),
  ];
}

function workerFiles(request: WorkerRequest): readonly NewFile[] {
  const inFolder = (path: string): string => join(request.folder, path);
  const own = request.script === null ? request.objects : [];
  return [
    { path: inFolder("wrangler.jsonc"), text: wranglerConfigText(request) },
    { path: inFolder(ENTRY_PATH), text: entryText(request) },
    ...own.map((object) => ({
      path: inFolder(`src/${moduleName(object.className)}.ts`),
      text: classText(object),
    })),
    { path: inFolder("tsconfig.json"), text: TSCONFIG_TEXT },
  ];
}

async function split(
  cwd: string,
  files: readonly NewFile[],
): Promise<{ readonly missing: NewFile[]; readonly present: NewFile[] }> {
  const missing: NewFile[] = [];
  const present: NewFile[] = [];
  for (const file of files)
    ((await exists(resolve(cwd, file.path))) ? present : missing).push(file);
  return { missing, present };
}
