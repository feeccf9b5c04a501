/**
 * `npm run fuzz:manifests`: what reading costs, for every shape of YAML that is hard on a parser.
 *
 *     node test/programs/fuzz-manifests/main.ts [words of a shape …]
 *
 * Prints a line for each shape and length, as a writer's file and as a stranger's: tokens that were
 * read, time, the growth of memory, and the first error. It ends with 1 when more tokens were read
 * than allowed. Times are for people: nothing is judged by them.
 */
import { FILE_TOKENS_MAX, STRANGER_TOKENS_MAX } from "../../../src/manifest/manifest-error.ts";
import { readSet } from "../../../src/manifest/read-set.ts";
import { readYaml } from "../../../src/manifest/read-yaml.ts";
import { LENGTHS, SHAPES } from "./shapes.ts";

const PATH = "a.yaml";
const wanted = process.argv.slice(2).join(" ");

function say(cells: readonly string[]): void {
  const widths = [40, 10, 9, 10, 9, 9];
  const line = cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(" ");
  process.stdout.write(`${line.trimEnd()}\n`);
}

say(["shape", "bytes", "by", "tokens", "ms", "MB", "first error"]);
let isWithin = true;
for (const [name, shape] of Object.entries(SHAPES)) {
  if (!name.includes(wanted)) continue;
  for (const length of LENGTHS) {
    const text = shape(length).slice(0, length);
    for (const by of ["writer", "stranger"] as const) {
      const tokensMax = by === "writer" ? FILE_TOKENS_MAX : STRANGER_TOKENS_MAX;
      const { tokens } = readYaml(PATH, text, tokensMax);
      isWithin &&= tokens <= tokensMax + 1;
      const before = process.memoryUsage().rss;
      const begunAt = performance.now();
      const { errors } = readSet({
        files: [{ path: PATH, text }],
        config: null,
        environment: null,
        strangers: by === "writer" ? [] : [PATH],
      });
      const tookMs = performance.now() - begunAt;
      const grown = (process.memoryUsage().rss - before) / 1e6;
      const said = errors[0]?.message.slice(0, 60) ?? "";
      say([name, `${length}`, by, `${tokens}`, tookMs.toFixed(0), grown.toFixed(0), said]);
    }
  }
}
process.exitCode = isWithin ? 0 : 1;
