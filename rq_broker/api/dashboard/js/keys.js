// The keys of the whole page, and the dialog that lists all of them. Views have keys of their own.
import { html, useEffect, useState } from "./dom.js";
import { Button, Dialog } from "./parts.js";
import { go, to } from "./router.js";
import { t } from "./texts.js";

const AFTER_G_MS = 1500; // until the letter after g must come
const PLACES = { o: "overview", l: "line", h: "hosts", c: "callbacks", r: "reports", a: "audit", p: "policy" };
const PAGE_KEYS = [["/", "filter"], ["Ctrl K", "find"], ...Object.entries(PLACES).map(([key, view]) => [`g ${key}`, `go.${view}`]), ["?", "list"]];
const GRID_KEYS = [["↑ ↓", "rows"], ["Enter", "open"], ["x", "select"], ["m", "menu"], ["Space", "lift"], ["Esc", "back"]];

function lettersOn() {
  try { return localStorage.getItem("letters") !== "off"; } catch { return true; }
}

function isTyped(target) {
  return target instanceof Element && Boolean(target.closest("input, select, textarea, [contenteditable], dialog"));
}

export function focusOn(...selectors) {
  for (const selector of selectors) {
    const found = [...document.querySelectorAll(selector)].find((each) => each.offsetParent);
    if (found) { found.focus(); found.select?.(); return true; }
  }
  return false;
}

// Listens while the page stands. Returns whether the list of keys is asked for, and how to close it.
export function useKeys(route) {
  const [listed, setListed] = useState(false);
  useEffect(() => {
    let after = 0;
    function press(event) {
      if (event.defaultPrevented) return;
      const withCtrl = event.ctrlKey || event.metaKey;
      if (withCtrl && event.key.toLowerCase() === "k") {
        if (focusOn(".top .find input", ".find input")) event.preventDefault();
        return;
      }
      if (withCtrl || event.altKey || isTyped(event.target) || !lettersOn()) return;
      const place = event.timeStamp - after < AFTER_G_MS ? PLACES[event.key] : undefined;
      after = event.key === "g" ? event.timeStamp : 0;
      if (place === "overview") go(to(place));
      else if (place && route.type) go(to(place, route.type));
      else if (event.key === "?") setListed(true);
      else if (event.key !== "/" || !focusOn("main .find input", ".top .find input")) return;
      event.preventDefault();
    }
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [route.type]);
  return [listed, () => setListed(false)];
}

function List({ title, keys }) {
  return html`<section><h3 class="sec-h">${title}</h3><dl class="keys">${keys.map(([key, name]) => html`<div>
    <dt>${key.split(" ").map((each) => html`<kbd>${each}</kbd> `)}</dt><dd>${t(`keys.${name}`)}</dd></div>`)}</dl></section>`;
}

export function KeysDialog({ onClose }) {
  const [on, setOn] = useState(lettersOn);
  function turn(event) {
    setOn(event.target.checked);
    try { localStorage.setItem("letters", event.target.checked ? "on" : "off"); } catch { /* storage may be off */ }
  }
  return html`<${Dialog} title=${t("keys.title")} onClose=${onClose} footer=${html`<label class="opt"><input class="check" type="checkbox" checked=${on} onChange=${turn} />
      ${t("keys.letters")}</label><span class="grow"></span><${Button} autofocus onClick=${onClose}>${t("keys.close")}</${Button}>`}>
    <${List} title=${t("keys.page")} keys=${PAGE_KEYS} /><${List} title=${t("keys.grid")} keys=${GRID_KEYS} /></${Dialog}>`;
}
