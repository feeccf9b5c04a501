/**
 * The possible states of every account, given the answers that were heard. An account has one
 * writer and one call at a time, so there is exactly one possible state until a call's answer is
 * lost; then there are two, until the next answer tells which. An answer that fits none is a lost,
 * doubled or undone write, and is reported with the account's last calls. Pure.
 */
import { type AccountState, type WriteKind, applyWrite, readState, stateText } from "./accounts.ts";

/** Calls that a problem's report shows. */
const RECENT_MAX = 12;
/** Possible states that one account may have; a run that gets here has lost nearly every answer. */
const STATES_MAX = 4096;

export class AccountModel {
  readonly #possible = new Map<string, Map<string, AccountState>>();
  readonly #recent = new Map<string, string[]>();

  ids(): string[] {
    return [...this.#possible.keys()].toSorted();
  }

  /** Texts of the states that the account may have now. */
  possible(id: string): string[] {
    return [...this.#states(id).keys()].toSorted();
  }

  /**
   * An account is in this state, whatever was acknowledged: the object that has it was restored.
   */
  goBack(id: string, state: string): void {
    this.#possible.set(id, new Map([[state, readState(state)]]));
    this.#note(id, `restored → ${state}`);
  }

  recent(id: string): readonly string[] {
    return this.#recent.get(id) ?? [];
  }

  /** A write was answered with the state after it. Gives the problem, or null. */
  acknowledge(id: string, kind: WriteKind, serial: number, answer: string): string | null {
    return this.#observe(id, `${kind} ${serial}`, this.#after(id, kind, serial), answer);
  }

  /** A read was answered. */
  read(id: string, answer: string): string | null {
    return this.#observe(id, "read", this.#states(id), answer);
  }

  /** A write's answer was lost: it has happened or not. It does not happen later. */
  lose(id: string, kind: WriteKind, serial: number): void {
    const states = new Map([...this.#states(id), ...this.#after(id, kind, serial)]);
    if (states.size > STATES_MAX)
      throw new Error(`Account ${id} may have ${states.size} states: too many answers were lost`);
    this.#possible.set(id, states);
    this.#note(id, `${kind} ${serial} → no answer`);
  }

  #observe(
    id: string,
    call: string,
    states: ReadonlyMap<string, AccountState>,
    answer: string,
  ): string | null {
    this.#note(id, `${call} → ${answer}`);
    if (states.has(answer)) {
      this.#possible.set(id, new Map([[answer, states.get(answer) ?? null]]));
      return null;
    }
    const expected = [...states.keys()].toSorted().join(" | ");
    this.#possible.set(id, new Map(states)); // what was acknowledged stays expected
    return `${id}: ${call} was answered "${answer}", expected "${expected}". Its last calls: ${this.recent(id).join("; ")}`;
  }

  #after(id: string, kind: WriteKind, serial: number): Map<string, AccountState> {
    const after = [...this.#states(id).values()].map((state) => applyWrite(state, kind, serial));
    return new Map(after.map((state) => [stateText(state), state]));
  }

  #states(id: string): ReadonlyMap<string, AccountState> {
    return this.#possible.get(id) ?? new Map([[stateText(null), null]]);
  }

  #note(id: string, line: string): void {
    this.#recent.set(id, [...(this.#recent.get(id) ?? []), line].slice(-RECENT_MAX));
  }
}
