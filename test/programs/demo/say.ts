/** Prints the demo's own text, so that it stands apart from the output of the commands. */
import pc from "picocolors";

let lines = 0;

export function say(text: string): void {
  lines += text.split("\n").length;
  process.stdout.write(`${text}\n`);
}

/** Lines so far. */
export function printedLines(): number {
  return lines;
}

export function heading(text: string): void {
  say(`\n${pc.bold(`── ${text} ${"─".repeat(Math.max(0, 76 - text.length))}`)}`);
}

/** Progress of the demo's own work: one line that is redrawn on a terminal, its end elsewhere. */
export function openProgress(
  what: string,
  total: number,
): { readonly update: (done: number) => void } {
  return {
    update: (done) => {
      const text = `${what}: ${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`;
      if (done >= total) say(process.stdout.isTTY ? `\r${text}` : text);
      else if (process.stdout.isTTY) process.stdout.write(`\r${text}`);
    },
  };
}
