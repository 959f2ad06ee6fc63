// Who is next in each type, and what lets one go first from here: its arrow, then yes to the preview. Two clicks.
import { html, useEffect, useRef, useState } from "../dom.js";
import { clock, get, may, path } from "../api.js";
import { useEvery } from "../data.js";
import { instant, number, sizeOf, span } from "../format.js";
import { Button, Icon, Status } from "../parts.js";
import { reach } from "../reach.js";
import { go, to } from "../router.js";
import { t } from "../texts.js";
import { Toast } from "../toasts.js";
import { reasonOf } from "./line-reason.js";
import { MoveDialog, undoable } from "./move.js";

const TYPES = 8; // types whose first jobs are shown: one call each
const JOBS = 3; // of each
const REST_MS = 4000; // between two reads of a type because something happened in it
const DRIFT_MS = 15000; // after which reasons are read anew though nothing happened
const TYPED_MS = 200; // after the last letter, until what was typed is looked for

const firstOf = (type) => get(`v1/${path(type)}/?status=queued&limit=${JOBS}&reason=1`).then(({ data }) => data, () => null);

// Type → its first jobs. `held`: what is shown stays, as while a person points at it.
function useFirst(types, events, held) {
  const [lists, setLists] = useState({});
  const { current: kept } = useRef({ read: {}, due: new Set(), timer: null });
  const show = () => setLists((old) => ({ ...old, ...kept.read }));
  const latest = useRef(held);
  latest.current = held;
  function read(names) {
    for (const type of names) {
      firstOf(type).then((jobs) => {
        if (jobs) kept.read[type] = jobs;
        if (jobs && !latest.current) show();
      });
    }
  }
  function soon(names) {
    for (const type of names) kept.due.add(type);
    if (kept.due.size) kept.timer ??= setTimeout(() => { kept.timer = null; reach.rest().then(() => { read(kept.due); kept.due.clear(); }); }, REST_MS);
  }
  useEffect(() => read(types), [types.join("\n")]);
  useEffect(() => { soon((events?.map(({ type }) => type) || types).filter((type) => types.includes(type))); }, [events]);
  useEffect(() => { if (!held) show(); }, [held]);
  useEffect(() => () => { clearTimeout(kept.timer); kept.timer = null; }, [types.join("\n")]);
  useEvery(DRIFT_MS, () => read(types), types.join("\n"));
  return [lists, read];
}

// What an index finds by a whole name, in every type; null until that is known.
function useFound(types, name, round) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    if (!name) { setFound(null); return undefined; }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      const look = (type) => get(`v1/${path(type)}/?${new URLSearchParams({ request_id: name, limit: 1, reason: 1 })}`, { signal: abort.signal }).then(({ data }) => data, () => []);
      Promise.all(types.map(look)).then((lists) => { if (!abort.signal.aborted) setFound({ name, jobs: lists.flat() }); });
    }, TYPED_MS);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [name, types.join("\n"), round]);
  return found?.name === name ? found.jobs : null;
}

function Why({ job }) {
  if (job.Status !== "queued") return html`<${Status} status=${job.Status} />`;
  const { icon, tone, text } = reasonOf(job);
  return html`<div class="why" data-tone=${tone}><${Icon} name=${icon} /><span class="clip2" title=${text}>${text}</span></div>`;
}

function Row({ job, place, onFirst }) {
  const { Type: type, RequestID: name } = job;
  const since = (clock.now() - Date.parse(job.CreatedAt)) / 1000;
  return html`<tr><td class="full"><a class="strong wrap" href=${to("job", type, name)}>${name}</a><br /><span class="sub">${[job.OwnerID, type].filter(Boolean).join(" · ")}</span></td>
    <td class="num" data-l=${t("next.place")}>${place ? number(place) : "–"}</td>
    <td class="num" data-l=${t("line.since")} title=${instant(job.CreatedAt)}>${span(since)}</td><td class="full" data-l=${t("line.size")}>${sizeOf(job).text}</td>
    <td class="full"><${Why} job=${job} /></td>
    <td class="num ac">${place > 1 && may("update", type) && html`<${Button} data-size="sm" icon="up" aria-label=${`${t("line.front")}: ${name}`} onClick=${() => onFirst(job, place)}>${t("line.front")}</${Button}>`}</td></tr>`;
}

// Jobs as rows, each with what lets it go first. `moving`: the one that is asked about, { job, place }.
function Jobs({ id, title, jobs, none, rows, refresh, moving, setMoving, ...rest }) {
  const [toast, setToast] = useState(null);
  const head = (name, kind) => html`<th scope="col" class=${kind}>${name}</th>`;
  return html`<section class="panel" aria-labelledby=${id} ...${rest}><div class="panel-h"><h2 id=${id}>${title}</h2></div>
    ${jobs.length > 0 && html`<table class="tbl next cards"><thead><tr>${head(t("line.job"))}${head(t("next.place"), "num")}${head(t("line.since"), "num")}${head(t("line.size"))}
      ${head(t("line.why"))}<th scope="col"><span class="vh">${t("line.actions")}</span></th></tr></thead>
      <tbody>${jobs.map(({ job, place }) => html`<${Row} key=${`${job.Type} ${job.ID}`} job=${job} place=${place} onFirst=${(one, at) => setMoving({ job: one, place: at })} />`)}</tbody></table>`}
    ${none && html`<p class="panel-b sub">${none}</p>`}
    ${moving && html`<${MoveDialog} type=${moving.job.Type} job=${moving.job} from=${moving.place - 1} target=${0} count=${rows.find(({ name }) => name === moving.job.Type)?.counts.queued || 0}
      onDone=${undoable(moving.job, 0, setToast, refresh)} onClose=${() => setMoving(null)} />`}
    <${Toast} toast=${toast} onGone=${() => setToast(null)} /></section>`;
}

export function Next({ rows, events, reload }) {
  const [pointed, setPointed] = useState(false);
  const [moving, setMoving] = useState(null);
  const types = rows.filter(({ counts }) => counts.queued > 0).map(({ name }) => name).slice(0, TYPES);
  const [lists, read] = useFirst(types, events, pointed || Boolean(moving));
  if (!types.length) return null;
  const jobs = types.flatMap((type) => (lists[type] || []).map((job, n) => ({ job, place: job.Position || n + 1 })));
  const refresh = () => { read(types); reload(); };
  return html`<${Jobs} id="next" title=${t("next.title")} jobs=${jobs} rows=${rows} refresh=${refresh} moving=${moving} setMoving=${setMoving}
    onPointerEnter=${(event) => setPointed(event.pointerType === "mouse")} onPointerLeave=${() => setPointed(false)} />`;
}

// Where a job's name is typed: in the bar at the top, and on a phone, whose bar has no room, in the head of the overview.
// What is typed stands in the address.
export function FindJob({ text }) {
  const typed = (event) => go(to("overview", undefined, undefined, event.target.value ? { find: event.target.value } : {}), { replace: true });
  return html`<form class="find" role="search" aria-label=${t("next.find")} onSubmit=${(event) => event.preventDefault()}><${Icon} name="search" />
    <input class="input" type="search" aria-label=${t("next.find")} placeholder=${t("next.find")} autocomplete="off" spellcheck=${false} value=${text} onInput=${typed} /></form>`;
}

// The jobs of the name that is looked for. They stand first, in sight of who types.
export function Found({ rows, text, reload }) {
  const [moving, setMoving] = useState(null);
  const [round, setRound] = useState(0);
  const name = text.trim();
  const found = useFound(rows.map((row) => row.name), name, round);
  if (!name) return null;
  const refresh = () => { setRound((n) => n + 1); reload(); };
  return html`<${Jobs} id="found" title=${t("next.found", { text: name })} jobs=${(found || []).map((job) => ({ job, place: job.Position }))}
    none=${!found ? t("next.looking") : !found.length && t("next.nomatch", { text: name })}
    rows=${rows} refresh=${refresh} moving=${moving} setMoving=${setMoving} />`;
}
