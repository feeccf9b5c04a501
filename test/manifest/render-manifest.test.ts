/**
 * A rendered manifest, as a person reads it. That it is read back as it was is a property: see
 * `properties.test.ts`.
 */
import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

import { parseManifests, renderManifest } from "../../src/manifest/index.ts";

const PATHS = ["orders.yaml", "several.yaml"].map(
  (name) => `${import.meta.dirname}/examples/${name}`,
);

it.each([null, "range", "staging"])(
  "renders the examples of environment %s",
  async (environment) => {
    const files = PATHS.map((path) => ({ path, text: readFileSync(path) }));
    const { desired } = parseManifests(files, { environment });
    const text = (desired?.namespaces ?? []).map((spec) => renderManifest(spec)).join("---\n");
    await expect(text).toMatchFileSnapshot(
      `../golden/manifest/rendered-${environment ?? "base"}.yaml`,
    );
  },
);

it("names the schema that it is told", () => {
  const { desired } = parseManifests([{ path: "a.yaml", text: readFileSync(PATHS[1] ?? "") }], {
    environment: null,
  });
  const [spec] = desired?.namespaces ?? [];
  if (spec === undefined) throw new Error("no namespace");
  expect(renderManifest(spec, { schema: "../schemas/namespace.schema.json" }).split("\n")[0]).toBe(
    "# yaml-language-server: $schema=../schemas/namespace.schema.json",
  );
});
