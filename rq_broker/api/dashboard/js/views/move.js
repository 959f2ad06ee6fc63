// Before a job is moved: whose turn comes sooner or later, and by how much. Then one call moves it, or is refused
// because the line changed meanwhile.
import { html, useEffect, useRef, useState } from "../dom.js";
import { call, clock, path } from "../api.js";
import { clockTime, number, span } from "../format.js";
import { Button, Dialog, Failure, Icon, Note } from "../parts.js";
import { gap, many, t } from "../texts.js";

const SHOWN = 8; // jobs whose change is told
const LEAST = 30; // seconds that are told as a change: a forecast knows no better
const LEAST_PART = 0.05; // the same as a part of the wait; the API counts less as no change, too
const LONG_MS = 200; // until what is not there yet is drawn as a skeleton

// Whether a start changes by more than a forecast errs.
const isChanged = ({ before, seconds }) => Math.abs(seconds || 0) >= Math.max(LEAST, LEAST_PART * (before.p50 || 0));

const length = (seconds) => span(Math.max(60, Math.round(Math.abs(seconds) / 60) * 60));

function Change({ seconds }) {
  if (seconds === null) return html`<span class="quiet">${t("eta.unknown")}</span>`;
  if (Math.abs(seconds) < LEAST) return html`<span class="quiet">${t("move.same")}</span>`;
  const later = seconds > 0;
  return html`<span class=${`${later ? "up" : "down"} nowrap`}>${later ? "+" : "−"}${length(seconds)}<span class="vh"> ${t(later ? "move.later" : "move.sooner")}</span></span>`;
}

// A change as a bar: to the left sooner, to the right later.
function Bar({ seconds, most }) {
  if (Math.abs(seconds || 0) < LEAST) return null;
  const width = Math.max(2, (50 * Math.abs(seconds)) / most);
  return html`<svg class="dv" aria-hidden="true"><rect class=${seconds < 0 ? "s" : "l"} x=${`${seconds < 0 ? 50 - width : 50}%`} width=${`${width}%`} y="2" height="8" rx="1" />
    <line class="ax" x1="50%" x2="50%" y1="0" y2="100%" /></svg>`;
}

function Moves({ moves, self }) {
  const changed = moves.filter((each) => isChanged(each) && each.request_id !== self).sort((a, b) => Math.abs(b.seconds) - Math.abs(a.seconds));
  const shown = [...moves.filter((each) => each.request_id === self), ...changed].slice(0, SHOWN);
  const most = Math.max(...moves.map((each) => Math.abs(each.seconds || 0)));
  const turn = (eta) => (eta.p50 === null ? t("eta.unknown") : eta.p50 < 60 ? t("eta.now") : length(eta.p50));
  if (!shown.length) return null;
  return html`<table class="moves"><caption class="vh">${t("move.caption")}</caption><thead><tr><th scope="col">${t("move.job")}</th><th scope="col" class="num">${t("move.now")}</th>
    <th scope="col" class="num">${t("move.then")}</th><th scope="col" class="dvc"><span class="vh">${t("move.bar")}</span></th><th scope="col" class="num">${t("move.change")}</th></tr></thead>
    <tbody>${shown.map((each, n) => html`<tr key=${each.request_id || n} ...${each.request_id === self && { "data-self": "" }}>
      <td><strong class="clip" title=${each.request_id}>${each.request_id || t("move.another")}</strong><span class="sub clip">${each.owner_id || ""}</span></td>
      <td class="num quiet">${turn(each.before)}</td><td class="num">${turn(each.after)}</td>
      <td class="dvc"><${Bar} seconds=${each.seconds} most=${most} /></td><td class="num"><${Change} seconds=${each.seconds} /></td></tr>`)}</tbody></table>`;
}

const mostOf = (moves, self) => Math.max(0, ...moves.filter((each) => isChanged(each) && each.request_id !== self).map((each) => each.seconds));

function Sum({ preview, self, count }) {
  const own = preview.moves.find((each) => each.request_id === self)?.seconds || 0;
  const sooner = preview.sooner + (own <= -LEAST ? 1 : 0);
  const later = preview.later + (own >= LEAST ? 1 : 0);
  const most = Math.max(own, mostOf(preview.moves, self));
  const rest = Math.max(0, count - sooner - later - preview.unknown);
  return html`<dl class="sum"><div><dt><${Icon} name="up" />${t("move.sooner")}</dt><dd>${number(sooner)} <small>${many("move.jobs", sooner)}</small></dd></div>
    <div><dt><${Icon} name="down" />${t("move.later")}</dt><dd>${number(later)} <small>${later && most > 0 ? many("move.atmost", later, { most: length(most) }) : many("move.jobs", later)}</small></dd></div>
    <div><dt><${Icon} name="check" />${t("move.unmoved")}</dt><dd>${number(rest)} <small>${many("move.jobs", rest)}</small></dd></div></dl>`;
}

function Skeleton() {
  return html`<div aria-busy="true"><p class="vh">${t("move.counting")}</p>${[4, 3, 4, 2].map((w) => html`<p class="sk-row"><span class="sk" data-w=${w}></span></p>`)}</div>`;
}

function says(preview, job) {
  if (!preview) return t("move.nothing");
  const self = preview.moves.find((each) => each.request_id === job.RequestID)?.seconds;
  const own = Math.abs(self || 0) >= LEAST ? t(self < 0 ? "move.says.sooner" : "move.says.later", { span: length(self) }) : "";
  const most = mostOf(preview.moves, job.RequestID);
  const others = preview.later ? many("move.says.others", preview.later, { n: number(preview.later), most: length(most) }) : "";
  return [own, others, t("move.nothing")].filter(Boolean).join(gap());
}

// Moves a job to a place, 1 for the next. `line`: the version of the line that was seen; the move does what was seen, or nothing.
export function move(type, name, position, line) {
  return call("POST", `v1/${path(type, name)}`, { body: { position }, headers: { "If-Match": `"${line}"` } });
}

// Returns what takes the answer of a move: it tells of it, with what moves the job back. `tell` gets toasts.
export const undoable = (job, target, tell, refresh) => ({ position, was, undo }) => {
  const name = job.RequestID;
  refresh();
  if (was === position) { tell({ text: t("move.already.then", { name, to: number(position) }) }); return; }
  const run = () => move(job.Type, name, undo.position, undo.line).then(
    () => { tell({ text: t("move.undone", { name, to: number(undo.position) }) }); refresh(); },
    (error) => tell({ text: error.status ? error.message : t("error.unreachable") }),
  );
  tell({ text: t("move.done", { name, to: number(position || target + 1) }), label: t("undo"), run });
};

// `onDone` gets what the move answered: where the job was, and the version with which it may go back there.
export function MoveDialog({ type, job, from, target, count, onDone, onClose }) {
  const [preview, setPreview] = useState(null); // what the API foretells, and when it did
  const [changed, setChanged] = useState(false);
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [slow, setSlow] = useState(false);
  const open = useRef(true);

  const taken = (seen) => setPreview({ ...seen, at: new Date(clock.now()) });
  async function ask() {
    try {
      const { data } = await call("POST", `types/${path(type)}/what-if`, { body: { request_id: job.RequestID, position: target + 1 } });
      if (open.current) { taken(data); setError(null); }
    } catch (refusal) { if (open.current) setError(refusal); }
  }
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), LONG_MS);
    ask();
    return () => { open.current = false; clearTimeout(timer); };
  }, []);

  // The focus waits on the action: it could not have it before there was something to say yes to.
  const yes = useRef(null);
  const known = Boolean(preview) && !busy;
  useEffect(() => {
    const on = document.activeElement;
    if (known && (on === document.body || on?.matches?.("dialog, [data-wait]"))) yes.current.focus();
  }, [known]);

  async function commit() {
    setBusy(true);
    setError(null);
    try {
      const { data } = await move(type, job.RequestID, target + 1, preview.line);
      onDone(data);
      onClose();
    } catch (refusal) {
      setBusy(false);
      if (refusal.code !== "changed_meanwhile") { setError(refusal); return; }
      setChanged(true);
      taken(refusal.body.preview);
    }
  }
  const was = preview?.was || from + 1; // where it stands now: somebody else may have moved it
  const isThere = was === target + 1;
  const names = { name: job.RequestID, seen: number(from + 1), from: number(was), to: number(target + 1) };
  const moved = was === from + 1 ? "" : t(isThere ? "move.already.says" : "move.elsewhere", names);
  const title = t(isThere ? "move.already" : "move.title", names);
  const lede = isThere ? [moved, t("move.already.nothing")].filter(Boolean).join(gap()) : says(preview, job);
  const action = isThere ? html`<button type="button" class="btn" data-kind="main" ref=${yes} onClick=${onClose}>${t("close")}</button>` : html`<${Button} data-wait onClick=${onClose}>${t("cancel")}</${Button}>
      <button type="button" class="btn" data-kind="main" ref=${yes} aria-busy=${busy ? "true" : "false"} disabled=${!known} onClick=${commit}><${Icon} name="check" />${t("move.to", names)}</button>`;
  return html`<${Dialog} side title=${title} lede=${lede} onClose=${onClose} footer=${html`<span class="grow">${preview ? t("move.asof", { time: clockTime(preview.at) }) : ""}</span>${action}`}>
    ${!isThere && html`${(changed || moved) && html`<div role="alert"><${Note} tone="warn" icon="warn">${[changed ? t("move.changed") : "", moved].filter(Boolean).join(gap())}</${Note}></div>`}
    ${error && html`<${Failure} error=${error} again=${ask} />`}
    ${preview ? html`<${Sum} preview=${preview} self=${job.RequestID} count=${count} /><${Moves} moves=${preview.moves} self=${job.RequestID} />
      <${Note}>${preview.later + preview.sooner > 0 ? t("move.middle") : preview.unknown > 0 ? many("move.unknown", preview.unknown, { n: number(preview.unknown) }) : t("move.none")}</${Note}>` : slow && !error && html`<${Skeleton} />`}`}</${Dialog}>`;
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
