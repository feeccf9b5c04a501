/**
 * Home: the namespace in which an object finds its peers, chosen by proof.
 *
 * A binding without a jurisdiction has another object under every name than the same binding within
 * one, and `ctx.exports` has none. So the binding counts only in the form in which the object's own
 * name leads to the object's own id; by any other, rows would leave for objects outside of the
 * jurisdiction, or of another class.
 */
import type { NameVerdict } from "./host-platform.ts";

/**
 * The part of a `DurableObjectNamespace` that is needed: any class behind it speaks the protocol.
 */
export interface ObjectNamespace {
  idFromName(name: string): DurableObjectId;
  get(id: DurableObjectId): unknown;
  /** The same namespace within a jurisdiction. */
  jurisdiction?(jurisdiction: never): ObjectNamespace;
}

/** Names above this are not kept by the runtime: an object could not know its own. */
export const NAME_BYTES_MAX = 1_024;

export class Home {
  readonly #id: DurableObjectId;
  readonly #binding: ObjectNamespace | null;
  /** The form of the binding that has this object under its name. */
  #proven: ObjectNamespace | undefined;

  constructor(id: DurableObjectId, binding: ObjectNamespace | null) {
    this.#id = id;
    this.#binding = binding;
  }

  /** Says whether the name leads to this object. */
  identify(name: string): NameVerdict {
    if (isTooLong(name)) return "tooLong";
    if (this.#binding === null) return "unprovable";
    const leadsHere = (form: ObjectNamespace): boolean =>
      form.idFromName(name).toString() === this.#id.toString();
    // First as it was given: it may be in the jurisdiction already, and cannot be given one twice.
    const form = leadsHere(this.#binding) ? this.#binding : this.#restricted(this.#binding);
    if (form === null || !leadsHere(form)) return "other";
    this.#proven = form;
    return "mine";
  }

  /**
   * Null when the runtime refuses it: the name then leads elsewhere by every form that the binding
   * has.
   */
  #restricted(binding: ObjectNamespace): ObjectNamespace | null {
    try {
      return inJurisdictionOf(this.#id, binding);
    } catch (error) {
      console.error(
        `shardctl: the binding cannot be used in jurisdiction '${this.#id.jurisdiction ?? ""}'`,
        error,
      );
      return null;
    }
  }

  /** The namespace of this object's peers; null when the binding is not known. */
  namespace(): ObjectNamespace | null {
    return this.#proven ?? inJurisdictionOf(this.#id, this.#binding);
  }
}

/**
 * The binding within the jurisdiction of an id; itself when the id has none. @throws what the
 * runtime says against the jurisdiction.
 */
export function inJurisdictionOf(
  id: DurableObjectId,
  binding: ObjectNamespace | null,
): ObjectNamespace | null {
  if (id.jurisdiction === undefined || binding?.jurisdiction === undefined) return binding;
  return binding.jurisdiction(id.jurisdiction as never);
}

/** True for a name that the runtime would not give back. */
export function isTooLong(name: string): boolean {
  return new TextEncoder().encode(name).length > NAME_BYTES_MAX;
}
