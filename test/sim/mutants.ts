import type { SourceEdit } from "./edit-sources.ts";
export interface Mutant {
  readonly name: string;
  readonly rule: string;
  readonly edits: readonly SourceEdit[];
}
export const MUTANTS: readonly Mutant[] = [];
