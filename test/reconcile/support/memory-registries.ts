/** The known facts of registries, in a map: as `RegistriesStore` in the Worker. */
import type { SeenRegistries } from "../../../src/live/watch-registries.ts";
import type { SeenRegistry } from "../../../src/model/disorder.ts";
import type { NamespaceRef } from "../../../src/model/live.ts";

export class MemoryRegistries implements SeenRegistries {
  readonly #seen = new Map<string, SeenRegistry>();

  read({ object, name }: NamespaceRef): SeenRegistry | null {
    return this.#seen.get(`${object}/${name}`) ?? null;
  }

  note(
    ref: NamespaceRef,
    { epoch, members, at }: Pick<SeenRegistry, "epoch" | "members" | "at">,
  ): void {
    const known = this.read(ref);
    if (known === null && epoch === 0) return;
    if (known === null || known.epoch < epoch)
      this.#seen.set(`${ref.object}/${ref.name}`, {
        epoch,
        members,
        at,
        repairs: known?.repairs ?? 0,
      });
  }

  noteRepair(ref: NamespaceRef, at: number): void {
    const known = this.read(ref);
    const { members = [], repairs = 0 } = known ?? {};
    this.#seen.set(`${ref.object}/${ref.name}`, { epoch: 0, members, at, repairs: repairs + 1 });
  }
}
