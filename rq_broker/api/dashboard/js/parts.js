// Small parts that several views are made of.
import { html, useEffect, useRef, useState } from "./dom.js";
import { Art } from "./art.js";
import { number, range } from "./format.js";
import { gap, t } from "./texts.js";

export function Icon({ name, label, tone = "" }) {
  const described = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return html`<svg class=${`i ${tone}`} ...${described}><use href=${`#i-${name}`} /></svg>`;
}

export function Button({ icon, children, ...rest }) {
  return html`<button type="button" class="btn" ...${rest}>${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

export function Badge({ tone, icon, children }) {
  return html`<span class="badge" data-tone=${tone}><${Icon} name=${icon} />${children}</span>`;
}

const STATUS = {
  queued: { icon: "line" }, beside: { icon: "clock" }, granted: { icon: "check", tone: "held" },
  running: { icon: "play", tone: "ok" }, done: { icon: "ok" }, error: { icon: "bad", tone: "bad" },
};

export function Status({ status, children }) {
  const { icon, tone } = STATUS[status] || { icon: "info" };
  return html`<${Badge} tone=${tone} icon=${icon}>${children || t(`status.${status}`)}</${Badge}>`;
}

// Parts of a whole as a bar: used, held, kept, free, in this order always. Amounts, not shares. What is kept may be unknown.
export function Cap({ name, total, used, held, kept }) {
  const share = (value) => (total > 0 ? Math.min(100, Math.max(0, (100 * value) / total)) : 0);
  const [u, h] = [share(used), share(held)];
  const k = Math.min(share(kept || 0), 100 - u - h);
  const free = Math.max(0, total - used - held - (kept || 0));
  const label = t(kept === undefined ? "cap.label.sums" : "cap.label", { name, used: number(used), held: number(held), kept: number(kept || 0), free: number(free) });
  return html`<svg class="cap" role="img" aria-label=${label}>
    <rect class="c-free" width="100%" height="100%" /><rect class="c-used" width=${`${u}%`} height="100%" />
    <rect class="c-gap" x=${`${u}%`} width="1" height="100%" /><rect class="c-held" x=${`${u}%`} width=${`${h}%`} height="100%" />
    ${k > 0 && html`<rect fill="url(#hatch)" x=${`${u + h}%`} width=${`${k}%`} height="100%" />`}</svg>`;
}

// The same as three thin bars on a tile of the map.
export function Bars({ shares }) {
  return html`<svg class="bars" aria-hidden="true">${shares.map(({ used, held }, row) => {
    const y = 5.5 * row;
    return html`<rect class="c-free" y=${y} width="100%" height="4" /><rect class="c-used" y=${y} width=${`${used}%`} height="4" />
      <rect class="c-held" x=${`${used}%`} y=${y} width=${`${held}%`} height="4" />`;
  })}</svg>`;
}

// A forecast on the axis that all rows share, `axis` seconds wide.
export function EtaBar({ eta, axis, steps = 3 }) {
  const at = (seconds) => Math.min(100, (100 * seconds) / axis);
  const lines = Array.from({ length: steps + 1 }, (_, n) => `${(100 * n) / steps}%`);
  const { p50, p90 } = eta || {};
  const known = typeof p50 === "number";
  const end = typeof p90 === "number" ? at(p90) : 100;
  return html`<svg class="eta-bar" aria-hidden="true">
    ${lines.map((x) => html`<line class="grid" x1=${x} x2=${x} y1="0" y2="100%" />`)}
    ${known && html`<line class="lead" x1="0" x2=${`${at(p50)}%`} y1="50%" y2="50%" />`}
    ${known && p50 < axis && html`<rect class="span" x=${`${at(p50)}%`} width=${`${Math.max(0.8, end - at(p50))}%`} y="15%" height="70%" rx="2" />
      <rect class="mid" x=${`${at(p50)}%`} width="3" y="0" height="100%" rx="1" />`}
    ${known && p50 >= axis && html`<svg x="100%" y="50%" overflow="visible"><path class="more" d="M-6-3.5 -2 0l-4 3.5" /></svg>`}</svg>`;
}

export function Eta({ eta, axis }) {
  const isKnown = typeof eta?.p50 === "number";
  const why = !isKnown && { impossible: "eta.never", computing: "eta.computing" }[eta?.why?.code];
  const text = why ? t(why) : range(eta?.p50, eta?.p90);
  return html`<span class="eta-t"><span class=${isKnown ? "" : "far"}>${text}</span></span>${axis && html`<${EtaBar} eta=${eta} axis=${axis} />`}`;
}

export function Note({ tone, icon = "info", children, action }) {
  return html`<div class="note" data-tone=${tone}><${Icon} name=${icon} /><p>${children}</p>${action}</div>`;
}

// Where there is nothing: what is so, and what to do. `art`: a drawing of art.js; `bare`: it stands in a panel already.
export function Empty({ art = "line", title, children, action, bare }) {
  const drawn = html`<div class="empty"><${Art} name=${art} /><h2>${title}</h2>${children && html`<p>${children}</p>`}${action && html`<div class="actions">${action}</div>`}</div>`;
  return bare ? drawn : html`<section class="panel">${drawn}</section>`;
}

const SOON_MS = 200; // what is read by then shows nothing before

// Stands where something is read that takes longer: the shape of what comes, `rows` lines of it.
export function Loading({ rows = 4 }) {
  const [late, setLate] = useState(false);
  useEffect(() => { const timer = setTimeout(() => setLate(true), SOON_MS); return () => clearTimeout(timer); }, []);
  return html`<div hidden=${!late} aria-busy="true"><section class="panel"><div class="panel-b stack">${Array.from({ length: rows }, (_, n) => html`
    <div key=${n}><span class="sk" data-w=${1 + (n % 2)}></span><span class="sk" data-w=${4 - (n % 2)}></span></div>`)}</div></section></div>`;
}

// What went wrong, beside what was tried: what happened, whether it may have been carried out, and which request.
// `whole`: it stands where a view would, that could not be loaded.
export function Failure({ error, again, whole }) {
  const away = !error.status;
  if (whole) {
    const request = error.requestId && [error.code, t("error.request", { id: error.requestId })].filter(Boolean).join(" · ");
    return html`<div role="alert"><${Empty} art="cut" title=${t("error.title")} action=${again && html`<${Button} icon="undo" onClick=${again}>${t("error.retry")}</${Button}>`}>
      ${away ? t("error.unreachable") : error.message}${request && html`<br /><span class="sub">${request}</span>`}</${Empty}></div>`;
  }
  return html`<div class="note" data-tone="bad" role="alert" ...${away && { "data-away": "" }}><${Icon} name="bad" /><p>${away ? t("error.unreachable") : error.message}
    ${(away || error.status >= 500) && error.method !== "GET" ? gap() + t("error.maybe") : ""}
    ${error.requestId && html`<br /><span class="sub">${[error.code, t("error.request", { id: error.requestId })].filter(Boolean).join(" · ")}</span>`}</p>
    ${again && html`<${Button} data-size="sm" onClick=${again}>${t("error.retry")}</${Button}>`}</div>`;
}

// A dialog in the top layer; Esc closes it and the focus returns to where it was.
export function Dialog({ title, lede, side, children, footer, onClose }) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog class="dlg" ref=${dialog} aria-labelledby="dlg-t" ...${side && { "data-side": "" }} onClose=${onClose}>
    <div class="dlg-h"><h2 id="dlg-t">${title}</h2>${lede && html`<p>${lede}</p>`}</div>
    ${children && html`<div class="dlg-b">${children}</div>`}<div class="dlg-f">${footer}</div></dialog>`;
}

// Asks once before something that cannot be undone. The focus is on the safe answer.
export function Ask({ title, says, action, onYes, onClose, error }) {
  return html`<${Dialog} title=${title} lede=${says} onClose=${onClose} footer=${html`<span class="grow"></span>
    <${Button} autofocus onClick=${onClose}>${t("cancel")}</${Button}>
    <${Button} data-kind="bad" onClick=${onYes}>${action}</${Button}>`}>${error && html`<${Failure} error=${error} />`}</${Dialog}>`;
}

export function Legend() {
  const kinds = [["used", "c-used"], ["held", "c-held"], ["kept", null], ["free", "c-free"]];
  return html`<ul class="legend">${kinds.map(([name, shown]) => html`<li><svg aria-hidden="true">
    <rect class=${shown} fill=${shown ? undefined : "url(#hatch)"} width="100%" height="100%" /></svg>${t(`cap.${name}`)}</li>`)}</ul>`;
}
