/**
 * Runs a workflow's job from its YAML: the scripts of its steps in bash, with the variables of a
 * runner. What the actions of others do is done here: a checkout writes the files of the fake
 * GitHub, Node is the one that runs this. Our own action is run from `action.yml`.
 */
import { spawn } from "node:child_process";
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { parse } from "yaml";

import { parseOutputs } from "../github/actions-env.ts";
import type { ActionsRun } from "../github/index.ts";
import type { PullStory } from "./pull-story.ts";

const PROJECT = fileURLToPath(new URL("../../..", import.meta.url).href);
/** Files that a checkout of this repository must hold for its action to work. */
const CODE = ["action.yml", "package.json", "package-lock.json", "src"];

interface Step {
  readonly id?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly "working-directory"?: string;
}

export interface JobRun {
  /** Of the step that failed; 0 when none did. */
  readonly exitCode: number;
  readonly output: string;
  /** Outputs of our action. */
  readonly outputs: Readonly<Record<string, string>>;
  readonly scripts: number;
}

/** Values that `${{ … }}` may stand for; anything else is an error of the workflow. */
type Context = Readonly<Record<string, string>>;

export class JobRunner {
  readonly #story: PullStory;
  readonly #actions: ActionsRun;
  readonly #workspace: string;
  #output = "";
  #scripts = 0;

  constructor(story: PullStory, actions: ActionsRun, workspace: string) {
    this.#story = story;
    this.#actions = actions;
    this.#workspace = workspace;
  }

  async run(workflow: string, job: string): Promise<JobRun> {
    return this.runText(await readFile(join(PROJECT, ".github/workflows", workflow), "utf8"), job);
  }

  /** @throws Error for a step or an expression that this runner does not know. */
  async runText(text: string, job: string): Promise<JobRun> {
    const { jobs } = parse(text) as {
      readonly jobs: Readonly<Record<string, { readonly steps: readonly Step[] }>>;
    };
    for (const step of jobs[job]?.steps ?? []) {
      if (step.uses?.startsWith("actions/checkout@")) await this.#checkOut(step.with ?? {});
      else if (step.uses?.startsWith("./"))
        return this.#runAction(join(this.#workspace, step.uses), step.with ?? {});
      else if (step.uses?.startsWith("shardctl/shardctl@"))
        return this.#runAction(await this.#download(), step.with ?? {});
      else throw new Error(`This runner does not know the step ${JSON.stringify(step)}`);
    }
    throw new Error("The job does not use the action");
  }

  /** Downloads an action of another repository as a runner does: it lies beside the workspace. */
  async #download(): Promise<string> {
    const folder = join(dirname(this.#workspace), "action");
    await mkdir(folder, { recursive: true });
    for (const entry of CODE)
      await cp(join(PROJECT, entry), join(folder, entry), { recursive: true });
    return folder;
  }

  /**
   * Without `ref`: what the event is about. The default branch of this repository is its code; that
   * of the story is its manifests.
   */
  async #checkOut(inputs: Readonly<Record<string, string>>): Promise<void> {
    const folder = join(this.#workspace, inputs["path"] ?? ".");
    await mkdir(folder, { recursive: true });
    if (inputs["ref"] !== undefined || inputs["path"] === undefined)
      for (const entry of CODE)
        await cp(join(PROJECT, entry), join(folder, entry), { recursive: true });
    if (inputs["ref"] === undefined)
      await this.#story.checkOut(this.#actions.env["GITHUB_SHA"] ?? "", folder);
  }

  async #runAction(path: string, given: Readonly<Record<string, string>>): Promise<JobRun> {
    const action = parse(await readFile(join(path, "action.yml"), "utf8")) as {
      readonly inputs: Readonly<Record<string, { readonly default?: string }>>;
      readonly outputs: Readonly<Record<string, { readonly value: string }>>;
      readonly runs: { readonly steps: readonly Step[] };
    };
    const token: Context = { "github.token": this.#actions.token.value };
    const inputs = Object.entries(action.inputs).map(
      ([name, { default: fallback = "" }]): [string, string] => [
        `inputs.${name}`,
        given[name] ?? fill(fallback, token),
      ],
    );
    const context: Record<string, string> = { ...token, ...Object.fromEntries(inputs) };
    let exitCode = 0;
    for (const step of action.runs.steps) {
      if (step.run === undefined || exitCode !== 0) continue;
      exitCode = await this.#runScript(path, step, context);
      const written = parseOutputs(
        await readFile(this.#actions.env["GITHUB_OUTPUT"] ?? "", "utf8"),
      );
      for (const [name, value] of Object.entries(written))
        context[`steps.${step.id}.outputs.${name}`] = value;
    }
    const outputs = Object.entries(action.outputs).map(([name, { value }]): [string, string] => [
      name,
      fill(value, context),
    ]);
    return {
      exitCode,
      output: this.#output,
      outputs: Object.fromEntries(outputs),
      scripts: this.#scripts,
    };
  }

  async #runScript(path: string, step: Step, context: Context): Promise<number> {
    this.#scripts += 1;
    const own = Object.entries(step.env ?? {}).map(([name, value]): [string, string] => [
      name,
      fill(value, context),
    ]);
    const { GITHUB_TOKEN: _notInherited, ...env } = this.#actions.env;
    const child = spawn(
      "bash",
      ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run ?? ""],
      {
        cwd: join(this.#workspace, fill(step["working-directory"] ?? ".", context)),
        env: {
          ...machineEnvironment(),
          PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
          ...env,
          GITHUB_ACTION_PATH: path,
          GITHUB_WORKSPACE: this.#workspace,
          ...Object.fromEntries(own),
        },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (this.#output += text));
    return new Promise((resolve) => child.once("close", (code) => resolve(code ?? 1)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#workspace, { recursive: true, force: true, maxRetries: 3 });
  }
}

/**
 * Returns the variables that a machine sets for all programs, such as its certificates; nothing of
 * a workflow or of the developer's own shardctl.
 */
function machineEnvironment(): NodeJS.ProcessEnv {
  const isForeign = (name: string): boolean =>
    /^(GITHUB|ACTIONS|RUNNER|SHARDCTL|VITEST|npm)_/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
}

/** Replaces expressions. An output that was not written is empty, as on GitHub. */
function fill(text: string, context: Context): string {
  return text.replace(/\$\{\{\s*([\w.-]+)\s*\}\}/g, (_, name: string) => {
    const value = context[name];
    if (value === undefined && !name.startsWith("steps."))
      throw new Error(`This runner does not know \${{ ${name} }}`);
    return value ?? "";
  });
}
