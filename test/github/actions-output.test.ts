/** Values handed to a runner: no value breaks out of its place. */
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert, dictionary, property, string, stringMatching } from "fast-check";
import { describe, expect, it } from "vitest";

import {
  capSummary,
  defuseCommands,
  formatOutputs,
  SUMMARY_BYTES_MAX,
} from "../../src/github/actions-output.ts";
import { startFakeGitHub } from "../support/github/index.ts";

/** As the runner reads the file: `name<<delimiter`, lines, the delimiter. */
function readOutputs(text: string): Record<string, string> {
  const outputs: Record<string, string> = {};
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const [name, delimiter] = (lines[at] ?? "").split("<<");
    if (name === undefined || delimiter === undefined) continue;
    const end = lines.indexOf(delimiter, at + 1);
    outputs[name] = lines.slice(at + 1, end).join("\n");
    at = end;
  }
  return outputs;
}

describe("outputs", () => {
  it("come out as they went in, whatever is in them", () => {
    const values = dictionary(
      stringMatching(/^[a-z][a-z_]{0,10}$/),
      string({ unit: "binary-ascii" }),
    );
    assert(
      property(values, (outputs) => {
        expect(readOutputs(formatOutputs(outputs))).toEqual({ ...outputs });
      }),
    );
  });

  it("have a delimiter that nobody can know, and refuse a value with it", () => {
    const [first, second] = [formatOutputs({ a: "1" }), formatOutputs({ a: "1" })];
    expect(first).not.toBe(second);
    expect(() => formatOutputs({ a: "x\nEND\nb<<END" }, "END")).toThrow("delimiter");
    expect(() => formatOutputs({ "a\nb": "1" })).toThrow("cannot name an output");
  });

  it("are understood by a runner", async () => {
    await using github = await startFakeGitHub();
    const repo = github.createRepo({ owner: "acme", name: "data" });
    const directory = await mkdtemp(join(tmpdir(), "shardctl-output-"));
    try {
      const run = await github.actionsEnv({ kind: "push", repo }, { directory });
      await appendFile(
        run.env["GITHUB_OUTPUT"] ?? "",
        formatOutputs({ has_changes: "true", outcome: "planned\nfingerprint=forged" }),
      );
      expect(await run.readOutputs()).toEqual({
        has_changes: "true",
        outcome: "planned\nfingerprint=forged",
      });
      expect(await readFile(run.env["GITHUB_OUTPUT"] ?? "", "utf8")).toContain("<<end_");
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("workflow commands", () => {
  it("are none in text that somebody else wrote", () => {
    // The runner's rules: a line that begins with `::` after blanks, and `##[` anywhere.
    const isCommand = (line: string) => /^[\s\u0085]*::/u.test(line) || line.includes("##[");
    const hostile = [
      "::set-output name=a::b",
      "  \t::error::x",
      "\u0085::error::x",
      "a\r::error::x",
      "ok ##[error]x",
      "###[x",
      "::::",
      "\u00a0\u2028::warning::y",
    ];
    expect(hostile.flatMap((text) => defuseCommands(text).split("\n").filter(isCommand))).toEqual(
      [],
    );
    expect(hostile.every((text) => text.split(/[\r\n]/).some(isCommand))).toBe(true);
    assert(
      property(string({ unit: "binary-ascii" }), (text) => {
        expect(defuseCommands(`${text}\n ::error::${text}`).split("\n").filter(isCommand)).toEqual(
          [],
        );
      }),
    );
    expect(defuseCommands("a::b\nall well")).toBe("a::b\nall well");
  });
});

describe("a summary", () => {
  it("that fits stays as it is", () => {
    expect(capSummary("# plan\n")).toBe("# plan\n");
  });

  it("of many megabytes is cut at a line, and says so", () => {
    const line = `${"ä".repeat(100)}\n`;
    const cut = capSummary(line.repeat(20_000));
    expect(new TextEncoder().encode(cut).byteLength).toBeLessThan(SUMMARY_BYTES_MAX);
    expect(
      cut.endsWith(`${"ä".repeat(100)}\n\n… cut here: GitHub shows at most 1 MiB of a summary.\n`),
    ).toBe(true);
    expect(cut).not.toContain("\uFFFD");
  });

  it("of one line is cut inside of it, never inside of a character", () => {
    const cut = capSummary("😀".repeat(1000), 1001);
    expect(new TextEncoder().encode(cut).byteLength).toBeLessThanOrEqual(1001);
    expect(cut).toMatch(/^😀+\n\n… cut here/u);
  });
});
