// The rows of the line and their column heads.
import { Component, html, useEffect, useState } from "../dom.js";
import { clock } from "../api.js";
import { instant, number, size, sizeOf, span } from "../format.js";
import { Eta, Icon, Status } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const AXES = [3600, 21600, 86400, 604800]; // seconds

const endOf = (job) => job?.ETA?.p90 ?? job?.ETA?.p50;
export const hasForecast = (job) => typeof endOf(job) === "number";

// The smallest axis that holds half of the rows seen; null where no row has a forecast to draw on it.
export function axisOf(rows) {
  const known = rows.filter(hasForecast).map(endOf);
  if (!known.length) return null;
  const half = known.sort((a, b) => a - b)[Math.floor((known.length - 1) / 2)];
  return AXES.find((axis) => axis >= half) || AXES.at(-1);
}

function Skeleton({ index, style }) {
  return html`<div class="line-row" role="row" aria-rowindex=${index + 2} aria-busy="true" style=${style}>
    <span role="gridcell" class="grip-c"></span><span role="gridcell" class="sel"></span><span role="gridcell" class="pos">${number(index + 1)}</span>
    <span role="gridcell" class="job"><span class="sk" data-w="3"></span><span class="sk" data-w="1"></span></span>
    <span role="gridcell" class="size"><span class="sk" data-w="4"></span></span><span role="gridcell" class="since"><span class="sk"></span></span>
    <span role="gridcell" class="eta"><span class="sk" data-w="2"></span></span><span role="gridcell" class="why"><span class="sk" data-w="4"></span></span>
    <span role="gridcell" class="menu-c"></span></div>`;
}

const SOON_MS = 200; // what is read by then shows nothing before
const FIRST = 8; // rows of which nothing is known yet

// The shape of a line that is being read.
export function LoadingRows() {
  const [late, setLate] = useState(false);
  useEffect(() => { const timer = setTimeout(() => setLate(true), SOON_MS); return () => clearTimeout(timer); }, []);
  return late && html`<div role="rowgroup">${Array.from({ length: FIRST }, (_, n) => html`<${Skeleton} key=${n} index=${n} />`)}</div>`;
}

// A job of another owner, as its neighbours in the line may see it: its place and its size.
function Other({ job, index, style }) {
  return html`<div class="line-row" role="row" aria-rowindex=${index + 2} style=${style} data-state="other">
    <span role="gridcell" class="grip-c"></span><span role="gridcell" class="sel"></span><span role="gridcell" class="pos">${number(job.Position)}</span>
    <span role="gridcell" class="job quiet">${t("line.other")}</span><span role="gridcell" class="size"><span class="clip">${size(job.Data).text}</span></span>
    <span role="gridcell" class="since"></span><span role="gridcell" class="eta"></span><span role="gridcell" class="why"></span><span role="gridcell" class="menu-c"></span></div>`;
}

// Why a job waits; of one that does not wait, where it is.
function Why({ job, gone, reason }) {
  if (gone) return html`<div role="gridcell" class="why"><${Status} status=${gone}>${gone === "deleted" ? t("line.left") : undefined}</${Status}></div>`;
  if (job.Status !== "queued") {
    const text = job.Error || (job.Hosts || []).join(", ");
    return html`<div role="gridcell" class="why"><${Status} status=${job.Status} /><span class="clip2" title=${text}>${text}</span></div>`;
  }
  const { icon, tone, text } = reason(job);
  return html`<div role="gridcell" class="why" data-tone=${tone}><${Icon} name=${icon} /><span class="clip2" title=${text}>${text}</span></div>`;
}

const PLAIN = ["job", "index", "top", "axis", "state", "minute", "gone", "focusable", "movable", "selectable", "selected", "acts", "lang"];

export class Row extends Component {
  // What a row shows depends on these alone; most scrolling then costs no row anything but its place.
  shouldComponentUpdate(next) { return PLAIN.some((name) => next[name] !== this.props[name]); }

  render({ job, index, top, axis, state, gone, focusable, movable, selectable, selected, acts, on, reason }) {
    const style = { position: "absolute", top: 0, left: 0, right: 0, transform: `translateY(${top}px)` };
    if (!job) return html`<${Skeleton} index=${index} style=${style} />`;
    if (job.other) return html`<${Other} job=${job} index=${index} style=${style} />`;
    const { text, more } = sizeOf(job);
    const since = (clock.now() - Date.parse(job.CreatedAt)) / 1000;
    const name = job.RequestID;
    const select = selectable ? { "aria-selected": selected ? "true" : "false" } : {};
    return html`<div class="line-row" role="row" aria-rowindex=${index + 2} ...${select} data-state=${state} style=${style}
        tabindex=${focusable ? 0 : -1} data-index=${index} data-name=${name}>
      <div role="gridcell" class="grip-c">${movable && html`<button type="button" class="grip" aria-label=${`${t("line.move")} ${name}`} tabindex="-1"
        onPointerDown=${(event) => on.grip(event, index, job)}><${Icon} name="grip" /></button>`}</div>
      <div role="gridcell" class="sel">${selectable && html`<input type="checkbox" class="check" tabindex="-1" aria-label=${`${t("line.select")} ${name}`}
        checked=${selected} onClick=${(event) => on.select(event, index, job)} />`}</div>
      <div role="gridcell" class="pos">${job.Position ? number(job.Position) : "–"}</div>
      <div role="gridcell" class="job two"><a class="clip" tabindex="-1" href=${to("job", job.Type, name)} title=${name}>${name}</a>
        <span class="sub clip">${job.OwnerID}</span></div>
      <div role="gridcell" class="size two"><span class="clip" title=${text}><span class="phone-only">${job.OwnerID ? `${job.OwnerID} · ` : ""}</span>${text}</span><span class="sub clip">${more}</span></div>
      <div role="gridcell" class="since num" title=${instant(job.CreatedAt)}>${span(since)}</div>
      <div role="gridcell" class="eta">${job.Status === "queued" && !gone && html`<${Eta} eta=${job.ETA} axis=${axis} />`}</div>
      <${Why} job=${job} gone=${gone} reason=${reason} />
      <div role="gridcell" class="menu-c">${movable && index > 0 && html`<button type="button" class="go front" tabindex="-1" aria-label=${`${t("line.front")}: ${name}`}
          title=${t("line.front")} onClick=${() => on.front(index, job)}><${Icon} name="up" /></button>`}
        ${acts && html`<button type="button" class="go" tabindex="-1" aria-label=${`${t("line.actions")} ${name}`} aria-haspopup="menu"
          onClick=${(event) => on.menu(event.currentTarget, index, job)}><${Icon} name="more" /></button>`}</div></div>`;
  }
}

export function Columns({ axis, all, onAll, selectable }) {
  const mark = (n) => axis && html`<span aria-hidden="true">${span((axis * n) / 3)}</span>`; // the first third has the word alone: both do not fit
  return html`<div role="rowgroup" class="line-top"><div class="line-row line-head" role="row" aria-rowindex="1">
    <div role="columnheader"><span class="vh">${t("line.move")}</span></div>
    <div role="columnheader" class="sel">${selectable ? html`<input type="checkbox" class="check" aria-label=${t("line.select.all")} checked=${all === "all"}
      ref=${(box) => { if (box) box.indeterminate = all === "some"; }} onClick=${onAll} />` : html`<span class="vh">${t("line.select")}</span>`}</div>
    <div role="columnheader" class="pos">#</div><div role="columnheader">${t("line.job")}</div><div role="columnheader">${t("line.size")}</div>
    <div role="columnheader" class="num">${t("line.since")}</div>
    <div role="columnheader"><span class="eta-axis"><span>${t("line.turn")}</span><span>${mark(2)}</span><span>${mark(3)}</span></span></div>
    <div role="columnheader">${t("line.why")}</div><div role="columnheader"><span class="vh">${t("line.actions")}</span></div></div></div>`;
}
