// Before a job is moved: whose turn comes sooner or later, and by how much. Then one call moves it, or is refused
// because the line changed meanwhile.
import { html, useEffect, useRef, useState } from "../dom.js";
import { call, clock, path } from "../api.js";
import { clockTime, number, span } from "../format.js";
import { Button, Dialog, Failure, Icon, Note } from "../parts.js";
import { many, t } from "../texts.js";

const SHOWN = 8; // jobs whose change is told
const LONG_MS = 200; // until what is not there yet is drawn as a skeleton

const length = (seconds) => span(Math.max(60, Math.round(Math.abs(seconds) / 60) * 60));

function Change({ seconds }) {
  if (seconds === null) return html`<span class="quiet">${t("eta.unknown")}</span>`;
  const later = seconds > 0;
  return html`<span class=${`${later ? "up" : "down"} nowrap`}>${later ? "+" : "−"}${length(seconds)}<span class="vh"> ${t(later ? "move.later" : "move.sooner")}</span></span>`;
}

// A change as a bar: to the left sooner, to the right later.
function Bar({ seconds, most }) {
  if (!seconds || !most) return null;
  const width = Math.max(2, (50 * Math.abs(seconds)) / most);
  return html`<svg class="dv" aria-hidden="true"><rect class=${seconds < 0 ? "s" : "l"} x=${`${seconds < 0 ? 50 - width : 50}%`} width=${`${width}%`} y="2" height="8" rx="1" />
    <line class="ax" x1="50%" x2="50%" y1="0" y2="100%" /></svg>`;
}

function Moves({ moves, self }) {
  const changed = moves.filter((each) => each.seconds && each.request_id !== self).sort((a, b) => Math.abs(b.seconds) - Math.abs(a.seconds));
  const shown = [...moves.filter((each) => each.request_id === self), ...changed].slice(0, SHOWN);
  const most = Math.max(...moves.map((each) => Math.abs(each.seconds || 0)));
  const turn = (eta) => (eta.p50 === null ? t("eta.unknown") : eta.p50 < 60 ? t("eta.now") : length(eta.p50));
  if (!shown.length) return null;
  return html`<table class="moves"><caption class="vh">${t("move.caption")}</caption><thead><tr><th scope="col">${t("move.job")}</th><th scope="col" class="num">${t("move.now")}</th>
    <th scope="col" class="num">${t("move.then")}</th><th scope="col" class="dvc"><span class="vh">${t("move.bar")}</span></th><th scope="col" class="num">${t("move.change")}</th></tr></thead>
    <tbody>${shown.map((each, n) => html`<tr key=${each.request_id || n} ...${each.request_id === self && { "data-self": "" }}>
      <td><strong>${each.request_id || t("move.another")}</strong>${each.owner_id && html`<br /><span class="sub">${each.owner_id}</span>`}</td>
      <td class="num quiet">${turn(each.before)}</td><td class="num">${turn(each.after)}</td>
      <td class="dvc"><${Bar} seconds=${each.seconds} most=${most} /></td><td class="num"><${Change} seconds=${each.seconds} /></td></tr>`)}</tbody></table>`;
}

function Sum({ moves, count }) {
  const sooner = moves.filter((each) => each.seconds < 0);
  const later = moves.filter((each) => each.seconds > 0);
  const most = later.length ? Math.max(...later.map((each) => each.seconds)) : 0;
  const rest = Math.max(0, count - sooner.length - later.length);
  return html`<dl class="sum"><div><dt><${Icon} name="up" />${t("move.sooner")}</dt><dd>${number(sooner.length)} <small>${many("move.jobs", sooner.length)}</small></dd></div>
    <div><dt><${Icon} name="down" />${t("move.later")}</dt><dd>${number(later.length)} <small>${most ? many("move.atmost", later.length, { most: length(most) }) : many("move.jobs", 0)}</small></dd></div>
    <div><dt><${Icon} name="check" />${t("move.unmoved")}</dt><dd>${number(rest)} <small>${many("move.jobs", rest)}</small></dd></div></dl>`;
}

function Skeleton() {
  return html`<div aria-busy="true"><p class="vh">${t("move.counting")}</p>${[4, 3, 4, 2].map((w) => html`<p class="sk-row"><span class="sk" data-w=${w}></span></p>`)}</div>`;
}

function says(moves, job) {
  if (!moves) return t("move.nothing");
  const self = moves.find((each) => each.request_id === job.RequestID)?.seconds;
  const later = moves.filter((each) => each.seconds > 0 && each.request_id !== job.RequestID);
  const own = self ? t(self < 0 ? "move.says.sooner" : "move.says.later", { span: length(self) }) : "";
  const others = later.length ? many("move.says.others", later.length, { n: number(later.length), most: length(Math.max(...later.map((each) => each.seconds))) }) : "";
  return [own, others, t("move.nothing")].filter(Boolean).join(" ");
}

const where = (target, count) => (target === 0 ? "front" : target === count - 1 ? "back" : target + 1);

// Moves a job to a place, 0 for the next. `version`: only as long as the line is as it was then.
export function move(type, name, target, count, version) {
  return call("POST", `v1/${path(type, name)}`, { body: { position: version ? target + 1 : where(target, count) }, headers: version ? { "If-Match": version } : {} });
}

// `onDone` gets what the move answered: where the job was, and the version with which it may go back there.
export function MoveDialog({ type, job, from, target, count, onDone, onClose }) {
  const [preview, setPreview] = useState(null); // { moves, version, at }
  const [changed, setChanged] = useState(false);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [slow, setSlow] = useState(false);
  const open = useRef(true);

  const taken = (answer) => ({ moves: answer.data?.moves || [], version: answer.etag, at: new Date(clock.now()) });
  async function ask() {
    try {
      const answer = await call("POST", `types/${path(type)}/what-if`, { body: { request_id: job.RequestID, position: target + 1 } });
      if (open.current) { setPreview(taken(answer)); setError(null); }
    } catch (refusal) { if (open.current) setError(refusal); }
  }
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), LONG_MS);
    ask();
    return () => { open.current = false; clearTimeout(timer); };
  }, []);

  async function commit() {
    setBusy(true);
    setError(null);
    try {
      const { data } = await move(type, job.RequestID, target, count, preview?.version);
      onDone(data);
      onClose();
    } catch (refusal) {
      setBusy(false);
      if (refusal.code !== "changed_meanwhile") { setError(refusal); return; }
      setChanged(true);
      if (refusal.body.data?.moves) setPreview({ ...taken({ data: refusal.body.data, etag: refusal.etag }) });
      else { setPreview(null); await ask(); }
    }
  }
  const names = { name: job.RequestID, from: number(from + 1), to: number(target + 1) };
  return html`<${Dialog} side title=${t("move.title", names)} lede=${says(preview?.moves, job)} onClose=${onClose} footer=${html`<span class="grow">${preview ? t("move.asof", { time: clockTime(preview.at) }) : ""}</span>
      <${Button} onClick=${onClose}>${t("cancel")}</${Button}>
      <${Button} data-kind="main" icon="check" autofocus aria-busy=${busy ? "true" : "false"} disabled=${busy || !preview} onClick=${commit}>${t("move.to", names)}</${Button}>`}>
    ${changed && html`<div role="alert"><${Note} tone="warn" icon="warn">${t("move.changed")}</${Note}></div>`}
    ${error && html`<${Failure} error=${error} again=${ask} />`}
    ${preview ? html`<${Sum} moves=${preview.moves} count=${count} /><${Moves} moves=${preview.moves} self=${job.RequestID} />
      <${Note}>${t(preview.moves.length ? "move.middle" : "move.none")}</${Note}>` : slow && !error && html`<${Skeleton} />`}</${Dialog}>`;
}

// Where to move a job, in words: for who does not drag. The preview comes next.
export function PlaceDialog({ job, from, count, onChosen, onClose }) {
  const [place, setPlace] = useState(String(from + 1));
  const target = Math.round(Number(place)) - 1;
  const fits = /^\d+$/.test(place) && target >= 0 && target < count;
  const go = (index) => onChosen(index);
  const chosen = (event) => { event.preventDefault(); if (fits) go(target); };
  return html`<${Dialog} title=${t("move.where", { name: job.RequestID })} lede=${t("line.at", { n: number(from + 1), count: number(count) })} onClose=${onClose}
      footer=${html`<span class="grow"></span><${Button} onClick=${onClose}>${t("cancel")}</${Button}>
        <button class="btn" data-kind="main" form="place-form" disabled=${!fits}>${t("move.preview")}</button>`}>
    <div class="places"><${Button} icon="up" autofocus disabled=${from === 0} onClick=${() => go(0)}>${t("line.bulk.front")}</${Button}>
      <${Button} icon="down" disabled=${from === count - 1} onClick=${() => go(count - 1)}>${t("line.bulk.back")}</${Button}></div>
    <form class="field" id="place-form" onSubmit=${chosen}><label for="place">${t("move.place", { count: number(count) })}</label>
      <input class="input" id="place" inputmode="numeric" autocomplete="off" value=${place} aria-invalid=${fits ? "false" : "true"} onInput=${(event) => setPlace(event.target.value.trim())} /></form></${Dialog}>`;
}
