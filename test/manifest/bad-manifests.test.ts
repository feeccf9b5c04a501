/**
 * Every kind of bad manifest, with the exact messages as a person reads them, and the place marked
 * in the source.
 */
import { describe, expect, it } from "vitest";

import {
  type ManifestError,
  type ManifestFile,
  formatErrors,
  parseManifests,
} from "../../src/manifest/index.ts";
import { BAD_MANIFESTS, type BadManifest } from "./bad-manifests.ts";

const EXCERPT_MAX = 100;

/** The line of an error, with a caret below its column. */
function excerpt(error: ManifestError, files: readonly ManifestFile[]): string {
  const file = files.find(({ path }) => path === error.file);
  const text = typeof file?.text === "string" ? file.text : new TextDecoder().decode(file?.text);
  const line = (text.replace(/^\uFEFF/u, "").split("\n")[error.line - 1] ?? "").replaceAll(
    /\p{Cc}/gu,
    "·",
  );
  return `    ${line.slice(0, EXCERPT_MAX)}\n    ${" ".repeat(error.column - 1)}^`;
}

/** Everything that a person reads about one bad manifest. */
function shownErrors({ files, options }: BadManifest): string {
  const { desired, errors } = parseManifests(files, { environment: null, ...options });
  expect(desired).toBeNull();
  expect(errors).not.toEqual([]);
  return errors
    .map(
      (error) => `${formatErrors([error], "text")}   [${error.kind}]\n${excerpt(error, files)}\n`,
    )
    .join("\n");
}

describe("bad manifests", () => {
  it("are told apart, each with the place of the mistake", async () => {
    const all = BAD_MANIFESTS.map((one) => `== ${one.name}\n\n${shownErrors(one)}`);
    await expect(all.join("\n")).toMatchFileSnapshot("../golden/manifest/bad-manifests.txt");
  });

  it("has a name of its own for every case", () => {
    expect(new Set(BAD_MANIFESTS.map(({ name }) => name)).size).toBe(BAD_MANIFESTS.length);
  });
});
