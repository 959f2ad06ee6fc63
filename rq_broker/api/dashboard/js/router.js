// Which view stands in the address bar. Each has a path of its own, below the page's base.
import { useEffect, useState } from "./dom.js";

export const VIEWS = ["line", "hosts", "job", "callbacks", "reports", "audit", "policy"];
const changed = new EventTarget();

function base() {
  return new URL(document.baseURI).pathname;
}

export function here() {
  const [view = "", ...names] = location.pathname.slice(base().length).split("/").filter(Boolean);
  const [type, name] = names.map(decodeURIComponent);
  const query = Object.fromEntries(new URLSearchParams(location.search));
  return { view: VIEWS.includes(view) && type ? view : "overview", type, name, query };
}

export function to(view, type, name, query) {
  const names = [view === "overview" ? "" : view, type, name].filter(Boolean).map(encodeURIComponent);
  const search = new URLSearchParams(query || {}).toString();
  return base() + names.join("/") + (search ? `?${search}` : "");
}

export function go(href, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  changed.dispatchEvent(new Event("change"));
}

// Links of the page itself change the view without loading it anew.
function follow(event) {
  const link = event.target.closest("a[href]");
  const plain = !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!link || !plain || link.target || link.dataset.plain !== undefined) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(base())) return;
  event.preventDefault();
  go(url.pathname + url.search);
  window.scrollTo(0, 0);
}

export function useRoute() {
  const [route, setRoute] = useState(here);
  useEffect(() => {
    const update = () => setRoute(here());
    changed.addEventListener("change", update);
    window.addEventListener("popstate", update);
    document.addEventListener("click", follow);
    return () => {
      changed.removeEventListener("change", update);
      window.removeEventListener("popstate", update);
      document.removeEventListener("click", follow);
    };
  }, []);
  return route;
}
