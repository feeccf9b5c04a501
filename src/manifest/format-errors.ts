/**
 * Formats errors for people, for programs and for GitHub's annotations. Text from a manifest
 * cannot forge a line in any of them.
 */
import { escapeControls } from "./describe-value.ts";
import type { ManifestError } from "./manifest-error.ts";

export const ERROR_FORMATS = ["text", "json", "github"] as const;
export type ErrorFormat = (typeof ERROR_FORMATS)[number];

/** The JSON form. `version` grows when a field changes its meaning; fields may be added. */
export interface ErrorReport {
  readonly version: 1;
  /** Sorted by file, line, column. */
  readonly errors: readonly ManifestError[];
}

/**
 * Formats errors in the order given, without a line break at the end.
 *
 * `text`: one `file:line:column: message` each, as compilers do. `json`: an `ErrorReport`.
 * `github`: one `::error` workflow command each. No errors are the empty text, and an empty report
 * in JSON.
 */
export function formatErrors(errors: readonly ManifestError[], format: ErrorFormat): string {
  switch (format) {
    case "text":
      return errors.map(textLine).join("\n");
    case "json":
      return JSON.stringify({ version: 1, errors } satisfies ErrorReport, null, 2);
    case "github":
      return errors.map(workflowCommand).join("\n");
  }
}

function textLine({ file, line, column, message }: ManifestError): string {
  return escapeControls(`${file}:${line}:${column}: ${message}`);
}

function workflowCommand({ file, line, column, message }: ManifestError): string {
  return `::error file=${escapeProperty(file)},line=${line},col=${column},title=${escapeProperty("Manifest error")}::${escapeData(message)}`;
}

/** Source: GitHub's actions/toolkit, packages/core/src/command.ts. */
function escapeData(text: string): string {
  return text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
}

function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
