// Before a job is moved: whose turn comes sooner or later, and by how much. Then one call moves it.
import { html, useEffect, useState } from "../dom.js";
import { call, path } from "../api.js";
import { number, span } from "../format.js";
import { Button, Dialog, Failure } from "../parts.js";
import { t } from "../texts.js";

const SHOWN = 8;

function Change({ seconds }) {
  if (seconds === null) return html`<span class="quiet">${t("eta.unknown")}</span>`;
  const later = seconds > 0;
  return html`<span class=${`${later ? "up" : "down"} nowrap`}>${later ? "+" : "−"}${span(Math.abs(seconds))}
    <span class="vh"> ${t(later ? "move.later" : "move.sooner")}</span></span>`;
}

function Moves({ moves, self }) {
  const shown = moves.filter((each) => each.seconds || each.request_id === self).slice(0, SHOWN);
  return html`<table class="moves"><thead><tr><th scope="col">${t("line.job")}</th><th scope="col" class="num">${t("move.now")}</th>
    <th scope="col" class="num">${t("move.then")}</th><th scope="col" class="num">${t("move.change")}</th></tr></thead>
    <tbody>${shown.map((each) => html`<tr key=${each.request_id} ...${each.request_id === self && { "data-self": "" }}><td><strong>${each.request_id}</strong></td>
      <td class="num quiet">${each.before.p50 === null ? t("eta.unknown") : span(each.before.p50)}</td>
      <td class="num">${each.after.p50 === null ? t("eta.unknown") : span(each.after.p50)}</td><td class="num"><${Change} seconds=${each.seconds} /></td></tr>`)}</tbody></table>`;
}

export function MoveDialog({ type, job, from, target, onClose }) {
  const [preview, setPreview] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    call("POST", `types/${path(type)}/what-if`, { body: { request_id: job.RequestID, position: target + 1 } })
      .then(({ data }) => setPreview(data.moves), setError);
  }, []);
  async function commit() {
    try {
      await call("POST", `v1/${path(type, job.RequestID)}`, { body: { position: target + 1 } });
      onClose();
    } catch (refusal) { setError(refusal); }
  }
  const count = (is) => number((preview || []).filter((each) => is(each.seconds || 0)).length);
  const names = { name: job.RequestID, from: number(from + 1), to: number(target + 1) };
  return html`<${Dialog} side title=${t("move.title", names)} lede=${t("move.nothing")} onClose=${onClose} footer=${html`<span class="grow"></span>
      <${Button} onClick=${onClose}>${t("cancel")}</${Button}>
      <${Button} data-kind="main" icon="check" autofocus onClick=${commit}>${t("move.to", names)}</${Button}>`}>
    ${error && html`<${Failure} error=${error} />`}
    ${preview && html`<dl class="sum"><div><dt>${t("move.sooner")}</dt><dd>${count((s) => s < 0)}</dd></div>
      <div><dt>${t("move.later")}</dt><dd>${count((s) => s > 0)}</dd></div></dl><${Moves} moves=${preview} self=${job.RequestID} />`}</${Dialog}>`;
}
