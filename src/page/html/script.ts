/**
 * The page's only script. It asks for the main part again, with the tag of what it shows, and
 * changes just the nodes that differ: focus, scroll, selections and opened details stay. When the
 * page cannot be reached it says so, and asks less and less often.
 */

/** Longest pause between two tries, in milliseconds. */
const RETRY_LONGEST_MS = 60_000;

const SOURCE = `(() => {
  const doc = document, data = doc.body.dataset;
  let etag = data.etag, fails = 0, timer;
  const mainOf = (page) => page.querySelector("main");
  const key = (node) => node.id || node.dataset?.key || "";
  const ageOf = (ms) => {
    const s = Math.round(ms / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
    return s < 1 ? "just now" : (s < 60 ? s + " s" : m < 60 ? m + " min" : h < 24 ? h + " h " + (m % 60) + " min" : Math.floor(h / 24) + " d") + " ago";
  };
  const ages = () => {
    for (const time of doc.querySelectorAll("time[data-age]")) {
      const ms = Date.now() - Date.parse(time.dateTime);
      if (ms < 0) continue;
      time.title ||= time.textContent;
      if (time.textContent !== ageOf(ms)) time.textContent = ageOf(ms);
    }
  };
  const change = (now, next) => {
    if (now.nodeName !== next.nodeName || key(now) !== key(next)) return now.replaceWith(next);
    if (now.nodeType !== 1) return now.data !== next.data && (now.data = next.data);
    if (now.dateTime) return now.dateTime !== next.dateTime && now.replaceWith(next);
    for (const { name, value } of next.attributes) if (now.getAttribute(name) !== value) now.setAttribute(name, value);
    for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
    const byKey = new Map([...now.children].map((node) => [key(node), node]));
    let at = now.firstChild;
    for (const child of [...next.childNodes]) {
      const same = key(child) ? byKey.get(key(child)) : at && !key(at) ? at : null;
      if (same && same === at) at = at.nextSibling;
      else if (same && now.moveBefore) now.moveBefore(same, at);
      else now.insertBefore(same || child, at);
      if (same) change(same, child);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };
  const say = (text) => {
    const line = doc.getElementById("connection");
    if (line.textContent !== text) line.textContent = text;
  };
  const refresh = async () => {
    const url = new URL(location.href);
    url.searchParams.set("part", "main");
    const got = await fetch(url, { headers: { "if-none-match": etag }, cache: "no-store", redirect: "error" });
    if (got.status === 401) return say("Signed out: load the page again to sign in.");
    if (got.status !== 304) {
      if (!got.ok) throw got;
      const { headers } = got;
      const next = new DOMParser().parseFromString(await got.text(), "text/html");
      if (headers.get("x-shardctl-build") !== data.build) return location.reload();
      const old = doc.activeElement;
      change(mainOf(doc), mainOf(next));
      if (old !== doc.activeElement) old.focus({ preventScroll: true });
      etag = headers.get("etag");
    }
    say("");
    return true;
  };
  const plan = () => {
    clearTimeout(timer);
    timer = setTimeout(again, Math.min(RETRY_MAX, mainOf(doc).dataset.refreshMs * 2 ** fails));
  };
  const again = async () => {
    clearTimeout(timer);
    if (doc.hidden) return;
    try {
      if (!(await refresh())) return;
      fails = 0;
    } catch {
      if (++fails > 1) say("Not connected: what you see may be old.");
    }
    ages();
    plan();
  };
  doc.addEventListener("visibilitychange", again);
  ages();
  setInterval(ages, 5000);
  plan();
})();
`;

/** As it is served: without its indentation. */
export const SCRIPT = SOURCE.replace(/^ +/gm, "").replace("RETRY_MAX", String(RETRY_LONGEST_MS));
