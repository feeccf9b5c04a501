/**
 * Checks the request of `init --worker`: the Worker's name and folder, the bindings with their
 * classes, the location of those classes, and the repository. Refuses what wrangler or the Worker
 * would refuse later.
 */
import { basename, resolve } from "node:path";

import { type CliResult, fail } from "../failure.ts";

export interface WorkerOptions {
  readonly worker?: boolean;
  readonly binding?: readonly string[];
  readonly class?: readonly string[];
  readonly script?: string;
  readonly name?: string;
  readonly out?: string;
  readonly repository?: string;
  readonly repositoryId?: string;
  readonly ownerId?: string;
}

export interface WorkerObject {
  readonly binding: string;
  readonly className: string;
}

export interface WorkerRequest {
  readonly name: string;
  /** Of the wrangler config, relative to the working directory. */
  readonly folder: string;
  /** The Worker that has the classes; null when it is this one. */
  readonly script: string | null;
  readonly objects: readonly WorkerObject[];
  readonly github: {
    readonly repository: string;
    readonly repositoryId: string;
    readonly ownerId: string;
  } | null;
}

export const COORDINATOR_BINDING = "SHARDCTL";
export const COORDINATOR_CLASS = "Reconciler";
/** Where a Worker of its own goes, beside the one with the classes. */
const CONTROL_FOLDER = "control";

const IDENTIFIER = /^[A-Za-z_]\w*$/;
const WORKER_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const REPOSITORY = /^[\w.-]+\/[\w.-]+$/;
const NUMERIC_ID = /^[1-9]\d*$/;

/** Where the Worker goes, relative to the working directory. */
export function workerFolder({ out, script }: WorkerOptions): string {
  return out ?? (script === undefined ? "." : CONTROL_FOLDER);
}

/**
 * @param bindings Those to use when none is given.
 * @param known Bindings that a wrangler config has already: it knows their classes.
 * @param cwd Gives the Worker its name when nothing else does.
 */
export function readWorkerRequest(
  options: WorkerOptions,
  bindings: readonly string[],
  known: readonly WorkerObject[],
  cwd: string,
): CliResult<WorkerRequest> {
  const script = options.script ?? null;
  const objects = readObjects(options.binding ?? bindings, options.class ?? [], known);
  if (!objects.ok) return objects;
  const github = readRepository(options);
  if (!github.ok) return github;
  const folder = workerFolder(options);
  const name =
    options.name ??
    (script === null ? workerNameOf(basename(resolve(cwd, folder))) : `${script}-shardctl`);
  const wrong = [script ?? name, name].find((given) => !WORKER_NAME.test(given));
  if (wrong !== undefined)
    return fail(
      "usage",
      `'${wrong}' is not a valid Worker name: lower-case letters, digits and dashes, at most 63.`,
    );
  if (name === script)
    return fail(
      "usage",
      `--name and --script are both '${name}'.`,
      "Leave out --script when the class is in this Worker.",
    );
  return {
    ok: true,
    value: { name, folder, script, objects: objects.value, github: github.value },
  };
}

/** `ORDER_LINES` → `OrderLines`. */
function classNameOf(binding: string): string {
  const words = binding.split("_").filter((word) => word !== "");
  const name = words
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase())
    .join("");
  return IDENTIFIER.test(name) ? name : `Class${name}`;
}

function readObjects(
  bindings: readonly string[],
  classes: readonly string[],
  known: readonly WorkerObject[],
): CliResult<readonly WorkerObject[]> {
  if (classes.length > 0 && classes.length !== bindings.length) {
    return fail(
      "usage",
      `There are ${bindings.length} bindings (${bindings.join(", ")}) and ${classes.length} classes (${classes.join(", ")}).`,
      "Give each binding its class, in the same order: --binding ORDERS CARTS --class Orders Carts",
    );
  }
  const knownClass = (binding: string): string | undefined =>
    known.find((object) => object.binding === binding)?.className;
  const objects = bindings.map((binding, index) => ({
    binding,
    className: classes[index] ?? knownClass(binding) ?? classNameOf(binding),
  }));
  const words = objects.flatMap(({ binding, className }) => [binding, className]);
  const wrong = words.find((word) => !IDENTIFIER.test(word));
  if (wrong !== undefined)
    return fail(
      "usage",
      `'${wrong}' is not a valid name of a binding or a class: letters, digits and underscores.`,
    );
  if (words.includes(COORDINATOR_BINDING) || words.includes(COORDINATOR_CLASS))
    return fail(
      "usage",
      `The binding ${COORDINATOR_BINDING} and the class ${COORDINATOR_CLASS} are shardctl's own: choose other names.`,
    );
  for (const part of ["binding", "className"] as const) {
    const names = objects.map((object) => object[part]);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    // Two bindings of one class would open the same objects.
    if (twice !== undefined)
      return fail("usage", `'${twice}' is given twice: each binding needs its own class.`);
  }
  return { ok: true, value: objects };
}

function readRepository({
  repository,
  repositoryId,
  ownerId,
}: WorkerOptions): CliResult<WorkerRequest["github"]> {
  if (repository === undefined && repositoryId === undefined && ownerId === undefined)
    return { ok: true, value: null };
  if (repository === undefined || !REPOSITORY.test(repository))
    return fail("usage", "--repository is owner/name.");
  if (
    repositoryId === undefined ||
    ownerId === undefined ||
    !NUMERIC_ID.test(repositoryId) ||
    !NUMERIC_ID.test(ownerId)
  ) {
    return fail(
      "usage",
      `${repository} needs --repository-id and --owner-id, GitHub's numbers: names can be taken over by somebody else, numbers cannot.`,
      `Get them with: gh api repos/${repository} --jq '"--repository-id \\(.id) --owner-id \\(.owner.id)"'`,
    );
  }
  return { ok: true, value: { repository, repositoryId, ownerId } };
}

function workerNameOf(folderName: string): string {
  const name = folderName
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 63);
  return name === "" ? "shardctl" : name;
}
