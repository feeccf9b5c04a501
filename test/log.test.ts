/** The log: one JSON line an event, and no credential in it, whatever an error's message quotes. */
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { hideSecrets, logError, logEvent, tickId } from "../src/log.ts";

let lines: string[] = [];

beforeEach(() => {
  lines = [];
  for (const method of ["log", "error"] as const)
    vi.spyOn(console, method).mockImplementation((text: string) => void lines.push(text));
});

afterEach(() => {
  vi.restoreAllMocks();
});

it("is JSON with the event, its facts and the correlation id", () => {
  logEvent("reconcile.tick", {
    correlationId: tickId("production", 17),
    outcome: "complete",
    calls: 3,
  });
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { event: "reconcile.tick", correlationId: "tick-production-17", outcome: "complete", calls: 3 },
  ]);
});

const SECRETS = [
  ["a token of GitHub", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"],
  ["an installation's token", "ghs_16C7e42F292c6912E7710c838347Ae178B4a"],
  ["a fine-grained token", "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz"],
  ["a workflow's token", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyZXBvOmFjbWUifQ.c2lnbmF0dXJl"],
  ["a token of ours", "Bearer 6f1ed002ab5595859014ebf0951522d9a1f3cbbd3fb1a4fe2b2c6a8d6a9b6f1e"],
  [
    "a private key",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
  ],
  [
    "a private key that is cut off",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
  ],
  ["a webhook's address", "https://hooks.slack.com/services/T0/B0/XXXXverysecret"],
  ["another webhook's address", "https://discord.com/api/webhooks/1234/abcd-secret/slack"],
  ["a password in an address", "https://user:hunter2secret@example.com/path"],
  ["a signature in an address", "https://example.com/path?sig=abcdef0123456789"],
  ["a token of Slack", "xoxb-1234567890-abcdefghijkl"],
] as const;

it.each(SECRETS)("has no %s in it", (_, secret) => {
  const core = secret.split(/\s|https:\/\/|@example/).find((part) => part.length > 12) ?? secret;
  logError(
    "x",
    { message: `it said: ${secret}!` },
    new Error(`failed with ${secret}`, { cause: secret }),
  );
  logError("x", {}, secret);
  expect(lines).toHaveLength(2);
  for (const line of lines) {
    expect(line).toContain("[hidden]");
    expect(line).not.toContain(core);
    expect(line).not.toMatch(/hunter2|verysecret|abcd-secret|MIIEvQIB|sig=abc/);
    JSON.parse(line);
  }
});

it("keeps what is no secret: ids, fingerprints, commits and addresses", () => {
  const text = `run-mwudgskn-bb2cb410 ${"9b1f0c5e".repeat(8)} ${"a".repeat(40)} https://api.github.com/repos/acme/data 2026-11-24`;
  expect(hideSecrets(text)).toBe(text);
});

it("cuts what is too long", () => {
  logEvent("x", { message: "long ".repeat(10_000) });
  expect(lines[0]?.length).toBeLessThan(5000);
});
