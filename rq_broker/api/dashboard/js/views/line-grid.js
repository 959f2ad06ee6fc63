// The grid of the line: rows in sight, keys, selection, what is lifted, and the dialogs that ask before anything moves.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../dom.js";
import { may } from "../api.js";
import { number } from "../format.js";
import { useTick } from "../live.js";
import { Button, Failure } from "../parts.js";
import { go, to } from "../router.js";
import { language, many, t } from "../texts.js";
import { Toast } from "../toasts.js";
import { BulkBar, BulkDialog, useSelection } from "./line-bulk.js";
import { useLift } from "./line-lift.js";
import { useLive } from "./line-live.js";
import { RowMenu } from "./line-menu.js";
import { isBlocked, reasonOf } from "./line-reason.js";
import { axisOf, Columns, hasForecast, LoadingRows, Row } from "./line-rows.js";
import { isFiltered, Toolbar } from "./line-tools.js";
import { rowHeight, useWindow } from "./line-window.js";
import { MoveDialog, PlaceDialog, undoable } from "./move.js";

const OVERSCAN = 10;
const PRESS_MS = 500; // of touch that select a row

function useCompact() {
  const [compact, setCompact] = useState(() => { try { return localStorage.getItem("compact") === "1"; } catch { return false; } });
  const flip = () => {
    try { localStorage.setItem("compact", compact ? "0" : "1"); } catch { /* storage may be off */ }
    setCompact(!compact);
  };
  return [compact, flip];
}

// The indexes of the rows to draw: those in sight, some around them, and the focused one, which may not vanish.
function drawn(first, last, count, focus) {
  const from = Math.max(0, first - OVERSCAN);
  const until = Math.min(count - 1, last + OVERSCAN);
  const indexes = Array.from({ length: Math.max(0, until - from + 1) }, (_, n) => from + n);
  if (focus >= 0 && focus < count && (focus < from || focus > until)) indexes.push(focus);
  return indexes;
}

export function Grid({ type, source, filter, set, counts, hosts, events, policy, kept, beside, hits, empty, reload, onFirst }) {
  const box = useRef(null);
  const grid = useRef(null);
  const [compact, flipCompact] = useCompact();
  const [, resized] = useState(0);
  const height = rowHeight(compact);
  const { count } = source;
  const view = { ...useWindow(box, count, height), height };
  const [focus, setFocus] = useState(0);
  const [pointed, setPointed] = useState(false);
  const [hold, setHold] = useState(false);
  const [dialog, setDialog] = useState(null); // { kind: "move" | "place" | "bulk", … }
  const [menu, setMenu] = useState(null);
  const [toast, setToast] = useState(null);
  const filtered = isFiltered(filter);
  const movable = filter.status === "queued" && !filtered && may("update", type);
  const selectable = may("act", type);
  const selection = useSelection(JSON.stringify([type, filter]));
  const lift = useLift({
    count, view, onDrop: ({ job, from, to: target }) => setDialog({ kind: "move", job, from, target }),
    onMoved: ({ to: target, y }) => { if (y === undefined) view.reveal(target); },
  });
  const { lifted } = lift;
  const held = hold || pointed || Boolean(lifted || dialog || menu) || selection.any;
  const live = useLive({ source, events, held, view, onRead: () => { reload(); onFirst(firstWaiting()); } });
  useTick(1000);
  useEffect(() => {
    const listen = () => resized((n) => n + 1);
    window.addEventListener("resize", listen);
    return () => window.removeEventListener("resize", listen);
  }, []);
  useEffect(() => { setFocus(0); lift.cancel(); }, [source]);
  useEffect(() => { if (view.first === 0 && live.above) live.seen(); }, [view.first === 0]);

  const indexes = drawn(view.first, view.last, count, Math.min(focus, count - 1));
  const [low, high] = [Math.max(0, view.first - OVERSCAN), view.last + OVERSCAN];
  useEffect(() => { source.want(low, Math.max(0, high)); }, [low, high, source, source.pages]);
  const ready = Boolean(source.row(low));
  useEffect(() => { if (ready) onFirst(firstWaiting()); }, [source, ready]);
  const inSight = indexes.map((index) => source.row(index));
  const axis = useMemo(() => axisOf(inSight), [source, ready, inSight.some(hasForecast)]);

  // The first that does not fit, if it is at hand.
  function firstWaiting() {
    for (let index = 0; index < 20; index += 1) {
      const job = source.row(index);
      if (job && isBlocked(job)) return job.RequestID;
    }
    return null;
  }

  const focused = useRef(false); // whether the focus shall follow the row
  useLayoutEffect(() => {
    if (!focused.current) return;
    const row = grid.current?.querySelector(`[data-index="${focus}"]`);
    if (row && document.activeElement !== row) row.focus({ preventScroll: true });
  });

  function focusOn(index) {
    focused.current = true;
    const place = Math.min(count - 1, Math.max(0, index));
    setFocus(place);
    view.reveal(place);
    return place;
  }

  // A long press selects, where there is no pointer that hovers.
  const press = useRef(null);
  function pressed(event) {
    clearTimeout(press.current);
    const at = event.target.closest("[data-index]");
    if (event.pointerType !== "touch" || !at || !selectable || event.target.closest("button, input")) return;
    const index = Number(at.dataset.index);
    press.current = setTimeout(() => { press.current = "done"; const job = source.row(index); if (job && !job.other) selection.toggle(job, index); }, PRESS_MS);
  }
  function released(event) {
    if (press.current === "done") { event.preventDefault(); event.stopPropagation(); }
    clearTimeout(press.current);
    press.current = null;
  }

  const on = {
    grip: (event, index, job) => { focused.current = false; lift.grip(event, index, job); },
    select(event, index, job) { if (event.shiftKey) selection.extend(index, (i) => source.row(i)); else selection.toggle(job, index); setFocus(index); },
    menu(anchor, index, job) { setFocus(index); setMenu({ anchor, index, job }); },
    front: (index, job) => setDialog({ kind: "move", job, from: place(job, index), target: 0 }),
    move: (index, job) => setDialog({ kind: "place", job, from: place(job, index) }),
    act: (action, job) => setDialog({ kind: "bulk", action, selection: { all: false, jobs: new Map([[job.RequestID, job]]) } }),
  };
  const place = (job, index) => (job.Position ? job.Position - 1 : index);

  function keys(event) {
    if (event.target.closest("input, button, a") && !lifted && event.key !== "Escape" && !(event.key.toLowerCase() === "a" && event.ctrlKey)) return;
    const job = source.row(focus)?.other ? null : source.row(focus);
    const step = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (lifted) { if (lift.key(event)) event.preventDefault(); return; }
    if (step !== undefined && plain) {
      const next = focusOn(focus + step);
      if (event.shiftKey && selectable) selection.extend(next, (i) => source.row(i));
    } else if (event.key === " " && plain && movable && job) { focused.current = true; lift.lift(focus, job); }
    else if (event.key === "Enter" && plain && job) go(to("job", type, job.RequestID));
    else if (event.key === "x" && plain && selectable && job) selection.toggle(job, focus);
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey) && selectable) selection.everything();
    else if (event.key === "m" && plain && job) on.menu(grid.current.querySelector(`[data-index="${focus}"]`), focus, job);
    else if (event.key === "w" && plain && job && may("withdraw", type)) on.act("withdraw", job);
    else if (event.key === "Escape" && selection.any) selection.clear();
    else return;
    event.preventDefault();
  }

  const spoken = lifted && t("line.at", { n: number(lifted.to + 1), count: number(count) })
    + (lifted.to !== lifted.from ? neighbour() : "");
  function neighbour() {
    const behind = source.row(lifted.to > lifted.from ? lifted.to + 1 : lifted.to);
    return behind ? t("line.before", { name: behind.RequestID }) : "";
  }
  const range = count === 0 ? "" : t(source.whole ? "line.rows" : "line.rows.more", { from: number(view.first + 1), to: number(Math.min(count, view.last + 1)), count: number(count) }) + (beside > 0 ? t("line.rows.beside", { n: number(beside) }) : "");
  const said = source.busy && !source.whole && count === 0 ? t("line.looking") : range;
  const waits = held && live.waiting > 0;
  const owners = [...new Set(indexes.map((index) => source.row(index)?.OwnerID).filter(Boolean))];
  const minute = Math.floor(Date.now() / (count && indexes.some((i) => young(source.row(i))) ? 1000 : 60000));
  const allOf = selection.all ? "all" : selection.size ? "some" : "";
  const seenNames = new Set();

  function row(index) {
    const job = source.row(index);
    const isLifted = lifted?.from === index;
    const gone = job && live.gone.get(job.RequestID);
    const selected = Boolean(job && selection.any && selection.has(job));
    const state = [selected && "selected", index === focus && focused.current && "focused", job && kept === job.RequestID && "first", isLifted && "left", gone && "gone"].filter(Boolean).join(" ");
    const key = job && !job.other && !seenNames.has(job.RequestID) ? (seenNames.add(job.RequestID), job.RequestID) : `#${index}`;
    return html`<${Row} key=${key} job=${job} index=${index} top=${view.top(index)} axis=${axis} state=${state} minute=${minute} gone=${gone} focusable=${index === focus}
      movable=${movable && !gone} selectable=${selectable} selected=${selected} acts=${true} lang=${language()} on=${on} reason=${reasonOf} />`;
  }

  const layers = html`${menu && html`<${RowMenu} key=${menu.job.ID} type=${type} ...${menu} movable=${filter.status === "queued" && may("update", type)} on=${on} onClose=${() => setMenu(null)} />`}
    ${dialog?.kind === "move" && html`<${MoveDialog} type=${type} job=${dialog.job} from=${dialog.from} target=${dialog.target} count=${counts.queued}
      onDone=${undoable(dialog.job, dialog.target, setToast, live.now)} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === "place" && html`<${PlaceDialog} job=${dialog.job} from=${dialog.from} count=${counts.queued} onClose=${() => setDialog((now) => (now === dialog ? null : now))}
      onChosen=${(target) => setDialog({ ...dialog, kind: "move", target })} />`}
    ${dialog?.kind === "bulk" && html`<${BulkDialog} type=${type} action=${dialog.action} selection=${dialog.selection} filter=${filter} onClose=${() => setDialog(null)}
      onDone=${(sums, text) => { selection.clear(); setToast({ text }); live.now(); }} />`}
    <${Toast} toast=${toast} onGone=${() => setToast(null)} />`;
  // The dialogs keep their place in the tree whatever is shown beside them: a dialog that tells a result stays open.
  if (source.ready && count === 0 && source.whole) {
    const none = html`<${Toolbar} counts=${counts} filter=${filter} set=${set} owners=${owners} hosts=${hosts} said="" compact=${compact} onCompact=${flipCompact} />${hits}
      <div class="panel">${empty}</div>`;
    return framed(none, layers);
  }
  const shown = html`${selection.any ? html`<${BulkBar} type=${type} selection=${selection} filter=${filter} count=${count} whole=${source.whole}
      onAct=${(action) => setDialog({ kind: "bulk", action, selection })}
      onMove=${filter.status === "queued" && selection.size === 1 && may("update", type) ? () => { const [job] = selection.jobs.values(); on.move(0, job); } : null} />`
    : html`<${Toolbar} counts=${counts} filter=${filter} set=${set} owners=${owners} hosts=${hosts} said=${said} compact=${compact} onCompact=${flipCompact} />`}
    ${hits}${source.error && html`<${Failure} error=${source.error} again=${() => source.want(low, high)} />`}
    <div class="line" role="grid" aria-label=${t("line.label", { type })} aria-rowcount=${source.whole ? count + 1 : -1} aria-multiselectable=${selectable ? "true" : undefined}
        data-digits=${count > 9999 ? "7" : undefined} data-density=${compact ? "compact" : undefined} ref=${grid} onKeyDown=${keys} onPointerDown=${pressed} onPointerCancel=${released} onClickCapture=${released}
        onPointerEnter=${(event) => setPointed(event.pointerType === "mouse")} onPointerLeave=${() => setPointed(false)}
        onfocusin=${(event) => { const at = event.target.closest("[data-index]"); if (at && event.target === at) { focused.current = true; setFocus(Number(at.dataset.index)); } }}
        onfocusout=${(event) => { if (event.relatedTarget && !grid.current?.contains(event.relatedTarget)) focused.current = false; }}>
      <${Columns} axis=${axis} all=${allOf} selectable=${selectable} onAll=${() => (selection.any ? selection.clear() : seen(indexes, source, selection, view))} />
      ${live.above > 0 && html`<div class="new-above"><${Button} data-size="sm" icon="up" onClick=${() => { view.place(0); live.seen(); }}>${many("line.above", live.above, { n: number(live.above) })}</${Button}></div>`}
      ${!source.ready && !source.error && html`<${LoadingRows} />`}
      <div role="rowgroup" class="rows" ref=${box} style=${{ height: `${view.tall}px`, position: "relative" }}>${indexes.map(row)}
        ${lifted && html`<${Carried} lifted=${lifted} view=${view} box=${box} axis=${axis} count=${count} minute=${minute} />`}</div></div>
    <p class="line-foot"><span role="status">${spoken || (count === 0 ? "" :  t("line.row", { n: number(Math.min(focus, count - 1) + 1), count: number(count) }))}</span>
      <span class="foot-end"><span class="waits">${waits && many("line.held", live.waiting, { n: number(live.waiting) })}</span>
        <${Button} data-kind="bare" data-size="sm" icon=${hold ? "play" : "pause"} aria-pressed=${hold ? "true" : "false"} onClick=${() => setHold(!hold)}>${t(hold ? "line.unhold" : "line.hold")}</${Button}>
        <span class="wide-only">${movable ? t("line.keys") : filtered && filter.status === "queued" ? t("line.filtered") : ""}</span></span></p>`;
  return framed(shown, layers);
}

// Each in an element of its own: where two lists of nodes stand side by side, Preact may drop one when the other shrinks.
const framed = (shown, layers) => html`<div class="through"><div class="through">${shown}</div><div class="through">${layers}</div></div>`;

const young = (job) => job && Date.now() - Date.parse(job.CreatedAt) < 120000;

function seen(indexes, source, selection, view) {
  const rows = indexes.filter((index) => index >= view.first && index <= view.last && source.row(index) && !source.row(index).other);
  if (rows.length) { selection.toggle(source.row(rows[0]), rows[0]); selection.extend(rows.at(-1), (i) => source.row(i)); }
}

// The row that is carried, where it would land, and the line that shows between which rows that is.
function Carried({ lifted, view, box, axis, count, minute }) {
  const { job, from, to: target, y } = lifted;
  const edge = view.top(target > from ? target + 1 : target);
  const top = y === undefined ? view.top(target) : y - box.current.getBoundingClientRect().top - view.height / 2;
  return html`<div class="drop" style=${{ position: "absolute", left: 0, right: 0, transform: `translateY(${edge}px)` }}><span>${t("line.drop", { n: number(target + 1) })}</span></div>
    <div class="carried" aria-hidden="true"><${Row} job=${job} index=${target} top=${top} axis=${axis} state="lifted" minute=${minute} movable=${true} selectable=${true} selected=${false}
      acts=${false} on=${{}} reason=${reasonOf} /></div>`;
}
