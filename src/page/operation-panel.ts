/**
 * Renders a running operation: its steps, its progress, and the estimated time left with its
 * basis.
 */
import { formatBytes, formatCount, formatQuantity, formatShare } from "../model/figures.ts";
import { STEPS, type Step } from "../model/operation.ts";
import { describeRows, operationProgress } from "../render/describe.ts";
import { formatDuration } from "../render/time.ts";
import { mark, type Markup, markup, moment } from "./html/markup.ts";
import type { OperationView } from "./page-data.ts";

const STEP_WORDS: Readonly<Record<Step, string>> = {
  prepare: "prepare",
  copy: "copy",
  verify: "verify",
  fence: "fence",
  cutover: "cut over",
  activate: "activate",
  cleanUp: "clean up",
};
/** Below this an estimate says nothing. */
const PROGRESS_MIN = 0.05;
const ELAPSED_MIN_MS = 1000;
const PROGRESS_TOTAL = 1000;

export function operationPanel(operation: OperationView, label: string): Markup {
  const share = operationProgress(operation);
  const facts: readonly (readonly [string, Markup])[] = [
    [
      "Copied",
      markup`${describeRows(operation, operation.rowsCopied, "")}, ${formatBytes(operation.bytesCopied)}`,
    ],
    ["Verified", markup`${formatQuantity(operation.rowsVerified, "row")}`],
    ...(operation.waves > 0
      ? [
          [
            "Wave",
            markup`${formatCount(operation.wave)} of ${formatCount(operation.waves)}`,
          ] as const,
        ]
      : []),
    ["Time left", markup`${describeEta(operation)}`],
    ["Write pause", markup`${describeWritePause(operation)}`],
    ["Started", markup`${moment(operation.startedAt)} by ${operation.requestedBy}`],
    [
      "Epoch",
      markup`${operation.epoch === operation.epochFrom ? formatCount(operation.epoch) : `${formatCount(operation.epochFrom)} → ${formatCount(operation.epoch)}`}`,
    ],
  ];
  return markup`<div class="operation">
${pauseNote(operation)}<p class="progress"><progress max="${PROGRESS_TOTAL}" value="${Math.floor(share * PROGRESS_TOTAL)}" aria-label="${label}"></progress> <strong>${formatShare(share, 1)}</strong></p>
${stepList(operation)}
<dl class="facts">${facts.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
${operation.lastError === null ? null : markup`<p class="warning">${mark("!")} Retrying, ${formatQuantity(operation.retries, "time")} so far. Last error: ${operation.lastError}</p>`}
</div>`;
}

/** Why it is paused; null while it is not. */
function pauseNote({ paused }: OperationView): Markup | null {
  if (paused === null) return null;
  return markup`<p class="warning paused">${mark("❚❚")} <strong>Paused: ${paused.reason}</strong> <span class="quiet">by ${paused.by}, since ${moment(paused.since)}. Reads and writes continue.</span></p>
`;
}

/** The step in words, for a line. */
export function describeStep({
  step,
  wave,
  waves,
  paused,
}: Pick<OperationView, "step" | "wave" | "waves" | "paused">): string {
  const place =
    waves > 1
      ? `${STEP_WORDS[step]}, wave ${formatCount(wave)} of ${formatCount(waves)}`
      : STEP_WORDS[step];
  return paused === null ? place : `paused in ${place}`;
}

/** How long writes to what moved had to wait, at most. */
export function describeWritePause({ writePauseMs }: Pick<OperationView, "writePauseMs">): string {
  if (writePauseMs === null) return "none so far";
  const { last, max } = writePauseMs;
  const longest = `at most ${formatDuration(max)}`;
  return last === max ? longest : `${longest}; ${formatDuration(last)} the last time`;
}

export function stepWord(step: Step): string {
  return STEP_WORDS[step];
}

function stepList({ step, mode, waves, paused }: OperationView): Markup {
  const at = STEPS.indexOf(step);
  const items = STEPS.map((one, index) => {
    const [state, sign, words] =
      index < at
        ? ["done", "✓", "done"]
        : index > at
          ? ["next", "○", "to come"]
          : paused === null
            ? ["now", "●", "now"]
            : ["now", "❚❚", "now, paused"];
    const current = index === at ? markup` aria-current="step"` : null;
    return markup`<li class="${state}"${current}>${mark(sign)} ${STEP_WORDS[one]}<span class="hidden"> (${words})</span></li>`;
  });
  const note =
    mode === "shift" && waves > 1
      ? markup`<p class="quiet">Fence, cut over and activate repeat for each wave.</p>`
      : null;
  return markup`<ol class="steps">${items}</ol>${note}`;
}

/**
 * From what the operation itself has counted, at the average pace since it started. It is as old as
 * the operation's last sign of life, so that two looks at the same state say the same.
 */
export function describeEta(operation: OperationView): string {
  const share = operationProgress(operation);
  const elapsedMs = operation.updatedAt - operation.startedAt;
  if (operation.paused !== null) return "not while it is paused";
  if (share >= 1) return "rows are copied and verified; what is left takes no rows";
  if (share < PROGRESS_MIN || elapsedMs < ELAPSED_MIN_MS)
    return "not known yet: too little is done to estimate it";
  const leftMs = (elapsedMs * (1 - share)) / share;
  const pace = formatCount(((operation.rowsCopied + operation.rowsVerified) / elapsedMs) * 1000);
  return `about ${formatDuration(leftMs)}, at the average rate so far: ${pace} rows read a second for ${formatDuration(elapsedMs)}`;
}
