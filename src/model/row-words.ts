/**
 * Marks what a text of the engine quotes of rows: an id, a key, a value, or the words of an error
 * that is not ours and may quote any of them. Refuses to let it leave the namespace's objects.
 *
 * An object keeps its texts whole, marks included. `withoutRowWords` makes of them what others may
 * read, `withRowWords` what the owner of the rows is told.
 */
import type { LiveNamespace } from "./live.ts";
import type { OperationFault, OperationStatus } from "./operation.ts";

const OPEN = "\u27e6";
const CLOSE = "\u27e7";
/** A text that was cut may have lost the end of its last mark. */
const MARKED = new RegExp(`${OPEN}[^${OPEN}${CLOSE}]*(?:${CLOSE}|$)`, "g");
const HIDDEN = "(not shown)";

/** Marks words of a row. They cannot end their own mark. */
export function rowWords(text: string): string {
  return `${OPEN}${text.replaceAll(OPEN, "[").replaceAll(CLOSE, "]")}${CLOSE}`;
}

/** The text for whoever owns the rows: all of it, without marks. */
export function withRowWords(text: string): string {
  return text.replaceAll(OPEN, "").replaceAll(CLOSE, "");
}

/** The text without what is marked. */
export function hideRowWords(text: string): string {
  return text.replaceAll(MARKED, HIDDEN).replaceAll(`(${HIDDEN})`, HIDDEN);
}

/** The text for all others, who learn where to see the rest. */
export function withoutRowWords(text: string, namespace: string): string {
  const shown = hideRowWords(text);
  return shown === text
    ? text
    : `${shown}. What is not shown is in the object: shardctl status ${namespace} --ids`;
}

/**
 * Errors of the runtime and of SQLite that quote nothing but names of tables and columns. They must
 * match as a whole.
 */
const KNOWN_ERRORS = [
  /Network connection lost\.?/,
  /internal error(?:; reference = \w+)?/,
  /Cannot resolve Durable Object due to transient issue on remote node\.?/,
  /Durable Object (?:is overloaded|reset because its code was updated|exceeded its CPU time limit and was reset|storage operation exceeded timeout which caused object to be reset)\.?(?: (?:Requests queued for too long|Too many requests queued)\.?)?/,
  /Durable Object's isolate exceeded its memory limit and was reset\.?/,
  /The Durable Object's code has been updated, this version can no longer access storage\.?/,
  /(?:UNIQUE|NOT NULL|FOREIGN KEY|PRIMARY KEY|CHECK) constraint failed(?:: [\w.]+(?:, [\w.]+)*)?(?:: SQLITE_\w+(?: \(extended: SQLITE_\w+\))?)?/,
  /cannot store \w+ value in \w+ column [\w.]+(?:: SQLITE_\w+(?: \(extended: SQLITE_\w+\))?)?/,
  /no such (?:table|column): [\w.]+(?: at offset \d+)?(?:: SQLITE_\w+(?: \(extended: SQLITE_\w+\))?)?/,
  /database or disk is full(?:: SQLITE_FULL(?: \(extended: SQLITE_\w+\))?)?/,
].map(({ source }) => new RegExp(`^(?:Error: )?(?:${source})$`));

/** The words of SQLite before the name or expression of a CHECK, in which anything may stand. */
const CHECK_FAILED = /^((?:Error: )?CHECK constraint failed: )(.+)$/s;

/** Marks the words of an error that is not ours, but for those that are known to quote nothing. */
export function errorWords(text: string): string {
  if (KNOWN_ERRORS.some((known) => known.test(text))) return text;
  const [, known = "", rest = text] = CHECK_FAILED.exec(text) ?? [];
  return `${known}${rowWords(rest)}`;
}

/** A fault of a library that marks nothing is a mark as a whole. */
export function readFault({ message, marked }: OperationFault): string {
  return marked === true ? message : rowWords(message);
}

/** The operation for all others. Texts of a library that marks nothing are left out. */
export function operationForOthers(operation: OperationStatus): OperationStatus {
  const { namespace, fault, lastError, waitsFor, marked } = operation;
  const tell = (text: string): string =>
    withoutRowWords(marked === true ? text : rowWords(text), namespace);
  return {
    ...operation,
    fault: fault && { ...fault, message: tell(fault.message) },
    lastError: lastError && tell(lastError),
    ...(waitsFor ? { waitsFor: { ...waitsFor, message: tell(waitsFor.message) } } : {}),
  };
}

/** The namespace for all others. */
export function namespaceForOthers(live: LiveNamespace): LiveNamespace {
  const tell = (text: string): string =>
    withoutRowWords(live.marked === true ? text : rowWords(text), live.name);
  return {
    ...live,
    operation: live.operation && operationForOthers(live.operation),
    members: live.members.map((member) =>
      member.error ? { ...member, error: tell(member.error) } : member,
    ),
    ...(live.disorder
      ? {
          disorder: {
            ...live.disorder,
            message: withoutRowWords(live.disorder.message, live.name),
          },
        }
      : {}),
  };
}
