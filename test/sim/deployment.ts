/**
 * Chooses the version of the class that an object runs when it starts: the one deployed last, or
 * for a part of the objects the one before.
 */
import type { Random } from "./random.ts";
import { FIRST_VERSION, type StoreVersion } from "./versions.ts";

export class Deployment {
  readonly #versions: readonly StoreVersion[];
  readonly #random: Random;
  #current = 0;
  #before = 0;
  #share = 1;
  /**
   * Drawn once for each object and deploy: an object that has started with one version starts with
   * it again.
   */
  #drawn = new Map<string, number>();

  constructor(versions: readonly StoreVersion[], random: Random) {
    this.#versions = versions;
    this.#random = random;
  }

  deploy(version: number, share: number): void {
    this.#before = this.#current;
    this.#current = version;
    this.#share = share;
    this.#drawn = new Map();
  }

  /** The version that an object starts with now. */
  versionOf(name: string): StoreVersion {
    let drawn = this.#drawn.get(name);
    if (drawn === undefined) {
      const isNew = this.#share === 1 || this.#random.chance(`deployed/${name}`, this.#share);
      this.#drawn.set(name, (drawn = isNew ? this.#current : this.#before));
    }
    return this.#versions[drawn] ?? FIRST_VERSION;
  }

  /** The place of the version that every object runs in the end. */
  get last(): number {
    return this.#versions.length - 1;
  }

  get newest(): StoreVersion {
    return this.#versions.at(-1) ?? FIRST_VERSION;
  }

  get isMisdeclared(): boolean {
    const running = this.#share === 1 ? [this.#current] : [this.#current, this.#before];
    return running.some((version) => this.#versions[version]?.changes.includes("otherKey"));
  }
}
