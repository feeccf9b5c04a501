/** The facts that the status page asks the coordinator for, as they travel between the two. */
import type { HistoryEvent } from "../model/event.ts";
import type { NamespaceSpec } from "../model/spec.ts";
import type { VisibleNames } from "../model/token-scope.ts";
import type {
  MemberView,
  NamespaceView,
  Overview,
  StateFilter,
  Surroundings,
} from "./page-data.ts";

export interface OverviewRequest {
  /** Null: the first. */
  readonly environment: string | null;
  readonly search: string;
  readonly state: StateFilter | null;
  /** 1-based; past the end is the last. */
  readonly page: number;
  /** Names that the viewer may see; null for everything. */
  readonly visible: VisibleNames | null;
}

/** A namespace as the coordinator knows it, and how fresh that is. */
export interface NamespaceFacts {
  readonly view: NamespaceView;
  /** When the namespace was last asked; 0 when that is to be done again. */
  readonly askedAt: number;
  /** True when `view.running` comes from a run, which follows the operation itself. */
  readonly isFollowed: boolean;
  /** Why it could not be read the last time. */
  readonly problem: string | null;
}

export interface OverviewFacts extends Omit<Overview, "namespaces"> {
  readonly namespaces: readonly NamespaceFacts[];
}

export interface NamespacePageFacts extends Surroundings {
  readonly facts: NamespaceFacts;
  readonly spec: NamespaceSpec | null;
  readonly members: readonly MemberView[];
  readonly events: readonly HistoryEvent[];
}
