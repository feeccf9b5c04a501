/** Prints the demo's own text, so that it stands apart from the output of the commands. */
import pc from "picocolors";

const TENTHS = 10;

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function heading(text: string): void {
  say(`\n${pc.bold(`── ${text} ${"─".repeat(Math.max(0, 76 - text.length))}`)}\n`);
}

/**
 * Progress of the demo's own work: one line that is redrawn on a terminal, a line for each 10 %
 * elsewhere.
 */
export function openProgress(
  what: string,
  total: number,
): { readonly update: (done: number) => void } {
  let tenth = 0;
  return {
    update: (done) => {
      const text = `${what}: ${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`;
      if (process.stdout.isTTY)
        return void process.stdout.write(`\r${text}${done >= total ? "\n" : ""}`);
      const reached = Math.floor((done / total) * TENTHS);
      if (reached > tenth) say(text);
      tenth = Math.max(tenth, reached);
    },
  };
}
