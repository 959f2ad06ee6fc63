// The page: what stands around every view, and which view is shown.
import { html, render, useEffect, useRef } from "./dom.js";
import { may } from "./api.js";
import { useResource } from "./data.js";
import { clockTime, number, span } from "./format.js";
import { KeysDialog, focusOn, useKeys } from "./keys.js";
import { useEvents, useLost, useReach, useTick } from "./live.js";
import { Button, Failure, Icon, Note } from "./parts.js";
import { to, go, useRoute } from "./router.js";
import { Gate, Who } from "./signin.js";
import { gap, other, t, use, language } from "./texts.js";
import { Audit } from "./views/audit.js";
import { Callbacks } from "./views/callbacks.js";
import { Hosts } from "./views/hosts.js";
import { Job } from "./views/job.js";
import { Line } from "./views/line.js";
import { FindJob } from "./views/next.js";
import { Overview } from "./views/overview.js";
import { Policy } from "./views/policy.js";
import { Reports } from "./views/reports.js";

const COUNTS_MS = 2000; // between two reads of how much waits in each type
const SHOWN = { overview: Overview, line: Line, hosts: Hosts, job: Job, callbacks: Callbacks, audit: Audit, policy: Policy, reports: Reports };

function Mark() {
  return html`<svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
    <rect x="2" y="3" width="16" height="3.6" rx="1.2" fill="currentColor" />
    <rect x="2" y="8.2" width="11" height="3.6" rx="1.2" fill="currentColor" opacity=".65" />
    <rect x="2" y="13.4" width="6.5" height="3.6" rx="1.2" fill="currentColor" opacity=".35" /></svg>`;
}

function Side({ route, types, troubled }) {
  const current = (is) => (is ? { "aria-current": "page" } : {});
  return html`<aside class="side" aria-label="rq-broker"><a class="brand" href=${to("overview")}><${Mark} />rq-broker</a>
    <nav aria-label=${t("nav.main")} class="nav"><ul class="nav"><li><a href=${to("overview")} ...${current(route.view === "overview")}>
      <${Icon} name="grid" /><span>${t("nav.overview")}</span></a></li></ul></nav>
    <nav aria-label=${t("nav.types")}><h2 class="nav-h">${t("nav.types")}</h2><ul class="nav">${Object.entries(types || {}).map(([type, counts]) => html`
      <li key=${type}><a href=${to("line", type)} ...${current(route.type === type)}><${Icon} name="line" /><span class="clip grow">${type}</span>
        ${troubled.has(type) && html`<${Icon} name="warn" tone="warn" label=${t("attention")} />`}
        <span class="num">${number(counts.queued)}</span></a></li>`)}</ul></nav>
    <div class="side-foot"><${Foot} /></div></aside>`;
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* storage may be off */ }
}

function Foot() {
  const { code, name } = other();
  return html`<div class="foot-row"><button type="button" class="btn" data-kind="bare" data-size="icon" aria-label=${t("app.theme")}
      title=${t("app.theme")} onClick=${switchTheme}><${Icon} name="sun" /></button>
    <button type="button" class="btn" data-kind="bare" lang=${code} onClick=${() => { use(code); go(location.pathname + location.search, { replace: true }); }}>
      <${Icon} name="globe" />${name}</button>
    <a class="btn" data-kind="bare" data-size="icon" data-plain href="docs/" aria-label=${t("app.docs")} title=${t("app.docs")}><${Icon} name="info" /></a></div>`;
}

function Top({ route, lost }) {
  const crumbs = [[t("nav.overview"), to("overview")]];
  if (route.type) crumbs.push([route.type, to("line", route.type)]);
  if (route.view !== "overview" && route.view !== "line") crumbs.push([route.name || t(`nav.${route.view}`), null]);
  function find(event) {
    event.preventDefault();
    const text = new FormData(event.target).get("find").trim();
    if (text && route.type) go(to("line", route.type, undefined, { find: text }));
  }
  // A phone has no room for the field: a button leads to the one of the view, or of the line.
  const toField = () => (["overview", "line"].includes(route.view) ? focusOn("main .find input") : go(to("line", route.type)));
  return html`<header class="top"><nav aria-label=${t("nav.crumbs")}><ol class="crumbs">${crumbs.map(([text, href], n) => html`<li>
      ${n === crumbs.length - 1 ? html`<span class="clip" aria-current="page">${text}</span>` : html`<a class="clip" href=${href}>${text}</a>`}</li>`)}</ol></nav>
    <span class="grow"></span>
    ${!route.type && may("page") && html`<${FindJob} text=${route.query.find || ""} />`}
    ${route.type && html`<form class="find" role="search" aria-label=${t("app.find")} onSubmit=${find}><${Icon} name="search" />
      <input class="input" type="search" name="find" aria-label=${t("app.find")} placeholder=${t("app.find")} /></form>`}
    <${Button} class="btn phone-find" data-kind="bare" data-size="icon" icon="search" aria-label=${t("app.find")} onClick=${toField} />
    <span class="live" role="status" data-off=${lost ? "" : undefined}><span class="pip" aria-hidden="true"></span>
      ${lost ? t("live.off", { time: clockTime(new Date(lost.since)) }) : t("live.on")}</span><${Who} /></header>`;
}

// A phone's way to every view: four in the bar, the others and what the side bar's foot has behind "More".
// Views of a type are of the one that was shown last.
function Bottom({ route, types }) {
  const last = useRef(null);
  const more = useRef(null);
  useEffect(() => { more.current.hidePopover(); }, [route]);
  last.current = route.type || last.current;
  const type = last.current || Object.keys(types || {})[0];
  const link = ([view, icon]) => html`<a key=${view} href=${view === "overview" || !type ? to("overview") : to(view, type)} ...${route.view === view && { "aria-current": "page" }}>
    <${Icon} name=${icon} /><span>${t(`nav.${view}`)}</span></a>`;
  const behind = [["reports", "chart"], ...(may("audit_log", type) ? [["audit", "audit"]] : []), ["policy", "key"]];
  return html`<nav class="bottom" aria-label=${t("nav.bar")}>${[["overview", "grid"], ["line", "line"], ["hosts", "hosts"], ["callbacks", "call"]].map(link)}
    <button type="button" popovertarget="more" ...${behind.some(([view]) => view === route.view) && { "data-on": "" }}><${Icon} name="more" /><span>${t("nav.more")}</span></button>
    <div class="more-list" id="more" popover="auto" ref=${more}>${type && html`<p class="sub clip">${type}</p>${behind.map(link)}`}<${Foot} /></div></nav>`;
}

// That the API does not answer, since when, and when it is tried next.
function Away({ lost, reach }) {
  useTick(1000);
  const next = reach.next === null ? t("live.trying") : t("live.next", { span: span(Math.max(1, (reach.next - Date.now()) / 1000)) });
  const action = html`<${Button} data-size="sm" onClick=${() => reach.retry()}>${t("live.retry")}</${Button}>`;
  return html`<${Note} tone="bad" icon="off" action=${reach.away && action}>${[t("live.away", { time: clockTime(new Date(lost.since)) }), reach.away && next].filter(Boolean).join(gap())}</${Note}>`;
}

function App() {
  const route = useRoute();
  const types = useResource("v1/", { every: COUNTS_MS });
  const ready = useResource(may("ready") ? "readyz" : null, { every: 4 * COUNTS_MS });
  const [batch, flows] = useEvents(route.type);
  const reach = useReach();
  const lost = useLost(flows && !types.error && !reach.away);
  const troubled = new Set((ready.data?.trouble || []).map((each) => each.type).filter(Boolean));
  const [keysListed, closeKeys] = useKeys(route);
  const View = SHOWN[route.view] || Overview;
  document.title = [route.name, route.type, t(`nav.${route.view === "job" ? "line" : route.view}`), "rq-broker"].filter(Boolean).join(" · ");
  document.documentElement.lang = language();
  return html`<a class="skip" href="#main">${t("app.skip")}</a><div class="app">
    <${Side} route=${route} types=${types.data} troubled=${troubled} />
    <div class="main"><${Top} route=${route} lost=${lost} /><main class="page" id="main">
      ${lost?.away && html`<${Away} lost=${lost} reach=${reach} />`}
      <fieldset class="offers" disabled=${Boolean(lost?.away)}>${types.error && !types.data ? html`<${Failure} whole error=${types.error} again=${types.reload} />` : html`
        <${View} key=${`${route.view} ${route.type} ${route.name}`} route=${route} types=${types.data} ready=${ready.data} events=${batch} />`}</fieldset>
    </main></div></div><${Bottom} route=${route} types=${types.data} />${keysListed && html`<${KeysDialog} onClose=${closeKeys} />`}`;
}

try {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch { /* storage may be off */ }
const root = document.getElementById("root");
root.replaceChildren();
render(html`<${Gate} app=${App} />`, root);
