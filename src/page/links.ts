/**
 * Addresses of pages on GitHub. The API's address says where they are; an address of another form,
 * such as a test's, has no pages.
 */
import type { Links } from "./page-data.ts";
import type { GithubSettings } from "../github/settings.ts";

const SHA = /^[0-9a-f]{7,40}$/;

export function createLinks(github: Pick<GithubSettings, "apiUrl" | "repository"> | null): Links {
  const site = github === null ? null : siteOf(github.apiUrl);
  if (github === null || site === null) return { pull: () => null, commit: () => null };
  const { owner, name } = github.repository;
  const base = `${site}/${encodeURIComponent(owner)}/${encodeURIComponent(name)}`;
  return {
    pull: (pull) => `${base}/pull/${pull}`,
    commit: (sha) => (SHA.test(sha) ? `${base}/commit/${sha}` : null),
  };
}

/**
 * `https://api.github.com` → `https://github.com`; `https://ghe.example/api/v3` →
 * `https://ghe.example`.
 */
function siteOf(apiUrl: string): string | null {
  const { protocol, host, pathname } = new URL(apiUrl);
  if (/\/api\/v3\/?$/.test(pathname)) return `${protocol}//${host}`;
  return host.startsWith("api.") ? `${protocol}//${host.slice("api.".length)}` : null;
}
