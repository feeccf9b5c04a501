/**
 * Renders an alert as a Slack-compatible message. `blocks` are plain text, which Slack shows
 * unchanged; `text` is for notifications, and for other chats that accept Slack's format without
 * blocks. No text in it can mention people, create a link or end a mark.
 */
import type { Drift } from "../model/drift.ts";
import { formatCount } from "../model/figures.ts";
import { assertNever } from "../model/result.ts";
import { type AlertMessage, countDrifts, shortName } from "./alert-message.ts";
import { placeOf } from "../render/drift-text.ts";
import { clipText } from "../render/fit-items.ts";
import { printable, shorten } from "../render/printable.ts";

export interface ChatMessage {
  readonly text: string;
  readonly blocks: readonly ChatBlock[];
}

export interface ChatBlock {
  readonly type: "header" | "section" | "context";
  readonly text?: { readonly type: "plain_text"; readonly text: string; readonly emoji: false };
  readonly elements?: readonly {
    readonly type: "plain_text";
    readonly text: string;
    readonly emoji: false;
  }[];
}

/** Slack takes 50 blocks, 150 characters in a header and 3,000 in a section. */
const DRIFTS_MAX = 20;
const HEADER_LENGTH_MAX = 150;
const SECTION_LENGTH_MAX = 2900;
const ZERO_WIDTH_SPACE = "\u200B";

/** @param issueUrl the alert's issue, when there is one. */
export function renderAlertChat(message: AlertMessage, issueUrl: string | null): ChatMessage {
  const title = titleOf(message);
  const listed = message.drifts.slice(0, DRIFTS_MAX);
  const hidden = message.driftCount - listed.length;
  const more = hidden > 0 ? [`… and ${formatCount(hidden)} more`] : [];
  const link = issueUrl !== null && /^https?:\/\/[^\s<>|"]+$/.test(issueUrl) ? [issueUrl] : [];
  const lines = [title, ...listed.map((drift) => `• ${describeDrift(drift)}`), ...more];
  return {
    text: [...lines.map(escapeChat), ...link].join("\n"),
    blocks: [
      { type: "header", text: plain(title, HEADER_LENGTH_MAX) },
      ...listed.map((drift): ChatBlock => {
        const detail = drift.detail === null ? [] : [printable(clipText(drift.detail))];
        const remedy = printable(clipText(drift.remedy.replaceAll("`", "")));
        return {
          type: "section",
          text: plain(
            [describeDrift(drift), ...detail, `→ ${remedy}`].join("\n"),
            SECTION_LENGTH_MAX,
          ),
        };
      }),
      ...[...more, ...link].map((text): ChatBlock => ({
        type: "context",
        elements: [plain(text, SECTION_LENGTH_MAX)],
      })),
    ],
  };
}

function titleOf(message: AlertMessage): string {
  const name = shortName(message.environment);
  switch (message.cause) {
    case "drift":
      return `shardctl: ${name} has drifted, ${countDrifts(message)}`;
    case "clean":
      return `shardctl: ${name} matches its manifests again`;
    case "retired":
      return `shardctl: ${name} is not reconciled here any more`;
    default:
      return assertNever(message.cause);
  }
}

function describeDrift(drift: Drift): string {
  return `${drift.kind} · ${printable(clipText(placeOf(drift)))}: ${printable(clipText(drift.reason))}`;
}

function plain(
  text: string,
  lengthMax: number,
): { readonly type: "plain_text"; readonly text: string; readonly emoji: false } {
  return { type: "plain_text", text: shorten(text, lengthMax), emoji: false };
}

/**
 * Slack's three entities, and a space without width where other chats would see a mention, a link
 * or a mark.
 */
function escapeChat(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replace(/[@#!\]*~`]|:\/\//g, (mark) => mark + ZERO_WIDTH_SPACE);
}
