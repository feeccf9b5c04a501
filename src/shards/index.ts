/** The Durable Object library: `shardctl/durable-object`. */
export { ShardHost, type ShardHostOptions } from "./shard-host.ts";
export { ShardedObject } from "./sharded-object.ts";
export { ThingsObject } from "./things-object.ts";
export type { Json, JsonObject, ObjectEntry, Relationship, RelationshipInput, Thing, ThingInput } from "./things.ts";
export type {
  RebalanceOptions,
  RebalanceOutcome,
  ShardEndpoint,
  ShardHealth,
  ShardOptions,
  ShardOutcome,
  ShardRegistry,
  ShardStats,
} from "./shard-request.ts";
export type { Aggregation, QueryShards, QueryShardsResult, ShardResult } from "./query-shards.ts";
export type { TableSpec } from "./tables.ts";
export type { RegistryEntry, StoredEvent } from "./journal.ts";
export { RefusedError } from "./refused-error.ts";
export type { ObjectNamespace } from "./platform.ts";
export type { Envelope, ProtocolFailure, ProtocolReply } from "../core/protocol.ts";
export type { Partitioner, Partitioners } from "../core/layout.ts";
export type { Key, KeyInput } from "../core/key.ts";
