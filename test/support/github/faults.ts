/**
 * Failures on demand: answers, broken and hanging connections, an outage; and hooks that
 * move the state in the middle of a flow.
 */

export type FaultKind =
  /** An answer with this status instead of the real one. */
  | {
      readonly kind: "status";
      readonly status: number;
      readonly body?: object | string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The connection is cut. */
  | { readonly kind: "reset" }
  /** No answer, until the fake stops or the client gives up. */
  | { readonly kind: "hang" }
  /** The request is carried out, then the connection is cut: the caller cannot know. */
  | { readonly kind: "lostAnswer" };

export interface FailRequest {
  /** Any when missing. */
  readonly method?: string;
  /** A text that the path (without query) contains, or a pattern. Any when missing. */
  readonly path?: string | RegExp;
  readonly status: number | "reset" | "hang" | "lostAnswer";
  /** How often; 1 when missing. */
  readonly times?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or a page as a proxy would send it. */
  readonly body?: object | string;
}

type Hook = () => void | Promise<void>;

interface Rule<What> {
  readonly method: string | null;
  readonly path: string | RegExp | null;
  readonly what: What;
  times: number;
}

export class Faults {
  /** While set, nothing is answered but this: a broken connection, or a 502/503 page. */
  down: "reset" | 502 | 503 | null = null;
  readonly #faults: Rule<FaultKind>[] = [];
  readonly #before: Rule<Hook>[] = [];
  readonly #after: Rule<Hook>[] = [];

  /** The next matching request or requests fail. */
  failNext(request: FailRequest): void {
    const { status } = request;
    const what: FaultKind =
      typeof status === "number"
        ? {
            kind: "status",
            status,
            ...(request.body ? { body: request.body } : {}),
            ...(request.headers ? { headers: request.headers } : {}),
          }
        : { kind: status };
    this.#faults.push({
      method: request.method ?? null,
      path: request.path ?? null,
      what,
      times: request.times ?? 1,
    });
  }

  /** Runs before the next matching request is carried out. */
  before(method: string, path: string | RegExp, hook: Hook, times = 1): void {
    this.#before.push({ method, path, what: hook, times });
  }

  /** Runs after it was carried out, before it is answered. */
  after(method: string, path: string | RegExp, hook: Hook, times = 1): void {
    this.#after.push({ method, path, what: hook, times });
  }

  /** Ends every failure; hooks that did not run are dropped. */
  clear(): void {
    this.down = null;
    for (const rules of [this.#faults, this.#before, this.#after]) rules.length = 0;
  }

  /**
   * Rules that no request has used up: a test that ends with some did not test what it meant to.
   */
  get pending(): number {
    return [this.#faults, this.#before, this.#after].reduce((sum, rules) => sum + rules.length, 0);
  }

  takeFault(method: string, path: string): FaultKind | null {
    return takeRules(this.#faults, method, path, 1)[0] ?? null;
  }

  async runBefore(method: string, path: string): Promise<void> {
    for (const hook of takeRules(this.#before, method, path, Infinity)) await hook();
  }

  async runAfter(method: string, path: string): Promise<void> {
    for (const hook of takeRules(this.#after, method, path, Infinity)) await hook();
  }
}

function takeRules<What>(rules: Rule<What>[], method: string, path: string, max: number): What[] {
  const taken = rules.filter((rule) => matches(rule, method, path)).slice(0, max);
  for (const rule of taken) {
    rule.times -= 1;
    if (rule.times <= 0) rules.splice(rules.indexOf(rule), 1);
  }
  return taken.map((rule) => rule.what);
}

function matches(rule: Rule<unknown>, method: string, path: string): boolean {
  if (rule.method !== null && rule.method !== method) return false;
  if (rule.path === null) return true;
  return typeof rule.path === "string" ? path.includes(rule.path) : rule.path.test(path);
}
