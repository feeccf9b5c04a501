import { describe, expect, it } from "vitest";

import {
  formatErrors,
  initialConfig,
  initialManifest,
  parseConfig,
  parseManifests,
} from "../../src/manifest/index.ts";

const HEADER = "apiVersion: shardctl.dev/v1\nkind: Config\n";
const PRODUCTION =
  "environments:\n  production:\n    endpoint: https://shardctl.example.workers.dev/\n";

const parse = (text: string): ReturnType<typeof parseConfig> =>
  parseConfig({ path: "shardctl.yaml", text });

describe("parseConfig", () => {
  it("reads every option", () => {
    const text = `${HEADER}manifests: ./deploy/shards/\n${PRODUCTION}    tokenVariable: SHARDCTL_PRODUCTION_TOKEN\n  local: { endpoint: "http://127.0.0.1:8787" }\ndefaultEnvironment: local\n`;
    expect(parse(text)).toEqual({
      config: {
        manifests: "deploy/shards",
        environments: {
          production: {
            endpoint: "https://shardctl.example.workers.dev",
            tokenVariable: "SHARDCTL_PRODUCTION_TOKEN",
          },
          local: { endpoint: "http://127.0.0.1:8787", tokenVariable: "SHARDCTL_TOKEN" },
        },
        defaultEnvironment: "local",
      },
      errors: [],
    });
  });

  it("has defaults: the folder manifests, the only environment, none", () => {
    expect(parse(HEADER).config).toEqual({
      manifests: "manifests",
      environments: {},
      defaultEnvironment: null,
    });
    expect(parse(HEADER + PRODUCTION).config).toMatchObject({ defaultEnvironment: "production" });
    expect(
      parse(`${HEADER + PRODUCTION}  local: { endpoint: http://localhost:1 }\n`).config,
    ).toMatchObject({
      defaultEnvironment: null,
    });
    expect(parse(`${HEADER}manifests: .\n`).config).toMatchObject({ manifests: "." });
  });

  const BAD: readonly (readonly [name: string, text: string])[] = [
    ["empty", "# nothing\n"],
    ["namespace-instead", "apiVersion: shardctl.dev/v1\nkind: Namespace\n"],
    ["two-documents", `${HEADER}---\n${HEADER}`],
    ["folder-outside", `${HEADER}manifests: ../other\n`],
    ["folder-absolute", `${HEADER}manifests: /etc\n`],
    ["folder-backslash", `${HEADER}manifests: a\\b\n`],
    ["endpoint-missing", `${HEADER}environments:\n  production: {}\n`],
    [
      "endpoint-plain-http",
      `${HEADER}environments:\n  production: { endpoint: "http://shardctl.example.com" }\n`,
    ],
    [
      "endpoint-no-address",
      `${HEADER}environments:\n  production: { endpoint: shardctl.example.com }\n`,
    ],
    [
      "endpoint-with-password",
      `${HEADER}environments:\n  production: { endpoint: "https://me:hunter2@shardctl.example.com" }\n`,
    ],
    ["token-pasted", `${HEADER}${PRODUCTION}    tokenVariable: sk_hunter2_hunter2\n`],
    ["token-key", `${HEADER}${PRODUCTION}    token: hunter2\n`],
    ["default-unknown", `${HEADER}${PRODUCTION}defaultEnvironment: prodution\n`],
    ["default-without-environments", `${HEADER}defaultEnvironment: production\n`],
    ["unknown-key", `${HEADER}environment: {}\nmanifest: manifests\n`],
    ["environments-list", `${HEADER}environments: [production]\n`],
    ["not-yaml", `${HEADER}environments: [production\n`],
    ["binary", "\0"],
  ];

  it("refuses bad configurations, and shows no secret of theirs", async () => {
    const shown = BAD.map(([name, text]) => {
      const { config, errors } = parse(text);
      expect(config).toBeNull();
      const said = formatErrors(errors, "text");
      expect(said).not.toContain("hunter2");
      return `== ${name}\n\n${said}\n`;
    });
    await expect(shown.join("\n")).toMatchFileSnapshot("../golden/manifest/bad-configs.txt");
  });
});

describe("initial files", () => {
  it("have a config that validates", async () => {
    expect(parse(initialConfig())).toEqual({
      config: {
        manifests: "manifests",
        environments: {
          local: { endpoint: "http://127.0.0.1:8787", tokenVariable: "SHARDCTL_TOKEN" },
        },
        defaultEnvironment: "local",
      },
      errors: [],
    });
    await expect(initialConfig()).toMatchFileSnapshot("../golden/manifest/initial-config.yaml");
  });

  it("have a manifest that validates, also with its examples uncommented", async () => {
    const files = [{ path: "manifests/example.yaml", text: initialManifest() }];
    expect(parseManifests(files, { environment: null })).toMatchObject({
      errors: [],
      desired: { namespaces: [{ name: "example", count: 4 }] },
    });
    await expect(initialManifest()).toMatchFileSnapshot("../golden/manifest/initial-manifest.yaml");
    const uncommented = initialManifest().replaceAll(
      /^( *)# (labels|windows|budget|environments|  staging)/gmu,
      "$1$2",
    );
    const all = parseManifests([{ path: "a.yaml", text: uncommented }], {
      environment: "staging",
      knownEnvironments: ["staging"],
    });
    expect(all).toMatchObject({
      errors: [],
      environments: ["staging"],
      desired: { namespaces: [{ count: 2, labels: { team: "checkout" } }] },
    });
  });

  it("have a config whose example of production validates", () => {
    const uncommented = initialConfig().replaceAll(/^ {2}# /gmu, "  ");
    expect(parse(uncommented)).toMatchObject({
      errors: [],
      config: { environments: { production: { tokenVariable: "SHARDCTL_TOKEN" } } },
    });
  });
});
