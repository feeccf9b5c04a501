/** Names of the library's private tables, indexes and triggers, by how they begin. */
export const PRIVATE_PREFIX = "shardctl_";
export const STAGE_PREFIX = "shardctl_stage_";
/** Indexes of staging tables; no staging table begins like this. */
export const POSITION_PREFIX = "shardctl_position_";
export const WRITE_BLOCK_PREFIX = "shardctl_guard_";
/** Tables that hold the rows of a member that has retired. */
export const RETIRED_PREFIX = "shardctl_retired_";
/** Tables that hold the rows that a repair has set aside. */
export const ASIDE_PREFIX = "shardctl_aside_";
export const CAPTURE_PREFIX = "shardctl_capture_";
/** Triggers that keep ids unique. */
export const UNIQUE_PREFIX = "shardctl_unique_";
/** Triggers that refuse rows of other members. */
export const OWNED_PREFIX = "shardctl_owned_";
