/**
 * `/v1/reviews`: which plan was shown in which pull request, and releasing one that had moved.
 *
 * A workflow may say so for its own pull request only. What it shows elsewhere, such as after a
 * merge, is kept to be released by a person, and never makes a plan reviewed by itself: otherwise
 * the job that applies could review its own plan.
 */
import {
  RELEASE_AGE_MAX_MS,
  type ReleaseRequest,
  type Review,
  type ReviewList,
  type ReviewReceipt,
  type ReviewRequest,
} from "../../model/review.ts";
import { pullOfRef } from "../access/actions-identity.ts";
import type { RequireRole } from "../access/authorize.ts";
import type { Api, ApiContext } from "../context.ts";
import { unknownPlan } from "../../runs/make-plan.ts";
import { RefusedRequest } from "../../model/refused-request.ts";
import { limitBody, readBody, readNumber } from "../read-request.ts";
import { releaseRequestSchema, reviewRequestSchema } from "../schemas.ts";
import { type Caller, hasRole } from "../access/tokens.ts";

const LIST_LIMIT = { min: 1, max: 1000, fallback: 50 };
/** Reviews whose plans are compared with a token's scope in one call. */
const JUDGED_AT_ONCE = 100;
const ANY = 0;
const PULL_MAX = 2_147_483_647;

/**
 * Events that a person causes by an act of their own on the default branch. A push is not one: it
 * is what is to be checked.
 */
const RELEASE_EVENTS: ReadonlySet<string> = new Set(["issue_comment", "workflow_dispatch"]);

export function addReviewRoutes(api: Api, requireRole: RequireRole): void {
  api.put("/v1/reviews", requireRole("plan", "checked"), limitBody(), async (context) => {
    const request = await readBody(context, reviewRequestSchema);
    await context.var.scope.requirePlan(request.fingerprint);
    await refuseOthersReview(context, request);
    return context.json<ReviewReceipt>(await storeReview(context, request));
  });

  api.get("/v1/reviews", requireRole("read", "checked"), async (context) => {
    const limit = readNumber(context, "limit", LIST_LIMIT);
    const pull = readNumber(context, "pull", { min: 1, max: PULL_MAX, fallback: ANY });
    const filter = {
      environment: context.req.query("environment") ?? null,
      pull: pull === ANY ? null : pull,
    };
    const reviews = await listReviews(context, filter, limit);
    return context.json<ReviewList>({ reviews, postedBy: postedBy(context, filter.environment) });
  });

  api.put(
    "/v1/reviews/:pull/release",
    requireRole("apply", "checked"),
    limitBody(),
    async (context) => {
      const pull = readPull(context.req.param("pull"));
      const request = await readBody(context, releaseRequestSchema);
      await context.var.scope.requirePlan(request.fingerprint);
      return context.json<Review>(await releasePlan(context, pull, request));
    },
  );
}

/** The newest review of a pull request counts: a token may not replace one of other namespaces. */
async function refuseOthersReview(
  { var: { coordinator, scope } }: ApiContext,
  { fingerprint, pull }: ReviewRequest,
): Promise<void> {
  if (scope.isEverything) return;
  const environment = await coordinator.plans.environmentOf(fingerprint);
  if (environment === null) return;
  const [newest] = await coordinator.reviewsStore.list({ environment, pull }, 1);
  const [isSeen] = newest === undefined ? [true] : await scope.seesPlans([newest.fingerprint]);
  if (isSeen !== true)
    throw scope.refuse(`all namespaces that pull request #${pull} was shown a plan of`);
}

/** Reviews whose plans the caller may see. */
async function listReviews(
  { var: { coordinator, scope } }: ApiContext,
  filter: { readonly environment: string | null; readonly pull: number | null },
  limit: number,
): Promise<Review[]> {
  if (scope.isEverything) return coordinator.reviewsStore.list(filter, limit);
  const all = await coordinator.reviewsStore.list(filter, LIST_LIMIT.max);
  const found: Review[] = [];
  for (let at = 0; at < all.length && found.length < limit; at += JUDGED_AT_ONCE) {
    const page = all.slice(at, at + JUDGED_AT_ONCE);
    const seen = await scope.seesPlans(page.map(({ fingerprint }) => fingerprint));
    found.push(...page.filter((_, index) => seen[index] === true));
  }
  return found.slice(0, limit);
}

async function storeReview(context: ApiContext, request: ReviewRequest): Promise<ReviewReceipt> {
  const { coordinator, caller } = context.var;
  const counts = caller.actions === null || pullOfRef(caller.actions.ref) === request.pull;
  if (!counts && !hasRole(caller.role, "apply")) {
    throw new RefusedRequest(
      "forbidden",
      `A workflow on ${caller.actions?.ref} may not say what pull request #${request.pull} was shown: only a workflow of that pull request may (refs/pull/${request.pull}/merge).`,
    );
  }
  const shown = { ...request, requestedBy: caller.name, reviewedAt: Date.now() };
  const review = await coordinator.reviews.put(shown, counts);
  if (!review) throw unknownPlan(request.fingerprint);
  const poster = postedBy(context, review.environment);
  // The Worker looks at the pull request itself: of two jobs that overtook each other, only one is
  // about its head.
  if (poster === "worker")
    await coordinator.pullWork.queue([{ kind: "pull", pull: review.pull, again: false }]);
  return { review, postedBy: poster };
}

function postedBy(context: ApiContext, environment: string | null): ReviewReceipt["postedBy"] {
  const { github } = context.var.settings;
  return github?.posts && github.environment === environment ? "worker" : "caller";
}

async function releasePlan(
  context: ApiContext,
  pull: number,
  request: ReleaseRequest,
): Promise<Review> {
  const { coordinator, caller } = context.var;
  const { actions } = caller;
  if (actions !== null && !RELEASE_EVENTS.has(actions.eventName)) {
    throw new RefusedRequest(
      "forbidden",
      `A workflow may release a plan when a person asks for it (${[...RELEASE_EVENTS].join(" or ")}), not on ${actions.eventName}.`,
    );
  }
  if (actions !== null && actions.actor !== request.releasedBy) {
    throw new RefusedRequest(
      "forbidden",
      `The workflow was started by ${actions.actor}, so only they can have released the plan.`,
    );
  }
  const { fingerprint, overrides } = request;
  const environment = await coordinator.plans.environmentOf(fingerprint);
  if (environment === null) throw unknownPlan(fingerprint);
  const releasedAt = Date.now();
  const release = {
    releasedBy: nameReleaser(caller, request.releasedBy),
    releasedAt,
    expiresAt: releasedAt + RELEASE_AGE_MAX_MS,
    overrides,
  };
  const review = await coordinator.reviews.release({ environment, pull, fingerprint }, release);
  if (review) return review;
  throw new RefusedRequest(
    "notReviewed",
    `Plan ${fingerprint} was never shown in pull request #${pull}, so it cannot be released there. Release one that was: GET /v1/reviews?pull=${pull} lists them.`,
  );
}

/** With the name of the token, whoever its holder says that they are. */
function nameReleaser({ name, actions }: Caller, releasedBy: string): string {
  return actions !== null || releasedBy === name ? releasedBy : `${name} (${releasedBy})`;
}

function readPull(text: string): number {
  const pull = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Number.NaN;
  if (pull <= PULL_MAX) return pull;
  throw new RefusedRequest("invalid", `'${text}' is not the number of a pull request.`);
}
