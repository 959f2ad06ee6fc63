// Above the line: search, status, filters by owner and size. What is chosen stands in the address bar.
import { html, useEffect, useRef, useState } from "../dom.js";
import { get, path } from "../api.js";
import { amount, number, resources } from "../format.js";
import { Button, Icon, Status } from "../parts.js";
import { go, to } from "../router.js";
import { t } from "../texts.js";

const TYPED_MS = 200; // after the last letter, until what was typed is looked for
const STATUSES = ["queued", "granted", "running", "error", "done"];
const SHOWN = STATUSES.slice(0, 4);

// What the address bar asks for.
export function filterOf(query) {
  const status = STATUSES.includes(query.status) ? query.status : "queued";
  return { status, owner: query.owner || "", needs: query.needs || "", find: (query.find || "").trim() };
}

export const isFiltered = ({ owner, needs, find }) => Boolean(owner || needs || find);

// A filter as lists take it, and as actions on many jobs do.
export function listQuery({ status, owner, needs, find }) {
  return { status, ...(owner && { owner_id: owner }), ...(needs && { needs }), ...(find && { contains: find }) };
}

export function actionFilter({ status, owner, needs, find }) {
  return {
    status, ...(owner && { owner_id: owner }), ...(find && { contains: find }),
    ...(needs && { needs: Object.fromEntries(needsOf(needs)) }),
  };
}

export function needsOf(text) {
  return text.split(",").filter(Boolean).map((part) => {
    const at = part.lastIndexOf(":");
    return [part.slice(0, at), Number(part.slice(at + 1))];
  });
}

export function useFilter(type, query) {
  const filter = filterOf(query);
  function set(changes, options) {
    const { status, ...rest } = { ...filter, ...changes };
    const kept = Object.fromEntries(Object.entries(rest).filter(([, value]) => value));
    go(to("line", type, undefined, { ...(status !== "queued" && { status }), ...kept }), options);
  }
  return [filter, set];
}

// What an index finds at once by the text that was typed: a job by name or callback, or an owner.
function useHits(type, find) {
  const [hits, setHits] = useState({ jobs: [], owner: null });
  useEffect(() => {
    if (!find) { setHits({ jobs: [], owner: null }); return undefined; }
    const abort = new AbortController();
    const list = (query) => get(`v1/${path(type)}/?${new URLSearchParams(query)}`, { signal: abort.signal }).then(({ data }) => data, () => []);
    Promise.all([list({ request_id: find }), find.includes("/") ? list({ callback: find }) : [], list({ owner_id: find, limit: 1 })])
      .then(([named, called, owned]) => {
        if (!abort.signal.aborted) setHits({ jobs: [...named, ...called], owner: owned.length ? find : null });
      });
    return () => abort.abort();
  }, [type, find]);
  return hits;
}

export function Hits({ type, filter, set }) {
  const { jobs, owner } = useHits(type, filter.find);
  if (!jobs.length && !(owner && owner !== filter.owner)) return null;
  return html`<div class="hits">${jobs.map((job) => html`<a key=${job.ID} class="hit" href=${to("job", type, job.RequestID)}>
      <${Status} status=${job.Status} /><strong class="clip">${job.RequestID}</strong><span class="sub clip">${job.OwnerID}</span>
      ${job.Position && html`<span class="sub nowrap">${t("line.place", { n: number(job.Position) })}</span>`}</a>`)}
    ${owner && owner !== filter.owner && html`<button type="button" class="hit" onClick=${() => set({ owner, find: "" })}>
      <${Icon} name="filter" />${t("line.owner.show", { owner })}</button>`}</div>`;
}

function Search({ filter, set }) {
  const box = useRef(null);
  const timer = useRef(null);
  useEffect(() => { if (document.activeElement !== box.current) box.current.value = filter.find; }, [filter.find]);
  useEffect(() => {
    function slash(event) {
      const typing = event.target.closest?.("input, textarea, select, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      box.current.focus();
      box.current.select();
    }
    document.addEventListener("keydown", slash);
    return () => { document.removeEventListener("keydown", slash); clearTimeout(timer.current); };
  }, []);
  function look() {
    clearTimeout(timer.current);
    if (box.current.value.trim() !== filter.find) set({ find: box.current.value.trim() }, { replace: true });
  }
  function typed() {
    clearTimeout(timer.current);
    timer.current = setTimeout(look, TYPED_MS);
  }
  return html`<div class="find"><${Icon} name="search" /><input class="input" type="search" ref=${box} aria-label=${t("line.search")} placeholder=${t("line.search")}
    autocomplete="off" spellcheck=${false} defaultValue=${filter.find} onInput=${typed}
    onKeyDown=${(event) => { if (event.key === "Enter") look(); if (event.key === "Escape" && box.current.value) { event.preventDefault(); box.current.value = ""; look(); } }} />
    <kbd aria-hidden="true">/</kbd></div>`;
}

// A button that opens a small form below itself, in the top layer.
function Pick({ icon, label, pressed, children }) {
  const pop = useRef(null);
  const id = useRef(`pick-${Math.random().toString(36).slice(2)}`).current;
  function place(event) {
    if (event.newState !== "open") return;
    const { left, bottom } = pop.current.previousSibling.getBoundingClientRect();
    pop.current.style.left = `${Math.max(8, Math.min(left, window.innerWidth - pop.current.offsetWidth - 8))}px`;
    pop.current.style.top = `${bottom + 4}px`;
    pop.current.querySelector("input, select")?.focus();
  }
  return html`<span class="pick"><button type="button" class="btn" popovertarget=${id} aria-haspopup="dialog" data-on=${pressed ? "" : undefined}>
    <${Icon} name=${icon} />${label}</button><div id=${id} class="pop" popover="auto" ref=${pop} onToggle=${place}>
    ${children(() => pop.current.hidePopover())}</div></span>`;
}

function OwnerForm({ filter, owners, set, close }) {
  function chosen(event) {
    event.preventDefault();
    set({ owner: new FormData(event.target).get("owner").trim() });
    close();
  }
  return html`<form class="field" onSubmit=${chosen}><label for="f-owner">${t("line.owner")}</label>
    <input class="input" id="f-owner" name="owner" list="f-owners" defaultValue=${filter.owner} autocomplete="off" />
    <datalist id="f-owners">${owners.map((owner) => html`<option value=${owner} />`)}</datalist>
    <span class="hint">${t("line.owner.hint")}</span><${Submit} /></form>`;
}

function Submit() {
  return html`<button class="btn" data-kind="main" data-size="sm">${t("line.filter")}</button>`;
}

function SizeForm({ filter, names, set, close }) {
  const chosen = Object.fromEntries(needsOf(filter.needs));
  function apply(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const needs = names.map((name) => [name, Math.ceil(Number(form.get(name)) || 0)]).filter(([, least]) => least > 0);
    set({ needs: needs.map(([name, least]) => `${name}:${name === "Memory" ? least * 1024 : least}`).join(",") });
    close();
  }
  return html`<form class="field" onSubmit=${apply}><span class="hint">${t("line.size.hint")}</span>
    ${names.map((name) => html`<label key=${name} class="pair"><span>${name === "Memory" ? t("line.memory.gb") : name}</span>
      <input class="input" type="number" min="0" step="any" name=${name} defaultValue=${chosen[name] ? (name === "Memory" ? chosen[name] / 1024 : chosen[name]) : ""} /></label>`)}
    <${Submit} /></form>`;
}

function Chip({ label, drop, onDrop }) {
  return html`<span class="chip">${label}<button type="button" aria-label=${drop} title=${drop} onClick=${onDrop}><${Icon} name="x" /></button></span>`;
}

export function Toolbar({ counts, filter, set, owners, hosts, said, compact, onCompact }) {
  const names = resources([...new Set((hosts || []).flatMap((host) => Object.keys(host.capacity)))]);
  const sizes = needsOf(filter.needs);
  const many = [filter.owner, filter.needs, filter.find].filter(Boolean).length;
  return html`<div class="toolbar" role="search"><${Search} filter=${filter} set=${set} />
    <div class="seg" role="group" aria-label=${t("line.status")}>${SHOWN.map((status) => html`<button type="button" key=${status}
      aria-pressed=${status === filter.status ? "true" : "false"} onClick=${() => set({ status })}>${t(`status.${status}`)}<span class="num">${number(counts[status] || 0)}</span></button>`)}</div>
    <${Pick} icon="filter" label=${t("line.owner")} pressed=${filter.owner}>${(close) => html`<${OwnerForm} filter=${filter} owners=${owners} set=${set} close=${close} />`}</${Pick}>
    ${names.length > 0 && html`<${Pick} icon="filter" label=${t("line.size")} pressed=${filter.needs}>${(close) => html`<${SizeForm} filter=${filter} names=${names} set=${set} close=${close} />`}</${Pick}>`}
    ${filter.owner && html`<${Chip} label=${t("line.chip.owner", { owner: filter.owner })} drop=${t("line.chip.drop", { what: t("line.owner") })} onDrop=${() => set({ owner: "" })} />`}
    ${sizes.length > 0 && html`<${Chip} label=${t("line.chip.size", { size: sizes.map(([name, least]) => amount(name, least)).join(", ") })}
      drop=${t("line.chip.drop", { what: t("line.size") })} onDrop=${() => set({ needs: "" })} />`}
    ${many > 1 && html`<${Button} data-kind="bare" data-size="sm" onClick=${() => set({ owner: "", needs: "", find: "" })}>${t("line.clear", { n: many })}</${Button}>`}
    <span class="grow"></span><span class="said" role="status">${said}</span>
    <span class="wide-only"><button type="button" class="btn" data-kind="bare" data-size="icon" aria-pressed=${compact ? "true" : "false"} aria-label=${t("line.compact")}
      title=${t("line.compact")} onClick=${onCompact}><${Icon} name="rows" /></button></span></div>`;
}
