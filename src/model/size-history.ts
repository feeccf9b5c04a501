/** The sizes of a namespace and of its fullest members over time, as they are told. */
import type { SizePoint } from "./forecast.ts";
import type { NamespaceRef } from "./live.ts";

export interface SizeHistory {
  /** Of the fullest member, oldest first: daily, then hourly for the last month. */
  readonly points: readonly (SizePoint & {
    /** Bytes of all members together. */
    readonly total: number;
  })[];
  /** Daily sizes of the members that are fullest now, fullest first. */
  readonly members: readonly {
    readonly name: string;
    readonly points: readonly Pick<SizePoint, "at" | "bytes">[];
  }[];
}

/** The size of the fullest member of a namespace, in bytes. */
export interface Fullness extends NamespaceRef {
  readonly bytes: number;
}
