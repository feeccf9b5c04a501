/**
 * `shardctl import --state`: sends a file of the Worker's own state, shows what would be taken
 * over, asks, and has exactly that taken over.
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import { renderImportReport } from "../render/import-text.ts";
import type { ApiClient } from "./api-client.ts";
import { confirm } from "./confirm.ts";
import { EXIT } from "./exit-codes.ts";
import { type CliFailure, type CliResult, fail } from "./failure.ts";
import { reasonOf } from "./manifest-files.ts";
import type { Outcome, Session } from "./session.ts";
import { readStateDocument, sendStateDocument } from "./state-document.ts";

const WORDS = {
  question: "Do you want to import this? Only 'yes' is accepted: ",
  nothing: "Nothing was imported",
};

/** Consent that the user gave beforehand. */
export interface ImportConsent {
  readonly isApproved: boolean;
  /** The file may be another Worker's. */
  readonly acceptsOther: boolean;
}

export async function importState(
  session: Session,
  api: ApiClient,
  path: string,
  { isApproved, acceptsOther }: ImportConsent,
): Promise<CliResult<Outcome>> {
  const text = await readText(session, path);
  if (!text.ok) return text;
  const document = readStateDocument(path, text.value);
  if (!document.ok) return document;
  const sent = await sendStateDocument(api, document.value, acceptsOther);
  if (!sent.ok) return sent;
  const shown = await api.importReport(sent.value);
  if (!shown.ok) return shown;
  const report = shown.value;
  session.show(renderImportReport(report));
  if (report.obstacles.length > 0) {
    const lines = report.obstacles.map((obstacle) => `  ${obstacle}`).join("\n");
    return fail("blocked", `Nothing was imported, because of this:\n${lines}`, null, { report });
  }
  if (!isApproved) {
    const confirmed = await confirm(session, WORDS, "Read it, then import it with --auto-approve.");
    if (!confirmed.ok) return confirmed;
  }
  const applied = await api.applyImport(report.id, report.fingerprint);
  if (!applied.ok) return { ok: false, failure: withWayOut(applied.failure, path) };
  session.say("Imported. The next tick looks at everything; see: shardctl drift --now");
  return { ok: true, value: { exitCode: EXIT.done, json: { imported: applied.value } } };
}

async function readText({ host }: Session, path: string): Promise<CliResult<string>> {
  try {
    return { ok: true, value: await readFile(resolve(host.cwd, path), "utf8") };
  } catch (error) {
    return fail("file", `Cannot read ${path}: ${reasonOf(error)}.`);
  }
}

/** Plans of manifests are not what is meant here. */
function withWayOut(failure: CliFailure, path: string): CliFailure {
  return failure.kind === "stalePlan" || failure.kind === "blocked"
    ? { ...failure, hint: `Look again: shardctl import --state ${path}` }
    : failure;
}
