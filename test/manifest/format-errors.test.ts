import { describe, expect, it } from "vitest";

import { type ManifestError, formatErrors } from "../../src/manifest/index.ts";

const ERRORS: readonly ManifestError[] = [
  {
    file: "manifests/a,b:c.yaml",
    line: 3,
    column: 7,
    kind: "invalid",
    message: "50 % of\r\nthe rows: a, b",
  },
  {
    file: "manifests/\u001B[2J\n.yaml",
    line: 1,
    column: 1,
    kind: "syntax",
    message: "::error::forged",
  },
];

describe("formatErrors", () => {
  it("writes one line an error, whatever the names hold", () => {
    expect(formatErrors(ERRORS, "text")).toBe(
      [
        "manifests/a,b:c.yaml:3:7: 50 % of\\u000d\\u000athe rows: a, b",
        "manifests/\\u001b[2J\\u000a.yaml:1:1: ::error::forged",
      ].join("\n"),
    );
  });

  it("escapes workflow commands as GitHub unescapes them", () => {
    expect(formatErrors(ERRORS, "github")).toBe(
      [
        "::error file=manifests/a%2Cb%3Ac.yaml,line=3,col=7,title=Manifest error::50 %25 of%0D%0Athe rows: a, b",
        "::error file=manifests/\u001B[2J%0A.yaml,line=1,col=1,title=Manifest error::::error::forged",
      ].join("\n"),
    );
  });

  it("gives a versioned report as JSON", () => {
    expect(JSON.parse(formatErrors(ERRORS, "json"))).toEqual({ version: 1, errors: ERRORS });
    expect(JSON.parse(formatErrors([], "json"))).toEqual({ version: 1, errors: [] });
  });

  it("says nothing when there is nothing", () => {
    expect(formatErrors([], "text")).toBe("");
    expect(formatErrors([], "github")).toBe("");
  });
});
