/** Declares what the coordinator answers about the status page. */
import type { NamespaceRef } from "../model/live.ts";
import type { NamespacePageFacts, OverviewFacts, OverviewRequest } from "./namespace-facts.ts";
import type { RunView } from "./page-data.ts";
import type { Looked } from "./sights-store.ts";

export interface PageCalls {
  /** What is known for the status page; no namespace is asked. */
  readOverview(request: OverviewRequest): Promise<OverviewFacts>;
  /** Null when the namespace is not known in that environment. */
  readNamespacePage(environment: string | null, ref: NamespaceRef): Promise<NamespacePageFacts | null>;
  readRunViews(ids: readonly string[]): Promise<RunView[]>;
  /** Keeps what namespaces answered when they were asked for the status page. */
  noteLooks(looks: readonly Looked[]): Promise<void>;
}
