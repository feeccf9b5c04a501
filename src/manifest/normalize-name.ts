/** Maps names that people cannot tell apart, since only their Unicode form differs, to one. */
export function normalizeName(name: string): string {
  return name.normalize("NFC");
}
