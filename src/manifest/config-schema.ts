/** The schema of `shardctl.yaml`. It names where tokens are found and refuses to hold one. */
import * as z from "zod";

import * as fields from "./fields.ts";
import { API_VERSION } from "./namespace-schema.ts";

export const CONFIG_KIND = "Config";
export const DEFAULT_MANIFESTS_FOLDER = "manifests";
export const DEFAULT_TOKEN_VARIABLE = "SHARDCTL_TOKEN";

/** The folder without its trailing slash, or null when it is not a folder below the config. */
export function relativeFolder(text: string): string | null {
  const folder = text.replace(/^(?:\.\/)+/u, "").replace(/\/+$/u, "");
  const parts = folder === "" || folder === "." ? [] : folder.split("/");
  const isBelow = !/[\p{Cc}\\]/u.test(text) && !text.startsWith("/") && !/^[A-Za-z]:/u.test(text);
  if (text === "" || !isBelow || parts.some((part) => part === "" || part === "..")) return null;
  return parts.length === 0 ? "." : folder;
}

/** The address without its trailing slash, or null when a token must not be sent there. */
export function endpointAddress(text: string): string | null {
  if (!URL.canParse(text) || /\s/u.test(text)) return null;
  const url = new URL(text);
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLocal)) return null;
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    return null;
  return url.href.replace(/\/+$/u, "");
}

const endpoint = fields
  .textThat(
    `must be an https address (http for this machine only) without user, query or fragment${fields.WHY}` +
      'write for example "https://shardctl.example.workers.dev"',
    (text) => endpointAddress(text) !== null,
  )
  .meta({
    description: "Address of the Worker that runs shardctl.",
    examples: ["https://shardctl.example.workers.dev", "http://127.0.0.1:8787"],
  });

const tokenVariable = fields
  .textThat(
    `must be the name of an environment variable that begins with SHARDCTL_, such as ${DEFAULT_TOKEN_VARIABLE}${fields.WHY}no other is sent, and a token itself never belongs in this file`,
    /^SHARDCTL_[A-Z0-9_]{1,55}$/u,
  )
  .meta({
    description: `Name of the environment variable that holds the token; begins with SHARDCTL_. Default ${DEFAULT_TOKEN_VARIABLE}.`,
    examples: [DEFAULT_TOKEN_VARIABLE],
  });

const environmentSchema = z
  .strictObject(
    { endpoint, tokenVariable: tokenVariable.optional() },
    { error: "must be a map with endpoint" },
  )
  .meta({ description: "One Worker, and the live state behind it." });

export const configSchema = z
  .strictObject({
    apiVersion: z
      .literal(API_VERSION, { error: `must be ${API_VERSION}` })
      .meta({ description: "Version of this format." }),
    kind: z
      .literal(CONFIG_KIND, { error: `must be ${CONFIG_KIND}` })
      .meta({ description: "What this document is." }),
    manifests: fields
      .textThat(
        `must be a folder below this file, with / between names${fields.WHY}write for example "manifests"`,
        (text) => relativeFolder(text) !== null,
      )
      .optional()
      .meta({
        description: `Folder of the manifests, relative to this file. Default ${DEFAULT_MANIFESTS_FOLDER}.`,
        examples: ["manifests"],
      }),
    environments: z
      .record(
        z.string().regex(fields.ENVIRONMENT_NAME, { error: fields.ENVIRONMENT_EXPECTED }),
        environmentSchema,
        {
          error: "must be a map from names of environments to their endpoints",
        },
      )
      .optional()
      .meta({
        description: "Environments by name.",
        examples: [{ production: { endpoint: "https://shardctl.example.workers.dev" } }],
      }),
    defaultEnvironment: z
      .string({ error: "must be the name of one of the environments" })
      .optional()
      .meta({
        description: "The environment that commands use without -e.",
        examples: ["production"],
      }),
  })
  .meta({
    title: "shardctl config",
    description: "The manifests folder and the environments.",
  });

export type RawConfig = z.infer<typeof configSchema>;
