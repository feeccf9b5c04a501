/**
 * Decodes the bytes of a file. Refuses files that are too large or not UTF-8 text, so that later
 * code need not check.
 */
import {
  FILE_BYTES_MAX,
  type ManifestError,
  type ManifestErrorKind,
  type ManifestFile,
} from "./manifest-error.ts";

export type TextResult =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly error: ManifestError };

/** Longest path of a file, in units of UTF-16: as long as systems allow. */
const FILE_PATH_LENGTH_MAX = 4096;

/** Why a manifest cannot have this path, which is shown wherever its namespace is, or null. */
export function filePathFault(path: string): string | null {
  if (path.length > FILE_PATH_LENGTH_MAX) return "must have at most 4,096 characters";
  return /[\p{Cc}\p{Cs}]/u.test(path) ? "must have no control characters" : null;
}

const pathKind = (path: string): ManifestErrorKind =>
  path.length > FILE_PATH_LENGTH_MAX ? "limit" : "unsupported";

/** Decodes and checks one file. A byte order mark is dropped; line ends stay as they are. */
export function readText(file: ManifestFile): TextResult {
  const pathFault = filePathFault(file.path);
  if (pathFault !== null)
    return refuse(
      file,
      pathKind(file.path),
      `The file's path ${pathFault}. Rename the file or its folder.`,
    );
  const bytes = typeof file.text === "string" ? encodeText(file.text) : file.text;
  if (bytes === null || bytes.byteLength > FILE_BYTES_MAX) {
    const size =
      bytes === null ? "more than 1 MiB" : `${bytes.byteLength.toLocaleString("en-US")} bytes`;
    return refuse(
      file,
      "limit",
      `The file is ${size} long; at most 1 MiB (1,048,576 bytes) is read. Split it into several files.`,
    );
  }
  const text = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(bytes);
  const nul = text.indexOf("\0");
  if (nul >= 0)
    return refuse(
      file,
      "binary",
      "The file is not text: it has a NUL byte here. Save it as UTF-8.",
      text.slice(0, nul),
    );
  if (text.includes("\uFFFD")) {
    const at = firstDifference(bytes, new TextEncoder().encode(text));
    if (at !== null) {
      const before = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(
        bytes.subarray(0, at),
      );
      const byte = (bytes[at] ?? 0).toString(16).toUpperCase().padStart(2, "0");
      return refuse(
        file,
        "binary",
        `The file is not UTF-8 text: byte 0x${byte} here begins no character. Save it as UTF-8.`,
        before,
      );
    }
  }
  return { ok: true, text: text.startsWith("\uFEFF") ? text.slice(1) : text };
}

/** Null when the text is surely too long, so that an enormous one is not copied first. */
function encodeText(text: string): Uint8Array | null {
  return text.length > FILE_BYTES_MAX ? null : new TextEncoder().encode(text);
}

function firstDifference(left: Uint8Array, right: Uint8Array): number | null {
  const length = Math.min(left.byteLength, right.byteLength);
  for (let at = 0; at < length; at++) if (left[at] !== right[at]) return at;
  return left.byteLength === right.byteLength ? null : length;
}

function refuse(
  file: ManifestFile,
  kind: ManifestErrorKind,
  message: string,
  before = "",
): { readonly ok: false; readonly error: ManifestError } {
  const lines = before.replace(/^\uFEFF/u, "").split("\n");
  return {
    ok: false,
    error: {
      file: file.path,
      line: lines.length,
      column: (lines.at(-1) ?? "").length + 1,
      message,
      kind,
    },
  };
}
