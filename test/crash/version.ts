/**
 * The version of the class that this Worker has. A run writes its own copy of this file when it
 * deploys the next one: each adds a column to the accounts, fills it, and makes an index.
 */
export const VERSION: number = 1;

/** The columns that the versions up to this one have added, by version. */
export function addedColumns(version: number): { readonly column: string; readonly by: number }[] {
  return Array.from({ length: version - 1 }, (_, index) => ({
    column: `status_${index + 2}`,
    by: index + 2,
  }));
}
