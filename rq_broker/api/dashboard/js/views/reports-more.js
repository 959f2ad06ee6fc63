// What would start at once if there were more hosts: the form, and the answer.
import { html, useState } from "../dom.js";
import { call, path } from "../api.js";
import { useResource } from "../data.js";
import { amount, number, range, resources } from "../format.js";
import { Button, Failure, Note } from "../parts.js";
import { to } from "../router.js";
import { gap, many, t } from "../texts.js";

const SHOWN = 10;

function Job({ type, name }) {
  return name ? html`<a class="wrap strong" href=${to("job", type, name)}>${name}</a>` : html`<span class="sub">${t("reports.more.other")}</span>`;
}

function sentence(answer, waiting) {
  if (answer.paused) return t("reports.more.paused");
  if (!answer.granted) return t(waiting ? "reports.more.none" : "reports.more.nowaits");
  const amounts = resources(Object.keys(answer.amounts)).map((name) => amount(name, answer.amounts[name])).join(", ");
  return many(answer.is_complete ? "reports.more.starts" : "reports.more.least", answer.granted, { n: number(answer.granted), amounts });
}

function Answer({ type, answer, waiting }) {
  const moves = answer.moves.filter((move) => move.seconds < 0 && !answer.jobs.some((job) => job.request_id === move.request_id)).slice(0, SHOWN);
  return html`<div class="stack" role="status"><${Note} tone=${answer.granted ? "held" : undefined} icon=${answer.granted ? "check" : "info"}>
      <strong>${sentence(answer, waiting)}</strong>${gap()}${answer.granted_anyway > 0 && t("reports.more.anyway", { n: number(answer.granted_anyway) })}</${Note}>
    ${answer.jobs.length > 0 && html`<div><h3 class="sec-h">${t("reports.more.jobs")}</h3>
      <table class="tbl cards"><thead><tr><th scope="col">${t("reports.late.job")}</th><th scope="col">${t("reports.owner")}</th><th scope="col">${t("job.hosts")}</th></tr></thead>
      <tbody>${answer.jobs.slice(0, SHOWN).map((job, n) => html`<tr key=${n}><td class="full"><${Job} type=${type} name=${job.request_id} /></td>
        <td data-l=${t("reports.owner")}>${job.owner_id ?? "–"}</td><td data-l=${t("job.hosts")}>${[...new Set(job.hosts)].join(", ")}</td></tr>`)}</tbody></table>
      ${answer.granted > SHOWN && html`<p class="sub">${t("reports.more.shown", { n: SHOWN })}</p>`}</div>`}
    ${moves.length > 0 && html`<div><h3 class="sec-h">${t("reports.more.moves")}</h3>
      <table class="tbl cards"><thead><tr><th scope="col">${t("reports.late.job")}</th><th scope="col">${t("move.now")}</th><th scope="col">${t("move.then")}</th></tr></thead>
      <tbody>${moves.map((move, n) => html`<tr key=${n}><td class="full"><${Job} type=${type} name=${move.request_id} /></td>
        <td data-l=${t("move.now")}>${range(move.before.p50, move.before.p90)}</td><td data-l=${t("move.then")}>${range(move.after.p50, move.after.p90)}</td></tr>`)}</tbody></table></div>`}</div>`;
}

export function MoreHosts({ type }) {
  const hosts = useResource(`types/${path(type)}/hosts/`);
  const about = useResource(`types/${path(type)}`);
  const [count, setCount] = useState(2);
  const [like, setLike] = useState("");
  const [state, setState] = useState({});
  const names = (hosts.data || []).filter((host) => !host.dropped && host.name).map((host) => host.name);
  const chosen = names.includes(like) ? like : names[0];
  async function ask(event) {
    event.preventDefault();
    setState((old) => ({ ...old, busy: true, error: null }));
    try {
      const { data } = await call("POST", `types/${path(type)}/what-if`, { body: { add_hosts: [{ count: Number(count), like: chosen }] } });
      setState({ answer: data });
    } catch (error) { setState({ error }); }
  }
  if (hosts.error && hosts.error.status === 403) return null;
  return html`<section class="panel" aria-labelledby="r-more"><div class="panel-h"><h2 id="r-more">${t("reports.more")}</h2><span class="sub wide-only">${t("reports.more.lede")}</span></div>
    <div class="panel-b stack">${hosts.data && names.length === 0 ? html`<p class="sub">${t("reports.more.nohost")}</p>` : html`
      <form class="more-form" onSubmit=${ask}><div class="field"><label for="more-n">${t("reports.more.count")}</label>
          <input id="more-n" class="input" type="number" min="1" max="1000" required value=${count} onInput=${(event) => setCount(event.target.value)} /></div>
        <div class="field"><label for="more-like">${t("reports.more.like")}</label><select id="more-like" class="input" value=${chosen} onChange=${(event) => setLike(event.target.value)}>
          ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></div>
        <${Button} type="submit" data-kind="main" aria-busy=${Boolean(state.busy)} disabled=${!chosen || state.busy}>${t("reports.more.ask")}</${Button}></form>`}
      ${state.error && html`<${Failure} error=${state.error} />`}
      ${state.answer && html`<${Answer} type=${type} answer=${state.answer} waiting=${about.data?.counts.queued} />`}</div></section>`;
}
