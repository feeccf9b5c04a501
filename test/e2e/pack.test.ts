/**
 * The package as users get it: packed, installed into an empty project with npm, its types seen by
 * tsc, its bin run, and Workers from `init --worker` bundled by wrangler. The tools of the project
 * itself (tsc, wrangler) are lent to the empty one; shardctl and what it depends on are not.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import manifest from "../../package.json" with { type: "json" };
import { temporaryFolder } from "../cli/support/run-cli.ts";
import { isLongRun, sample } from "../support/sample.ts";

const execute = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url).href);
const LENT = ["typescript", "wrangler", "@cloudflare/workers-types"];
/** A build and an install on a loaded machine. */
const INSTALL_TIMEOUT_MS = 300_000;
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let packed: readonly string[];
let installed: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  project = join(folder.path, "shop");
  await mkdir(project);
  await writeFile(
    join(project, "package.json"),
    JSON.stringify({ name: "shop", private: true, type: "module" }),
  );
  // The build of `prepack` writes to stdout too: the document of --json comes last.
  const { stdout } = await call("npm", ["pack", "--json", "--pack-destination", folder.path], ROOT);
  const [tarball] = JSON.parse(stdout.slice(stdout.search(/^\[$/mu))) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ];
  packed = tarball.files.map(({ path }) => path);
  const install = [
    "install",
    "--prefer-offline",
    "--no-audit",
    "--no-fund",
    join(folder.path, tarball.filename),
  ];
  installed = textOf(await call("npm", install));
  await mkdir(join(project, "node_modules/@cloudflare"), { recursive: true });
  for (const name of LENT)
    await symlink(join(ROOT, "node_modules", name), join(project, "node_modules", name));
}, INSTALL_TIMEOUT_MS);
afterAll(() => folder[Symbol.asyncDispose]());

interface Said {
  readonly stdout: string;
  readonly stderr: string;
}

const textOf = ({ stdout, stderr }: Said): string => stdout + stderr;

/** Runs a program to its end. @throws Error with its output when it fails. */
async function call(program: string, argv: readonly string[], cwd = project): Promise<Said> {
  // Variables that an npm that runs these tests sets about its own project must not reach the npm
  // that is tested.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(INIT_CWD|npm_(package|lifecycle|command|config_local))/u.test(name),
  );
  const env = {
    ...Object.fromEntries(inherited),
    PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
    NO_COLOR: "1",
    FORCE_COLOR: undefined,
    WRANGLER_SEND_METRICS: "false",
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
  };
  try {
    return await execute(program, argv, { cwd, env, maxBuffer: OUTPUT_BYTES_MAX });
  } catch (error) {
    throw new Error(`${program} ${argv.join(" ")} failed:\n${textOf(error as Said)}`, {
      cause: error,
    });
  }
}

const run = async (program: string, argv: readonly string[]): Promise<string> =>
  textOf(await call(program, argv));
const shardctl = (...argv: readonly string[]): Promise<string> =>
  run(join(project, "node_modules/.bin/shardctl"), argv);
const node = (...argv: readonly string[]): Promise<string> => run(process.execPath, argv);
const tsc = (config: string): Promise<string> =>
  run(join(ROOT, "node_modules/.bin/tsc"), ["-p", config]);
const dryRun = (config: string): Promise<string> =>
  node(join(ROOT, "node_modules/wrangler/bin/wrangler.js"), "deploy", "--dry-run", "-c", config);

describe("the tarball", () => {
  it("has the build and the schemas, and nothing else", async () => {
    const other = packed.filter((path) => !/^dist\/.+\.(js|d\.ts)$/u.test(path));
    expect(other.toSorted()).toEqual([
      "LICENSE",
      "README.md",
      "package.json",
      ...(await readdir(join(ROOT, "schemas")))
        .filter((name) => name.endsWith(".json"))
        .map((name) => `schemas/${name}`),
    ]);
    // A file whose source is gone would be a leftover of an earlier build.
    const sources = await readdir(join(ROOT, "src"), { recursive: true });
    const built = packed
      .filter((path) => path.endsWith(".js"))
      .map((path) => path.slice("dist/".length).replace(/js$/u, "ts"));
    expect(built.toSorted()).toEqual(sources.filter((path) => path.endsWith(".ts")).toSorted());
  });

  it("installs without a warning", () => {
    expect(installed).toMatch(/^added \d+ packages/mu);
    expect(installed).not.toContain("npm warn");
  });
});

describe("the bin", () => {
  it("gives its version", async () => {
    expect(await shardctl("--version")).toBe(`${manifest.version}\n`);
  });

  it("finds what it does not bring: wrangler, in the project", async () => {
    const source = `import { findWrangler } from "./node_modules/shardctl/dist/cli/dev/run-wrangler.js"; console.log(findWrangler(process.cwd()));`;
    expect(await node("--input-type=module", "--eval", source)).toContain("wrangler");
  });
});

describe("the modules", () => {
  const CONSUMER = `
import { RefusedError, ThingsObject, type Partitioners, type ShardHostOptions } from "shardctl/durable-object";
import { parseManifests } from "shardctl/manifest";
import { RefusedError as RouterRefusedError, connect } from "shardctl/router";
import { createReconciler } from "shardctl/worker";
import metadata from "shardctl/package.json" with { type: "json" };

interface Env { readonly NOTES: DurableObjectNamespace<Notes>; readonly SHARDCTL: DurableObjectNamespace }
export class Notes extends ThingsObject<Env> {}
export const worker = createReconciler<Env>({ objects: (env) => ({ NOTES: env.NOTES }), coordinator: (env) => env.SHARDCTL });
export async function countNotes(env: Env): Promise<number> {
  try {
    return await connect<Notes>(env.NOTES, "notes").at("n1").putMany([{ id: "n1" }]);
  } catch (error) {
    if (error instanceof RouterRefusedError || error instanceof RefusedError) return error.reason.message.length;
    throw error;
  }
}
// @ts-expect-error The class has no such method: its types have arrived.
export const wrong = (env: Env) => connect<Notes>(env.NOTES, "notes").at("n1").nothing();
export const options: Partial<ShardHostOptions> = { partitioners: {} satisfies Partitioners };
export const errors: number = parseManifests([], { environment: null }).errors.length;
export const version: string = metadata.version;
`;

  it.each(sample(["bundler", "nodenext"], 1))(
    "are typed, with moduleResolution %s",
    async (moduleResolution) => {
      const imported = [...CONSUMER.matchAll(/from "shardctl\/([\w.-]+)"/gu)].map(
        (match) => `./${match[1] ?? ""}`,
      );
      expect(new Set(imported)).toEqual(new Set(Object.keys(manifest.exports)));
      const compilerOptions = {
        target: "es2024",
        lib: ["es2024"],
        types: ["@cloudflare/workers-types"],
        module: moduleResolution === "bundler" ? "preserve" : "nodenext",
        moduleResolution,
        strict: true,
        skipLibCheck: false,
        noEmit: true,
      };
      await mkdir(join(project, moduleResolution));
      await writeFile(join(project, moduleResolution, "consumer.ts"), CONSUMER);
      await writeFile(
        join(project, moduleResolution, "tsconfig.json"),
        JSON.stringify({ compilerOptions, include: ["."] }),
      );
      expect(await tsc(moduleResolution)).toBe("");
    },
  );

  it("for people's own tooling run in Node", async () => {
    const source = `
      import { parseManifests } from "shardctl/manifest";
      console.log(parseManifests([{ path: "a.yaml", text: "kind: Nothing" }], { environment: null }).errors.length > 0);`;
    expect(await node("--input-type=module", "--eval", source)).toBe("true\n");
  });
});

describe("Workers of init --worker", () => {
  it("with the class in the same Worker: tsc, validate and wrangler take what was written", async () => {
    await shardctl(
      "init",
      "--worker",
      "--binding",
      "ORDERS",
      "CARTS",
      "--class",
      "Orders",
      "ShoppingCarts",
    );
    expect(await shardctl("validate")).toContain("2 namespaces in 2 files are valid.");
    expect(await tsc(".")).toBe("");
    const said = await dryRun("wrangler.jsonc");
    expect(said).toMatch(/env\.ORDERS \(Orders\) +Durable Object/u);
    expect(said).toMatch(/env\.CARTS \(ShoppingCarts\) +Durable Object/u);
    expect(said).toMatch(/env\.SHARDCTL \(Reconciler\) +Durable Object/u);
    expect(said).not.toMatch(/warning/iu);
  });

  it.runIf(isLongRun())(
    "with the class in another Worker, and a repository to follow",
    async () => {
      const repository = [
        "--repository",
        "acme/shop",
        "--repository-id",
        "1296269",
        "--owner-id",
        "583231",
      ];
      await shardctl(
        "init",
        "--worker",
        "--binding",
        "ORDERS",
        "--script",
        "orders-worker",
        ...repository,
      );
      expect(await readFile(join(project, "control/src/index.ts"), "utf8")).toContain(
        `repository: "acme/shop"`,
      );
      expect(await tsc("control")).toBe("");
      const said = await dryRun("control/wrangler.jsonc");
      expect(said).toMatch(/env\.ORDERS \(Orders, defined in orders-worker\) +Durable Object/u);
      expect(said).toMatch(/env\.SHARDCTL \(Reconciler\) +Durable Object/u);
      expect(said).not.toMatch(/warning/iu);
    },
  );
});
