/**
 * Asks the objects of a run what they know, as often as it takes: only for what may be asked twice.
 */
import { sleep } from "../../src/cli/host.ts";
import { type OperationStatus, STEPS } from "../../src/model/operation.ts";
import type { Found } from "./check-state.ts";
import type { Dump } from "./dump.ts";
import type { CrashRuntime } from "./runtime.ts";
import type { KillStep } from "./schedule.ts";

const POLL_MS = 10;
const CALL_MS_MAX = 60_000;
const UP_PAUSE_MS = 30;

export class Control {
  readonly #runtime: CrashRuntime;

  constructor(runtime: CrashRuntime) {
    this.#runtime = runtime;
  }

  /** A request to the root. @throws Error when it is refused, or nobody answers in a minute. */
  async ask<Reply>(request: object): Promise<Reply> {
    return (await this.insist("/root", request)) as Reply;
  }

  /** @throws Error when it is refused, or nobody answers in a minute. */
  async insist(path: string, body: unknown): Promise<unknown> {
    const deadline = Date.now() + CALL_MS_MAX;
    for (;;) {
      const answer = await this.#runtime.post(path, body);
      if (answer.kind === "answered") return answer.value;
      if (answer.kind === "refused" || Date.now() >= deadline)
        throw new Error(`POST ${path} ${JSON.stringify(body).slice(0, 200)}: ${answer.message}`);
      await sleep(UP_PAUSE_MS);
    }
  }

  live(): Promise<Omit<Found, "dumps">> {
    return this.ask<Omit<Found, "dumps">>({ kind: "layout" });
  }

  async dump(member: string): Promise<Dump> {
    return (await this.insist("/dump", { member })) as Dump;
  }

  /**
   * The operation once it is in the step or past it. Looking at it wakes nobody: an operation that
   * stands still is found here.
   */
  async untilStep(id: number, step: KillStep, waitMs: number): Promise<OperationStatus> {
    const deadline = Date.now() + waitMs;
    for (;;) {
      const status = await this.ask<OperationStatus>({ kind: "operation", id });
      if (
        status.state !== "running" ||
        (step !== "idle" && STEPS.indexOf(status.step) >= STEPS.indexOf(step))
      )
        return status;
      if (Date.now() >= deadline)
        throw new Error(
          `Operation ${id} did not get to ${step} within ${waitMs} ms: ${JSON.stringify(status)}`,
        );
      await sleep(POLL_MS);
    }
  }
}
