/** The Durable Object library: `shardctl/durable-object`. */
export { ShardHost, type ShardHostOptions } from "./host/shard-host.ts";
export type { Migration } from "./host/migrations.ts";
export { ShardedObject } from "./host/sharded-object.ts";
export { ThingsObject } from "./things/things-object.ts";
export type {
  Json,
  JsonObject,
  ObjectEntry,
  Relationship,
  RelationshipInput,
  Thing,
  ThingInput,
} from "./things/things.ts";
export type {
  RebalanceOptions,
  RebalanceOutcome,
  ShardEndpoint,
  ShardHealth,
  ShardOptions,
  ShardOutcome,
  ShardRegistry,
  ShardStats,
} from "./host/shard-request.ts";
export type {
  Aggregation,
  QueryShards,
  QueryShardsResult,
  ShardResult,
} from "./client/query-shards.ts";
export type { TableSpec } from "./storage/tables.ts";
export type { RegistryEntry, StoredEvent } from "./root/journal.ts";
export { RefusedError } from "./protocol/refused-error.ts";
export type { ObjectNamespace } from "./platform/home.ts";
export type { ProtocolFailure } from "../model/wire/protocol-failure.ts";
export type { Envelope, ProtocolReply } from "../model/wire/protocol.ts";
export type { Partitioner, Partitioners } from "../model/layout/partitioners.ts";
export type { Key, KeyInput } from "../model/layout/key.ts";
