// Acting on many jobs at once: what is selected, the bar that says so, and the dialog that asks before it acts.
import { html, useEffect, useRef, useState } from "../dom.js";
import { call, may, path } from "../api.js";
import { amount, instancesOf, number, resources } from "../format.js";
import { Button, Dialog, Failure, Icon, Note } from "../parts.js";
import { many, t } from "../texts.js";
import { actionFilter, isFiltered } from "./line-tools.js";

const MOST = 1000; // names that one call takes
const NAMED = 20; // jobs that the dialog names

// The selection: names of jobs, or everything that the filter matches. It survives scrolling and updates.
export function useSelection(key) {
  const [state, setState] = useState({ all: false, jobs: new Map() });
  const anchor = useRef(null);
  useEffect(() => setState({ all: false, jobs: new Map() }), [key]);
  const size = state.jobs.size;
  return {
    ...state, size, any: state.all || size > 0,
    has: (job) => state.all || state.jobs.has(job.RequestID),
    clear: () => setState({ all: false, jobs: new Map() }),
    everything: () => setState({ all: true, jobs: new Map() }),
    toggle(job, index) {
      anchor.current = index;
      setState((old) => {
        const jobs = new Map(old.all ? [] : old.jobs);
        if (!jobs.delete(job.RequestID)) jobs.set(job.RequestID, job);
        return { all: false, jobs };
      });
    },
    // Selects all rows from the last one toggled to this one.
    extend(index, row) {
      const from = anchor.current ?? index;
      anchor.current = from;
      setState((old) => {
        const jobs = new Map(old.all ? [] : old.jobs);
        for (let i = Math.min(from, index); i <= Math.max(from, index); i += 1) {
          const job = row(i);
          if (job && !job.other) jobs.set(job.RequestID, job);
        }
        return { all: false, jobs };
      });
    },
  };
}

// What the selected jobs ask for together, of the first resource that they name.
function sum(jobs) {
  const totals = {};
  for (const job of jobs) {
    let demand;
    try { demand = JSON.parse(job.Data); } catch { continue; }
    for (const instance of instancesOf(demand)) {
      const times = typeof instance.count === "object" ? instance.count.min : instance.count || 1;
      for (const [name, value] of Object.entries(instance)) {
        if (typeof value === "number" && name !== "count") totals[name] = (totals[name] || 0) + value * times;
      }
    }
  }
  const [main] = resources(Object.keys(totals));
  return main ? amount(main, totals[main]) : "";
}

// What may be done to jobs of a status. `done` is left to their clients.
function actionsOf(status) {
  const moves = status === "queued" ? ["front", "back"] : [];
  const back = ["granted", "running", "error", "done"].includes(status) ? ["requeue"] : [];
  return [...moves, ...back, "withdraw"];
}

const ICONS = { front: "up", back: "down", requeue: "undo", withdraw: "x" };

export function BulkBar({ type, selection, filter, count, whole, onAct, onMove }) {
  const { all, size, jobs } = selection;
  const shown = number(all ? count : size);
  const matching = isFiltered(filter) ? "line.bulk.match" : "line.bulk.every";
  return html`<div class="bulk" role="toolbar" aria-label=${t("line.bulk.label")}><span><strong>${all ? t(whole ? matching : "line.bulk.atleast", { n: shown })
      : many("line.bulk.jobs", size, { n: shown })}</strong> ${t("line.bulk.selected")}${!all && size > 0 && sum(jobs.values()) ? ` · ${sum(jobs.values())}` : ""}</span>
    ${!all && (size < count || !whole) && html`<${Button} data-kind="bare" data-size="sm" onClick=${selection.everything}>${t(whole ? "line.bulk.all" : "line.bulk.rest", { n: number(count) })}</${Button}>`}
    <span class="grow"></span>${onMove && html`<${Button} data-size="sm" icon="move" onClick=${onMove}>${t("line.menu.move")}</${Button}>`}
    ${may("act", type) && actionsOf(filter.status).map((action) => html`<${Button} key=${action} data-size="sm" icon=${ICONS[action]}
      data-kind=${action === "withdraw" ? "bad" : undefined} onClick=${() => onAct(action)}>${t(`line.bulk.${action}`)}</${Button}>`)}
    <${Button} data-kind="bare" data-size="icon" icon="x" aria-label=${t("line.bulk.clear")} title=${t("line.bulk.clear")} onClick=${selection.clear} /></div>`;
}

// The bodies of the calls that do an action to what is selected.
export function bodies(action, selection, filter) {
  const verb = action === "front" || action === "back" ? { action: "move", position: action } : { action };
  if (selection.all) return [{ ...verb, filter: actionFilter(filter) }];
  const names = [...selection.jobs.keys()];
  const parts = Array.from({ length: Math.ceil(names.length / MOST) }, (_, n) => names.slice(n * MOST, (n + 1) * MOST));
  // The jobs keep their order: of what goes to the front, the last part goes first.
  return (action === "front" ? parts.reverse() : parts).map((request_ids) => ({ ...verb, request_ids }));
}

// Makes the calls one after the other, each until it has no `next`, and tells the sums after each.
async function carryOut(type, calls, dry_run, tell, stopped) {
  const sums = { matched: 0, changed: 0, refused: {}, refusals: [], jobs: [] };
  for (const body of calls) {
    let cursor = null;
    do {
      const { data, next } = await call("POST", `types/${path(type)}/actions`, { body: { ...body, ...(dry_run && { dry_run }), ...(cursor && { cursor }) } });
      sums.matched += data.matched;
      sums.changed += data.changed;
      for (const [code, n] of Object.entries(data.refused)) sums.refused[code] = (sums.refused[code] || 0) + n;
      sums.refusals = [...sums.refusals, ...(data.refusals || [])].slice(0, NAMED);
      sums.jobs = [...sums.jobs, ...(data.jobs || [])].slice(0, NAMED);
      tell({ ...sums });
      cursor = next;
    } while (cursor && !stopped());
    if (stopped()) break;
  }
  return sums;
}

const refusedOf = (sums) => Object.values(sums?.refused || {}).reduce((all, n) => all + n, 0);

function Refusals({ sums }) {
  const refused = refusedOf(sums);
  if (!refused) return null;
  return html`<${Note} tone="warn" icon="warn">${many("line.bulk.refused", refused, { n: number(refused) })}</${Note}>
    <ul class="named">${sums.refusals.map(({ request_id, error }) => html`<li key=${request_id}><strong class="clip">${request_id}</strong><span class="sub">${error}</span></li>`)}</ul>`;
}

// Asks before: how many, which, what is refused. Then does it, and tells what was done.
export function BulkDialog({ type, action, selection, filter, onDone, onClose }) {
  const [dry, setDry] = useState(null);
  const [counted, setCounted] = useState(false);
  const [done, setDone] = useState(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const closed = useRef(false);
  const calls = useRef(bodies(action, selection, filter)).current;
  useEffect(() => {
    carryOut(type, calls, true, (sums) => { if (!closed.current) setDry(sums); }, () => closed.current)
      .then(() => setCounted(true), setError);
    return () => { closed.current = true; };
  }, []);
  async function act() {
    setBusy(true);
    setError(null);
    try {
      const sums = await carryOut(type, calls, false, setDone, () => closed.current);
      onDone(sums, t(`line.bulk.${action}.done`, { n: number(sums.changed) }));
      if (!refusedOf(sums)) onClose();
      else setBusy(null);
    } catch (refusal) { setError(refusal); setBusy(false); }
  }
  const n = dry ? dry.matched - refusedOf(dry) : 0;
  const title = dry ? many(`line.bulk.${action}.ask`, n, { n: number(n) }) : t("line.bulk.counting");
  const withdraws = action === "withdraw";
  const finished = busy === null;
  return html`<${Dialog} title=${finished ? t(`line.bulk.${action}.done`, { n: number(done.changed) }) : title} onClose=${onClose}
      lede=${finished ? "" : `${t(`line.bulk.${action}.says`)}${dry && !counted ? ` ${t("line.bulk.counting.on")}` : ""}`}
      footer=${html`<span class="grow">${busy && done ? t("line.bulk.so", { n: number(done.changed) }) : ""}</span>
        <${Button} autofocus=${withdraws || finished} onClick=${onClose}>${t(finished ? "close" : withdraws ? "line.bulk.keep" : "cancel")}</${Button}>
        ${!finished && html`<${Button} data-kind=${withdraws ? "bad" : "main"} icon=${ICONS[action]} autofocus=${!withdraws} aria-busy=${busy ? "true" : "false"}
          disabled=${busy || !dry || n === 0} onClick=${act}>${many(`line.bulk.${action}.do`, n, { n: number(n) })}</${Button}>`}`}>
    ${error && html`<${Failure} error=${error} />`}
    ${dry && !finished && html`<ul class="named">${dry.jobs.map((job) => html`<li key=${job.ID}><strong class="clip">${job.RequestID}</strong><span class="sub clip">${job.OwnerID}</span></li>`)}
      ${n > dry.jobs.length && html`<li class="sub">${t("line.bulk.more", { n: number(n - dry.jobs.length) })}</li>`}</ul>`}
    <${Refusals} sums=${finished ? done : dry} /></${Dialog}>`;
}
