// The head of every view of one type: its name, whether it grants, and its tabs.
import { html, useState } from "../dom.js";
import { call, path } from "../api.js";
import { number } from "../format.js";
import { Badge, Button, Failure } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const TABS = ["line", "hosts", "callbacks", "reports", "audit", "policy"];

export function Head({ type, view, policy, counts, reload }) {
  const [error, setError] = useState(null);
  const paused = policy?.paused;
  async function pause() {
    try {
      await call("PATCH", `types/${path(type)}`, { body: { paused: !paused } });
      setError(null);
      reload();
    } catch (refusal) { setError(refusal); }
  }
  return html`<div class="page-h" data-type><div><div class="title"><h1>${type}</h1>
      ${policy && html`<${Badge} tone=${paused ? "warn" : "ok"} icon=${paused ? "pause" : "play"}>${t(paused ? "type.paused" : "type.granting")}</${Badge}>`}</div></div>
    <div class="actions">${policy && html`<${Button} icon=${paused ? "play" : "pause"} onClick=${pause}>${t(paused ? "type.resume" : "type.pause")}</${Button}>`}</div></div>
    ${error && html`<${Failure} error=${error} />`}
    <nav class="tabs" aria-label=${t("nav.views", { type })}>${TABS.map((tab) => html`
      <a href=${to(tab, type)} ...${view === tab && { "aria-current": "page" }}>${t(`nav.${tab}`)}
        ${tab === "line" && counts && html`<span class="num">${number(counts.queued)}</span>`}</a>`)}</nav>`;
}
