// npm run model -- [swap|shift|fence|fan-out|all] [--quick] [--variant NAME] [--list]
//
// Searches the specified protocols, then every weakened variant, and prints what it found; exits
// with 1 when a specified protocol has a violation or a variant has none. Without --quick it takes
// some minutes and up to 1 GB.
import { parseArgs } from "node:util";
import {
  listSpecifications,
  listVariants,
  PROTOCOLS,
  type Specification,
  type WeakenedVariant,
} from "./checks.ts";
import { RULES, type Rule } from "./rules.ts";
import type { SearchResult } from "./search.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    variant: { type: "string" },
    list: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});
const wanted = positionals[0] ?? "all";

if (!["all", ...PROTOCOLS].includes(wanted)) {
  console.error(`unknown protocol '${wanted}': use ${PROTOCOLS.join(", ")} or all`);
  process.exitCode = 1;
} else if (values.list) printList();
else
  process.exitCode = (values.variant === undefined ? runAll() : runNamed(values.variant)) ? 0 : 1;

function isWanted(of: { readonly protocol: string }): boolean {
  return wanted === "all" || of.protocol === wanted;
}

function printList(): void {
  for (const { protocol, name, says } of listSpecifications().filter(isWanted))
    console.log(`${protocol} ${name}: ${says}`);
  for (const { protocol, name, rule, says } of listVariants().filter(isWanted))
    console.log(`${protocol} --variant ${name} [${rule}]: ${says}`);
  for (const rule of Object.keys(RULES) as Rule[]) console.log(`[${rule}] ${RULES[rule]}`);
}

function runAll(): boolean {
  const specified = listSpecifications().filter(isWanted).map(runSpecification);
  const weakened = listVariants().filter(isWanted).map(runVariant);
  const caught = weakened.filter(Boolean).length;
  console.log(
    `specified protocols without violation: ${specified.filter(Boolean).length} of ${specified.length} situations; weakened variants caught: ${caught} of ${weakened.length}`,
  );
  return specified.every(Boolean) && weakened.every(Boolean);
}

function runNamed(name: string): boolean {
  const variants = listVariants().filter((variant) => isWanted(variant) && variant.name === name);
  if (variants.length === 0) console.error(`no variant '${name}': --list shows them`);
  return variants.length > 0 && variants.map(runVariant).every(Boolean);
}

function runSpecification({ protocol, name, says, run }: Specification): boolean {
  console.log(`\n${protocol} ${name}: ${says}`);
  const quick = run("quick");
  printResult("small bounds, every state can still end", quick);
  if (values.quick || quick.violation !== undefined) return quick.violation === undefined;
  const full = run("full");
  printResult("full bounds", full);
  return full.violation === undefined;
}

function runVariant({ protocol, name, rule, says, run }: WeakenedVariant): boolean {
  console.log(`\n${protocol} without [${rule}] (${name}): ${says}`);
  const result = run();
  printResult("weakened", result);
  return result.violation !== undefined;
}

function printResult(
  what: string,
  { states, ended, depth, complete, violation }: SearchResult,
): void {
  const extent =
    violation === undefined
      ? complete
        ? "complete within its bounds"
        : "stopped at the limit of states"
      : "stopped at the violation";
  console.log(
    `  ${what}: ${states.toLocaleString("en")} states, ${ended.toLocaleString("en")} of them ended, depth ${depth}, ${extent}`,
  );
  console.log(
    violation === undefined
      ? "  no violation"
      : `  VIOLATION after ${violation.trace.length} steps: ${violation.what}`,
  );
  violation?.trace.forEach((step, at) => console.log(`    ${String(at + 1).padStart(2)}. ${step}`));
}
