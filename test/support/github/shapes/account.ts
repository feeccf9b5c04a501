/**
 * Accounts, apps and times as the REST API shows them. `api` is the address of the REST API,
 * without a slash at its end.
 */
import type { components } from "@octokit/openapi-types";

import {
  mayPush,
  type Account,
  type App,
  type Installation,
  type Label,
  type Permissions,
  type Role,
} from "../state.ts";

export type Schemas = components["schemas"];

/**
 * Pages for people are shown on github.com whatever the port of the fake is, so that golden files
 * stay the same.
 */
export const HTML_URL = "https://github.com";

export function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, "Z");
}

export function nodeId(kind: string, id: number | string): string {
  return `${kind}_${Buffer.from(String(id)).toString("base64url")}`;
}

export function showAccount(api: string, account: Account): Schemas["simple-user"] {
  const url = `${api}/users/${encodeURIComponent(account.login)}`;
  const html =
    account.type === "Bot"
      ? `${HTML_URL}/apps/${account.login.replace("[bot]", "")}`
      : `${HTML_URL}/${account.login}`;
  return {
    login: account.login,
    id: account.id,
    node_id: nodeId("U", account.id),
    avatar_url: `https://avatars.githubusercontent.com/u/${account.id}?v=4`,
    gravatar_id: "",
    url,
    html_url: html,
    followers_url: `${url}/followers`,
    following_url: `${url}/following{/other_user}`,
    gists_url: `${url}/gists{/gist_id}`,
    starred_url: `${url}/starred{/owner}{/repo}`,
    subscriptions_url: `${url}/subscriptions`,
    organizations_url: `${url}/orgs`,
    repos_url: `${url}/repos`,
    events_url: `${url}/events{/privacy}`,
    received_events_url: `${url}/received_events`,
    type: account.type,
    site_admin: false,
    user_view_type: "public",
  };
}

/** The form with the profile, on its own address. */
export function showPublicUser(api: string, account: Account): Schemas["public-user"] {
  return {
    ...showAccount(api, account),
    name: account.login,
    company: null,
    blog: "",
    location: null,
    email: null,
    hireable: null,
    bio: null,
    public_repos: 0,
    public_gists: 0,
    followers: 0,
    following: 0,
    created_at: "2020-01-01T00:00:00Z",
    updated_at: "2020-01-01T00:00:00Z",
  };
}

/** Commits name the account of their author only where the e-mail address belongs to one. */
export function showCommitter(api: string, account: Account | null): Schemas["simple-user"] | null {
  return account === null ? null : showAccount(api, account);
}

export function showApp(api: string, app: App): NonNullable<Schemas["integration"]> {
  return {
    id: app.id,
    slug: app.slug,
    client_id: app.clientId,
    node_id: nodeId("A", app.id),
    owner: showAccount(api, app.owner),
    name: app.name,
    description: null,
    external_url: `https://example.com/${app.slug}`,
    html_url: `${HTML_URL}/apps/${app.slug}`,
    created_at: isoTime(app.createdAtMs),
    updated_at: isoTime(app.createdAtMs),
    permissions: { ...app.permissions },
    events: [...app.events],
  };
}

export function showInstallation(api: string, installation: Installation): Schemas["installation"] {
  const { app, account } = installation;
  return {
    id: installation.id,
    account: showAccount(api, account),
    repository_selection: installation.repositories === null ? "all" : "selected",
    access_tokens_url: `${api}/app/installations/${installation.id}/access_tokens`,
    repositories_url: `${api}/installation/repositories`,
    html_url: `${HTML_URL}/settings/installations/${installation.id}`,
    app_id: app.id,
    client_id: app.clientId,
    app_slug: app.slug,
    target_id: account.id,
    target_type: account.type,
    permissions: showPermissions(installation.permissions),
    events: [...app.events],
    created_at: isoTime(installation.createdAtMs),
    updated_at: isoTime(installation.createdAtMs),
    single_file_name: null,
    has_multiple_single_files: false,
    single_file_paths: [],
    suspended_by: null,
    suspended_at: null,
  };
}

export function showPermissions(permissions: Permissions): Schemas["app-permissions"] {
  return { ...permissions, metadata: "read" };
}

export function showRole(role: Role): NonNullable<Schemas["repository"]["permissions"]> {
  return {
    admin: role === "admin",
    maintain: role === "admin" || role === "maintain",
    push: mayPush(role),
    triage: mayPush(role) || role === "triage",
    pull: role !== "none",
  };
}

export function showLabel(repoUrl: string, label: Label): Schemas["label"] {
  return {
    id: label.id,
    node_id: nodeId("LA", label.id),
    url: `${repoUrl}/labels/${encodeURIComponent(label.name)}`,
    name: label.name,
    description: label.description,
    color: label.color,
    default: false,
  };
}
