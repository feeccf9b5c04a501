import { describe, expect, it } from "vitest";

import { findCode } from "./find-code.ts";

const textsOf = (source: string, pattern: string): string[] =>
  findCode(source, pattern).map(({ start, end }) => source.slice(start, end));

describe("findCode", () => {
  it("finds code however it is laid out, whatever stands in its comments", () => {
    const pattern = "if (a) return send(b, { c: 1 });";
    for (const source of [
      "if (a) return send(b, { c: 1 });",
      "if (a)\n  // Why.\n  return send(\n    b,\n    { c: 1, },\n  );",
      "if (a) /* if (a) */ return send(b,{c:1});",
    ])
      expect(textsOf(`x();\n${source}\ny();`, pattern)).toEqual([source]);
  });

  it("tells texts, names and comments apart", () => {
    expect(textsOf('const a = "b"; // const b = a;', "b")).toEqual([]);
    expect(textsOf("const ab = 1;", "b = 1")).toEqual([]);
    expect(textsOf("x(`a ${ b } c`)", "`a ${b} c`")).toHaveLength(1);
    expect(textsOf("x(`a  ${b} c`)", "`a ${b} c`")).toEqual([]);
  });

  it("finds every place", () => {
    expect(textsOf("a(1); a(2); a(1)", "a(1)")).toHaveLength(2);
  });

  it("takes … for any code with its brackets closed, as little as possible", () => {
    expect(textsOf("const N = 5_000; const M = 2;", "N = …;")).toEqual(["N = 5_000;"]);
    expect(textsOf('f(a, (b) => { c(")"); }, d); g();', "f(…);")).toEqual([
      'f(a, (b) => { c(")"); }, d);',
    ]);
    expect(textsOf("{ f(a } b)", "f(… b)")).toEqual([]);
  });

  it("leaves a comma that separates where it is", () => {
    expect(textsOf("[f(a), g(b),]", "f(a),")).toEqual(["f(a),"]);
    expect(textsOf("[f(a), g(b),]", "g(b)")).toEqual(["g(b)"]);
  });
});
