/**
 * Alerts of the coordinator: decided at the end of a tick, told by a pass of its own, one at a
 * time, that alarms carry on.
 *
 * It never throws and is waited for by nobody. The issue comes first, so that the chat can link to
 * it. What is told, is written after it was told: a crash in between tells it again, and the issue
 * is then found as it should be. After a loss of this state the issue says what was told.
 */
import { makeEvent, type NewEvent } from "../history/make-event.ts";
import { assertNever } from "../model/result.ts";
import { alertMarker, readTold } from "../github/markers.ts";
import type { GithubWriter } from "../github/port.ts";
import { upsertIssue, type IssueOutcome } from "../github/upsert-issue.ts";
import { renderAlertChat } from "./alert-chat.ts";
import { renderAlertClosing, renderAlertIssue } from "./alert-markdown.ts";
import { renderAlertTitle } from "./alert-message.ts";
import { logError, logEvent } from "../log.ts";
import {
  afterFailure,
  afterFinding,
  afterTelling,
  beforeTelling,
  decideAlert,
  hasBegun,
  nextTryAt,
  retireAlert,
  type AlertFacts,
  type AlertState,
  type AlertTarget,
  type ChannelName,
} from "./alert-state.ts";
import type { AlertsStore } from "./alerts-store.ts";
import { sendWebhook } from "./send-webhook.ts";

const LABELS = ["shardctl"];
/**
 * While a pass is under way the object is woken up so often, so that the runtime does not put it to
 * sleep.
 */
const WATCH_MS = 5_000;
/** After a pass that failed for no reason of a channel. */
const FAULT_DELAY_MS = 60_000;

export interface AlertParts {
  /** Environments that are reconciled here. */
  readonly environments: () => readonly string[];
  /** Null when this Worker does not write to its repository. */
  readonly github: () => GithubWriter | null;
  /** The environment of the repository's manifests: its alerts are an issue there. */
  readonly issueEnvironment: () => string | null;
  readonly webhookUrl: () => string | null;
  readonly facts: (environment: string) => Promise<AlertFacts>;
  readonly send: typeof fetch;
  readonly record: (event: NewEvent) => void;
  /** For the log: the tick that there is something to say of. */
  readonly correlationId: (environment: string) => string;
  /** Told of each try: for metrics. */
  readonly onTry: (environment: string, channel: ChannelName, outcome: "told" | "failed") => void;
  /** Called when there may be something to do at another time than before. */
  readonly onChange: () => void;
}

export type AlertStatePlace = Pick<AlertsStore, "read" | "write" | "list">;

export class Alerts {
  readonly #store: AlertStatePlace;
  readonly #parts: AlertParts;
  /** Environments whose tick has ended; lost in a crash, and then the next tick says the same. */
  readonly #ticked = new Set<string>();
  #pass: Promise<void> | null = null;
  #notBefore = 0;

  constructor(store: AlertStatePlace, parts: AlertParts) {
    this.#store = store;
    this.#parts = parts;
  }

  /** A tick has ended. */
  noteTick(environment: string): void {
    this.#ticked.add(environment);
    this.start(Date.now());
    this.#parts.onChange();
  }

  list(): readonly AlertState[] {
    return this.#store.list();
  }

  /** When there is something to do; null for never. */
  nextAt(now: number): number | null {
    if (this.#pass !== null) return now + WATCH_MS;
    const tries = this.#store
      .list()
      .flatMap((state) => this.#channels(state).map((name) => nextTryAt(state, name, now)));
    const times = tries.filter((time) => time !== null);
    if (this.#ticked.size > 0) times.push(now);
    return times.length === 0 ? null : Math.max(now, this.#notBefore, Math.min(...times));
  }

  /** Begins a pass when there is something to do and none is under way. */
  start(now: number): void {
    const at = this.nextAt(now);
    if (this.#pass !== null || at === null || at > now) return;
    this.#pass = this.#work()
      .catch((error: unknown) => {
        logError("alert.pass.failed", {}, error);
        this.#notBefore = Date.now() + FAULT_DELAY_MS;
      })
      .finally(() => {
        this.#pass = null;
        this.#parts.onChange();
      });
  }

  async #work(): Promise<void> {
    for (const environment of this.#ticked) {
      this.#ticked.delete(environment);
      const facts = await this.#parts.facts(environment);
      this.#decide(environment, (before) => decideAlert(before, facts));
    }
    const reconciled = this.#parts.environments();
    for (const state of this.#store.list()) {
      if (!reconciled.includes(state.environment)) this.#decide(state.environment, retireAlert);
      for (const name of this.#channels(state)) await this.#tell(state.environment, name);
    }
  }

  #decide(environment: string, decide: (before: AlertState) => AlertState): void {
    const before = this.#store.read(environment);
    const after = decide(before);
    if (after !== before) this.#store.write(after);
  }

  /**
   * The channels that there are, the issue first. An environment that was renamed still has an
   * issue to close.
   */
  #channels({ environment, issueUrl }: AlertState): readonly ChannelName[] {
    const { github, issueEnvironment, webhookUrl } = this.#parts;
    const hasIssue = github() !== null && (environment === issueEnvironment() || issueUrl !== null);
    return [
      ...(hasIssue ? (["issue"] as const) : []),
      ...(webhookUrl() === null ? [] : (["webhook"] as const)),
    ];
  }

  async #tell(environment: string, name: ChannelName): Promise<void> {
    const now = Date.now();
    const state = this.#store.read(environment);
    const { target } = state;
    const at = nextTryAt(state, name, now);
    if (target === null || at === null || at > now) return;
    const isFirst = !hasBegun(state, name, target);
    if (isFirst) this.#store.write(beforeTelling(state, name, target));
    const result = await this.#say(name, target, state.issueUrl);
    this.#parts.onTry(environment, name, result.ok ? "told" : "failed");
    // A tick may have written meanwhile.
    const current = this.#store.read(environment);
    if (result.ok) {
      const isFound = isFirst && result.wasTold;
      this.#store.write(
        isFound
          ? afterFinding(current, target, result.issueUrl)
          : afterTelling(current, name, target, result.issueUrl),
      );
      if (result.summary !== null) this.#record(target, result.summary);
      return;
    }
    const failed = afterFailure(current, name, result, { now: Date.now(), random: Math.random() });
    this.#store.write(failed);
    const { failures, nextTryAt: retryAt } = failed.channels[name];
    const correlationId = this.#parts.correlationId(environment);
    logEvent("alert.failed", {
      correlationId,
      environment,
      channel: name,
      failures,
      message: result.message,
      retryAt,
    });
  }

  async #say(name: ChannelName, target: AlertTarget, issueUrl: string | null): Promise<Said> {
    switch (name) {
      case "issue":
        return this.#writeIssue(target);
      case "webhook":
        return this.#sendChat(target, issueUrl);
      default:
        return assertNever(name);
    }
  }

  async #writeIssue(target: AlertTarget): Promise<Said> {
    const github = this.#parts.github();
    if (github === null) throw new Error("The issue's writer was taken away in one turn");
    const isOpen = target.fingerprint !== null;
    const done = await upsertIssue(github, {
      marker: alertMarker(target.environment),
      title: renderAlertTitle(target.environment),
      body: isOpen ? renderAlertIssue(target) : "",
      fingerprint: target.fingerprint,
      labels: LABELS,
      isOpen,
      closingComment: isOpen ? "" : renderAlertClosing(target),
    });
    if (!done.ok)
      return { ok: false, message: done.failure.message, retryAt: done.failure.retryAt };
    const issueUrl = done.value.kind === "absent" ? null : done.value.issue.url;
    const wasTold =
      done.value.kind === "unchanged" && readTold(done.value.issue.body) === target.fingerprint;
    return { ok: true, issueUrl, wasTold, summary: describeOutcome(done.value) };
  }

  async #sendChat(target: AlertTarget, issueUrl: string | null): Promise<Said> {
    const url = this.#parts.webhookUrl();
    if (url === null) throw new Error("The webhook was taken away in one turn");
    const sent = await sendWebhook(
      this.#parts.send,
      url,
      renderAlertChat(target, issueUrl),
      Date.now(),
    );
    if (!sent.ok) return { ok: false, ...sent.failure };
    const what = target.fingerprint === null ? "no drift is left" : `${target.driftCount} open`;
    return {
      ok: true,
      issueUrl: null,
      wasTold: false,
      summary: `the alert webhook was told: ${what}`,
    };
  }

  #record({ environment, commit, fingerprint }: AlertTarget, summary: string): void {
    this.#parts.record(
      makeEvent({
        at: Date.now(),
        environment,
        kind: "alert",
        summary,
        actor: "shardctl",
        commit,
        fingerprint,
      }),
    );
  }
}

type Said =
  | {
      readonly ok: true;
      readonly issueUrl: string | null;
      /** True when it was said before, by a text that says so. */
      readonly wasTold: boolean;
      readonly summary: string | null;
    }
  | { readonly ok: false; readonly message: string; readonly retryAt: number | null };

function describeOutcome(outcome: IssueOutcome): string | null {
  switch (outcome.kind) {
    case "created":
      return `the alert was opened: issue #${outcome.issue.number}`;
    case "updated":
      return `the alert was changed: issue #${outcome.issue.number}`;
    case "reopened":
      return `the alert was opened again: issue #${outcome.issue.number}`;
    case "closed":
      return `the alert was closed: issue #${outcome.issue.number}`;
    case "unchanged":
    case "absent":
      return null;
    default:
      return assertNever(outcome);
  }
}
