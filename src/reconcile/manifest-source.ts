/**
 * The desired state that a pass follows: the manifests at the head of the default branch, or where
 * no repository is read what was applied last.
 *
 * A head that has not moved costs one request, a 304; moved elsewhere costs the listing of the
 * folder; only files that changed are fetched. A set that is too large for one slice arrives over
 * several. One that nobody survives reading is given up: see reading-attempts.ts.
 */
import { type BlobCache, findManifests, type FoundFile } from "../github/find-manifests.ts";
import type { CommitRef, GithubFailure, GithubReader } from "../github/port.ts";
import type { GithubSettings } from "../github/settings.ts";
import type { ManifestError } from "../manifest/index.ts";
import { NoAnswer, type ReadSet, type SetReader } from "../manifest/read-set.ts";
import { canonicalJson, sha256Hex } from "../model/canonical.ts";
import { jsonPages } from "../model/json-pages.ts";
import type { PolicyFloors } from "../model/policy.ts";
import type { AppliedState } from "../runs/plan-book.ts";
import type { ManifestReading, ManifestSource } from "./ports.ts";
import { ReadingAttempts } from "./reading-attempts.ts";
import type { ReconcileDocuments } from "./state-store.ts";

/** Files that one slice fetches: far below what one invocation may ask. */
const FETCHES_MAX = 300;
/** Requests that a listing takes at most: the trees down to the folder, and the config. */
const LISTING_REQUESTS = 3;

/** The head that was read last, and the set of manifests it had. */
interface KnownHead {
  readonly place: string;
  readonly rootTreeSha: string;
  readonly setDigest: string;
}

type SourceSettings = Pick<
  GithubSettings,
  "environment" | "manifests" | "defaultBranch" | "repository"
> & { readonly floors: PolicyFloors };

export interface SourceParts {
  readonly blobs: BlobStore;
  readonly documents: ReconcileDocuments;
  readonly readSet: SetReader;
  readonly now: () => number;
}

export function createManifestSource(
  github: GithubReader,
  settings: SourceSettings,
  { blobs, documents, readSet, now }: SourceParts,
): ManifestSource {
  const attempts = new ReadingAttempts(documents, settings.environment, now);
  const { environment, defaultBranch, repository, manifests, floors } = settings;
  // Other floors make other specs of the same manifests.
  const held = floorsText(floors);
  const place = [repository.owner, repository.name, defaultBranch, manifests, ...held].join("\n");
  return {
    async read(knownDigest) {
      const head = await github.branchHead(defaultBranch);
      if (!head.ok) return explainHead(head.failure, settings);
      const known = documents.read<KnownHead>("head", environment);
      const isSame =
        known?.place === place &&
        known.rootTreeSha === head.value.treeSha &&
        known.setDigest === knownDigest &&
        !attempts.isDueAgain(known.setDigest);
      if (isSame) return { kind: "unchanged", requests: 1 };
      return readHead(head.value, knownDigest);
    },
  };

  async function readHead(commit: CommitRef, knownDigest: string | null): Promise<ManifestReading> {
    const found = await findManifests(github, commit, manifests, blobs, {
      fetchesMax: FETCHES_MAX,
    });
    const requests = 1 + LISTING_REQUESTS;
    if (!found.ok) {
      // Refused for what the branch holds, such as a link: the same again until it changes.
      if (found.failure.kind === "invalid")
        return {
          kind: "invalid",
          commit: commit.sha,
          treeSha: `refused ${commit.treeSha}`,
          errors: [found.failure.message],
          requests,
        };
      return {
        kind: "failed",
        message: found.failure.message,
        retryAt: found.failure.retryAt,
        requests,
      };
    }
    if (found.value.kind === "incomplete")
      return { kind: "incomplete", requests: requests + found.value.fetched };
    const { files, config } = found.value;
    const all = config === null ? files : [config, ...files];
    const setDigest = await digestFiles(all, [environment, ...held]);
    blobs.dropUnused();
    const head: KnownHead = { place, rootTreeSha: commit.treeSha, setDigest };
    documents.write("head", environment, head);
    if (setDigest === knownDigest && !attempts.isDueAgain(setDigest))
      return { kind: "unchanged", requests };
    return parse(files, config, commit, setDigest, requests);
  }

  async function parse(
    files: readonly FoundFile[],
    config: FoundFile | null,
    { sha }: CommitRef,
    treeSha: string,
    requests: number,
  ): Promise<ManifestReading> {
    if (attempts.isGivenUp(treeSha)) return { kind: "givenUp", treeSha, requests };
    attempts.begin(treeSha);
    let parsed: ReadSet;
    try {
      parsed = await readSet({ files, config, environment, commit: sha });
    } catch (error) {
      if (!(error instanceof NoAnswer)) {
        attempts.end(treeSha);
        throw error;
      }
      return attempts.isGivenUp(treeSha)
        ? { kind: "givenUp", treeSha, requests }
        : { kind: "failed", message: error.message, retryAt: null, requests };
    }
    attempts.end(treeSha);
    const errors = [...parsed.configErrors, ...parsed.errors].map(formatError);
    if (parsed.desired === null || errors.length > 0)
      return { kind: "invalid", commit: sha, treeSha, errors, requests };
    return { kind: "desired", commit: sha, treeSha, desired: parsed.desired, requests };
  }
}

function explainHead(
  { kind, message, retryAt }: GithubFailure,
  { defaultBranch }: SourceSettings,
): ManifestReading {
  if (kind === "notFound")
    return { kind: "absent", message: `the branch ${defaultBranch} is not there`, requests: 1 };
  return { kind: "failed", message, retryAt, requests: 1 };
}

/** Empty without floors, so that digests of before stay what they are. */
function floorsText(floors: PolicyFloors): readonly string[] {
  return Object.keys(floors).length === 0 ? [] : [canonicalJson(floors)];
}

/**
 * Over paths and contents, and the environment they are read for: another one has other overrides.
 */
async function digestFiles(files: readonly FoundFile[], place: readonly string[]): Promise<string> {
  const lines = [...place];
  for (const { path, text } of files)
    lines.push(`${path}\n${await sha256Hex(new Uint8Array(text))}`);
  return sha256Hex(JSON.stringify(lines));
}

function formatError({ file, line, column, message }: ManifestError): string {
  return `${file}:${line}:${column} ${message}`;
}

/**
 * @param newest the desired state that somebody has applied last; null when there is none.
 */
export function createAppliedSource(
  newest: (knownId: string | null) => AppliedState | "unchanged" | null,
  floors: PolicyFloors,
): ManifestSource {
  const held = floorsText(floors);
  return {
    async read(known) {
      const [idOf = null, ...under] = known?.split("\n") ?? [];
      const applied = newest(under.join("\n") === held.join("\n") ? idOf : null);
      if (applied === null || applied === "unchanged") return { kind: "unchanged", requests: 0 };
      const { id, desired } = applied;
      return {
        kind: "desired",
        commit: desired.commit,
        treeSha: [id, ...held].join("\n"),
        desired,
        requests: 0,
      };
    },
  };
}

const SCHEMA = `CREATE TABLE IF NOT EXISTS manifestBlobs (blobSha TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID`;

export class BlobStore implements BlobCache {
  readonly #sql: SqlStorage;
  #used = new Set<string>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(SCHEMA);
  }

  get(blobSha: string): Uint8Array | null {
    this.#used.add(blobSha);
    const row = this.#sql
      .exec<{ body: ArrayBuffer }>("SELECT body FROM manifestBlobs WHERE blobSha = ?", blobSha)
      .toArray()[0];
    return row ? new Uint8Array(row.body) : null;
  }

  set(blobSha: string, bytes: Uint8Array): void {
    this.#used.add(blobSha);
    this.#sql.exec("INSERT OR IGNORE INTO manifestBlobs VALUES (?, ?)", blobSha, bytes);
  }

  /** Drops what was not asked for since the last call: call when a whole set was read. */
  dropUnused(): void {
    const stored = this.#sql.exec<{ blobSha: string }>("SELECT blobSha FROM manifestBlobs");
    const unused = stored.toArray().filter(({ blobSha }) => !this.#used.has(blobSha));
    for (const page of jsonPages(unused.map(({ blobSha }) => blobSha)))
      this.#sql.exec(
        "DELETE FROM manifestBlobs WHERE blobSha IN (SELECT value FROM json_each(?))",
        page,
      );
    this.#used = new Set();
  }
}
