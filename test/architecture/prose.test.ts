import { describe, expect, it } from "vitest";

import { findManualFaults, findMessageFaults, findProseFaults } from "./find-prose-faults.ts";

const linesOf = (source: string): number[] => findProseFaults(source).map(({ line }) => line);

it("finds comments that begin with a question word", () => {
  expect(
    linesOf("/** What it is. */\nlet a;\n/**\n * Whether so.\n */\nlet b;\n// Who does it.\n"),
  ).toEqual([1, 4, 7]);
  expect(
    linesOf(
      "/** Sends what was kept. */\n/** Whatsoever. */\n// Sends\n// what was kept.\n// Who knows.\n",
    ),
  ).toEqual([]);
  expect(linesOf('const a = "// What is this";\n')).toEqual([]);
});

it("finds those that begin a later paragraph, not those that a line happens to begin with", () => {
  expect(linesOf("/**\n * Sends it.\n *\n * Whoever asks is told\n * what it was.\n */\n")).toEqual(
    [4],
  );
  expect(linesOf("/**\n * Sends what was kept, and tells\n * Who is a band of.\n */\n")).toEqual(
    [],
  );
});

it("finds lines above 100 columns, but for tables and texts", () => {
  const wide = "x".repeat(99);
  expect(linesOf(`// ${wide}\nconst ${wide} = 1;\n/** | ${wide} | */\n`)).toEqual([1, 2, 3]);
  expect(
    linesOf(
      `/**\n * | ${wide} |\n */\nconst a = "${wide}";\nconst b = \`\n${wide}\${1}\n${wide}--\n\`;\n`,
    ),
  ).toEqual([]);
});

it("finds retired phrases, in texts too", () => {
  const [stalled, succeeded] = ["does not", "was"];
  const source = `const a = "The operation ${stalled} get on.";\n// The check ${succeeded} well.\n// As well as it can.\n`;
  expect(linesOf(source)).toEqual([1, 2]);
  const [one, advances, needlessly] = ["for one", "gets on", "in vain"];
  expect(
    linesOf(
      `// It takes both ${one}.\n// The run ${advances}.\n// Tried again ${needlessly}.\n// For one of us.\n`,
    ),
  ).toEqual([1, 2, 3]);
});

describe("what users read", () => {
  // Put together here: the check reads this file too.
  const [still, anew] = ["stands still", "anew"];

  it("has phrases that only comments may have", () => {
    const source = `// It ${still}.\nconst a = "It ${still}.";\nconst b = \`\n\${a} begins ${anew}\`;\n`;
    expect(findProseFaults(source)).toEqual([]);
    expect(findMessageFaults(source).map(({ line }) => line)).toEqual([2, 4]);
  });

  it("is checked in manuals, but for code and quotations", () => {
    const page = `# It ${still}\n\n\`\`\`sh\nbegin ${anew}\n\`\`\`\n\nBegins ${anew}: \`${anew}\`, "${anew}".\n`;
    expect(findManualFaults(page).map(({ line }) => line)).toEqual([1, 7]);
    expect(findManualFaults("`code` as well as text, and well, more\n")).toEqual([]);
  });
});
