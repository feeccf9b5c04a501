/** Renders the static pages: signing in, and errors. */
import { type Markup, markup } from "./markup.ts";

export interface LoginPage {
  /** A path of this origin, to go to afterwards. */
  readonly next: string;
  /** Why the last try failed. */
  readonly problem: string | null;
  /** True where people come by Cloudflare Access. */
  readonly hasAccess: boolean;
}

export function renderLogin({ next, problem, hasAccess }: LoginPage): Markup {
  const described = problem === null ? "hint" : "problem hint";
  return markup`<main id="main" tabindex="-1" class="narrow">
<h1>Sign in</h1>
${problem === null ? null : markup`<p id="problem" class="warning" role="alert"><span class="mark" aria-hidden="true">!</span> ${problem}</p>`}
<form method="post" action="/login">
<input type="hidden" name="next" value="${next}">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autocapitalize="none" spellcheck="false" required maxlength="1024" aria-describedby="${described}"${problem === null ? null : markup` aria-invalid="true"`}>
<p id="hint" class="quiet">One of this Worker's tokens; the role read is enough. This browser keeps it in a cookie that no script can read.</p>
<button>Sign in</button>
</form>
<p class="quiet">Signed in before, and came here by a link? <a href="${next}">Continue to the page</a>.${hasAccess ? " With Cloudflare Access in front, no token is needed." : ""}</p>
</main>`;
}

export function renderMessage(title: string, detail: string): Markup {
  return markup`<main id="main" tabindex="-1" class="narrow"><h1>${title}</h1><p>${detail}</p><p><a href="/">To the namespaces</a></p></main>`;
}
