/**
 * The name of an object: given by the runtime, learnt from a message and proven, or read from what
 * an earlier life has stored.
 *
 * The runtime gives the name that the first access had. An object that was first opened by its id,
 * or woken by an alarm of old, has none while it lives, although it is the same object.
 */
import { type ProtocolFailure, refusal } from "../../model/wire/protocol-failure.ts";
import { readMembership, readMoving } from "../member/membership.ts";
import type { HostPlatform } from "../platform/host-platform.ts";
import { hasSchema, readMeta, writeMeta } from "../storage/schema.ts";
import type { Sql } from "../storage/storage.ts";

const KEY = "name";

export class OwnName {
  readonly #platform: HostPlatform;
  readonly #sql: Sql;
  #value: string | undefined;
  #isStored = false;
  #isAtHome = false;

  constructor(platform: HostPlatform, sql: Sql) {
    this.#platform = platform;
    this.#sql = sql;
    this.#value = platform.self ?? this.#recall();
  }

  /** Undefined while it is not known. */
  get value(): string | undefined {
    return this.#value;
  }

  /**
   * Why a message for this name is refused; null when it is for this object. Learns the name if
   * none is known.
   */
  refuse(name: string): ProtocolFailure | null {
    if (this.#value === name) return null;
    if (this.#value !== undefined)
      return refusal("invalid", `This is ${this.#value}, the message is for ${name}`);
    const verdict = this.#platform.identify(name);
    if (verdict !== "mine") return refusal("invalid", REFUSALS[verdict](name));
    this.#value = name;
    return null;
  }

  /**
   * Why this object cannot reach the others of a namespace; null when its class's binding has it
   * under its name.
   */
  homeFailure(): ProtocolFailure | null {
    if (this.#isAtHome) return null;
    if (this.#value === undefined) return refusal("invalid", NAMELESS);
    const verdict = this.#platform.identify(this.#value);
    if (verdict !== "mine")
      return refusal(
        "invalid",
        verdict === "other" ? STRANGE_BINDING(this.#value) : REFUSALS[verdict](this.#value),
      );
    this.#isAtHome = true;
    return null;
  }

  /** Stores the name for a life that is not given one, once there are private tables. */
  keep(): void {
    if (this.#isStored || this.#value === undefined || !hasSchema(this.#sql)) return;
    this.#isStored = true;
    if (readMeta<string>(this.#sql, KEY) !== this.#value) writeMeta(this.#sql, KEY, this.#value);
  }

  /**
   * Of the names that are stored here, the one that leads here: a database that was copied from
   * another object has that one's.
   */
  #recall(): string | undefined {
    if (!hasSchema(this.#sql)) return undefined;
    const stored = readMeta<string>(this.#sql, KEY);
    if (stored !== undefined && this.#platform.identify(stored) === "unprovable") return stored;
    // An earlier library stored no name, but names of its namespace.
    const { namespace, layout } = readMembership(this.#sql, "", "");
    const { from, to } = readMoving(this.#sql) ?? {};
    const names = [
      stored ?? "",
      namespace,
      ...layout.members,
      ...(from?.members ?? []),
      ...(to?.members ?? []),
    ];
    return [...new Set(names)].find(
      (name) => name !== "" && this.#platform.identify(name) === "mine",
    );
  }
}

const REFUSALS = {
  other: (name: string): string =>
    `This object is not the one named '${name}': the objects of a namespace are opened by name (idFromName, getByName), never made by newUniqueId`,
  tooLong: (name: string): string =>
    `'${name.slice(0, 40)}…' is longer than 1,024 bytes: the runtime gives such a name to no object, so that it cannot be part of a namespace`,
  unprovable: (name: string): string =>
    `This object was not opened by its name, and cannot find out whether that is '${name}': the binding of its class is not known. Export the class under its own name with compatibility_date 2025-11-17 or later, give the host \`namespace: env.<BINDING>\`, or open the object by name only`,
};

const NAMELESS =
  "This object does not know its name: it was opened by its id, and no message has named it yet. Open it by name (idFromName, getByName); an object made by newUniqueId cannot be part of a namespace";

const STRANGE_BINDING = (name: string): string =>
  `The host's binding has another object under the name '${name}': it is the binding of another class, or of another jurisdiction. Nothing was started. Give the host \`namespace: env.<BINDING>\` with the binding of this very class`;
