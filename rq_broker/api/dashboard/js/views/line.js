// The line of a type: who is next, how big, since when, when its turn comes, why not yet; and what changes that.
import { html, useEffect, useMemo, useState } from "../dom.js";
import { get, path } from "../api.js";
import { totals, useResource } from "../data.js";
import { minute, number, resources } from "../format.js";
import { Empty, Failure, Loading, Note } from "../parts.js";
import { go, to } from "../router.js";
import { many, t } from "../texts.js";
import { Head } from "./head.js";
import { Grid } from "./line-grid.js";
import { Matches, Places } from "./line-source.js";
import { Hits, isFiltered, listQuery, useFilter } from "./line-tools.js";
import { seesAll } from "./line-who.js";
import { Bars, Spark, useHistories } from "./sparks.js";

function Facts({ type, counts, hosts }) {
  const history = useHistories([type])[type];
  const sums = totals(hosts);
  const [main] = resources(Object.keys(sums));
  const use = main && sums[main];
  return html`<dl class="facts"><div><dt>${t("line.facts.waiting")}</dt><dd>${number(counts.queued)}
      ${history && html`<${Spark} values=${[...history.waiting, counts.queued]} label=${t("overview.spark.waiting", { type, n: number(counts.queued) })} />`}</dd></div>
    <div><dt>${t("line.facts.running")}</dt><dd>${number(counts.running)}</dd></div>
    ${history && html`<div><dt>${t("overview.grants")}</dt><dd>${number(history.rate)}
      <${Bars} values=${history.grants} label=${t("overview.spark.grants", { type, n: number(history.rate) })} /></dd></div>`}
    ${use && use.total > 0 && html`<div><dt>${t("line.facts.use", { resource: main })}</dt><dd>${Math.round((100 * (use.used + use.held)) / use.total)} %
      <small>${number(use.used + use.held)} / ${number(use.total)}</small></dd></div>`}
    <div><dt>${t("line.facts.held")}</dt><dd>${number(counts.granted)}</dd></div></dl>`;
}

// For whom hosts are kept: the first that does not fit.
function useKept(type, name, round) {
  const [kept, setKept] = useState(null);
  useEffect(() => {
    if (!name) { setKept(null); return undefined; }
    const abort = new AbortController();
    get(`v1/${path(type, name)}/explain`, { signal: abort.signal }).then(
      ({ data }) => setKept(data.protected && data.reservation ? { name: data.explains || name, hosts: data.hosts, start: data.reservation.start } : null),
      () => {},
    );
    return () => abort.abort();
  }, [type, name, round]);
  return kept;
}

function Kept({ type, kept }) {
  if (!kept) return null;
  const [before, after] = many("line.kept", kept.hosts.length, {
    name: "\u0000", n: number(kept.hosts.length), time: minute(1000 * kept.start),
  }).split("\u0000");
  return html`<${Note} tone="held" icon="kept" action=${html`<a class="btn wide-only" data-size="sm" href=${to("hosts", type)}>${t("line.kept.hosts")}</a>`}>
    ${before}<a href=${to("job", type, kept.name)}>${kept.name}</a>${after}</${Note}>`;
}

export function Line({ route: { type, query }, events }) {
  const about = useResource(`types/${path(type)}`, { every: 4000 });
  const hosts = useResource(`types/${path(type)}/hosts/`, { every: 10000 });
  const [filter, set] = useFilter(type, query);
  const [, redraw] = useState(0);
  const [first, setFirst] = useState({ name: null, round: 0 });
  const key = JSON.stringify([type, filter]);
  const source = useMemo(() => {
    const changed = () => redraw((n) => n + 1);
    return isFiltered(filter) || !(seesAll() || filter.status === "queued") ? new Matches(type, listQuery(filter), changed) : new Places(type, filter.status, changed);
  }, [key]);
  useEffect(() => () => { source.closed = true; }, [source]);
  useEffect(() => { if (events === null || events.length) about.reload(); }, [events]);
  const kept = useKept(type, filter.status === "queued" ? first.name : null, first.round);
  if (about.error && !about.data) return html`<${Head} type=${type} view="line" /><${Failure} whole error=${about.error} again=${about.reload} />`;
  if (!about.data) return html`<${Head} type=${type} view="line" /><${Loading} rows=${8} />`;
  const { policy, counts } = about.data;
  const beside = source instanceof Places && source.ready && filter.status === "queued" ? counts.queued - source.count : 0;
  return html`<${Head} type=${type} view="line" policy=${policy} counts=${counts} reload=${about.reload} />
    <${Facts} type=${type} counts=${counts} hosts=${hosts.data} />
    <${Kept} type=${type} kept=${kept} />
    <${Grid} key=${type} type=${type} source=${source} filter=${filter} set=${set} counts=${counts} hosts=${hosts.data} events=${events} policy=${policy}
      kept=${kept?.name} beside=${beside} hits=${html`<${Hits} type=${type} filter=${filter} set=${set} />`} reload=${about.reload} onFirst=${(name) => setFirst((old) => ({ name, round: old.round + 1 }))}
      empty=${isFiltered(filter) ? html`<${Empty} bare art="search" title=${t("line.nomatch")} action=${html`<button type="button" class="btn" onClick=${() => go(to("line", type))}>${t("line.clear.one")}</button>`}>
          ${t("line.nomatch.more", { status: t(`status.${filter.status}`) })}</${Empty}>`
        : html`<${Empty} bare title=${filter.status === "queued" ? t("line.none") : t("line.nomatch")}>${filter.status === "queued"
          ? t(policy.paused ? "line.none.paused" : hosts.data?.length === 0 ? "line.none.hosts" : "line.none.more", { type }) : ""}</${Empty}>`} />
    ${beside > 0 && html`<${Note} icon="clock">${many("line.beside", beside, { n: number(beside) })}</${Note}>`}`;
}
