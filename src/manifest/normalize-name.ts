/**
 * Maps names that people cannot tell apart to one: those that differ only by their Unicode form, by
 * characters that nobody sees, or by the kind of a space. Empty for a name that nobody sees.
 */
export function normalizeName(name: string): string {
  return name
    .replace(/\p{Default_Ignorable_Code_Point}/gu, "")
    .replace(/\p{Zs}/gu, " ")
    .trim()
    .normalize("NFC");
}
