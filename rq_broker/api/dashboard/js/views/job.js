// One job: why it waits and until when, what happened to it, and what can be done with it.
import { html, useEffect, useRef } from "../dom.js";
import { clock, may, path } from "../api.js";
import { useResource } from "../data.js";
import { moment, number, sizeOf } from "../format.js";
import { useTick } from "../live.js";
import { Badge, Failure, Loading, Status } from "../parts.js";
import { t } from "../texts.js";
import { Actions } from "./job-actions.js";
import { Attempts, Facts, Holds, Raw } from "./job-facts.js";
import { Missing } from "./job-missing.js";
import { Timeline } from "./job-timeline.js";
import { When, Why } from "./job-why.js";

const READ_MS = 4000; // between two reads of the job; events make it sooner
const PLAN_MS = 10000; // between two plans, which cost more

function Explained({ job, explained, isComing, at }) {
  if (!explained) return isComing && html`<${Loading} rows=${3} />`;
  if (job.Status === "queued") return explained.eta && html`<${Why} job=${job} explained=${explained} at=${at} /><${When} job=${job} explained=${explained} />`;
  return explained.held && html`<${Holds} job=${job} hold=${explained} />`;
}

export function Job({ route: { type, name }, types, events }) {
  const url = `v1/${path(type, name)}`;
  const job = useResource(url, { every: READ_MS });
  const isThere = Boolean(job.data);
  const isLive = ["queued", "granted", "running"].includes(job.data?.Status);
  const explained = useResource(isLive ? `${url}/explain` : null, { every: PLAN_MS });
  const attempts = useResource(isThere ? `${url}/attempts` : null, { every: PLAN_MS });
  const history = useResource(isThere ? `${url}/history` : null);
  const audit = useResource(isThere && may("audit_log", type) ? `types/${path(type)}/audit?verb=reorder&request_id=${encodeURIComponent(name)}&limit=50` : null);
  const at = useRef(0);
  const seen = useRef(null);
  if (seen.current !== explained.data) { seen.current = explained.data; at.current = clock.now(); }
  const leaving = useRef(false); // it is being withdrawn: its end is no news
  const reload = () => { for (const each of [job, attempts, history, audit]) each.reload(); };
  useEffect(() => { if (isLive) explained.reload(); }, [job.data?.UpdatedAt, job.data?.Position]);
  useTick();
  useEffect(() => { if (!leaving.current && (events === null || events?.some((each) => each.request_id === name))) reload(); }, [events]);
  if (job.error?.status === 404) return html`<${Missing} type=${type} name=${name} types=${types} />`;
  if (job.error && !job.data) return html`<div class="page-h"><div class="title"><h1>${name}</h1></div></div><${Failure} whole error=${job.error} again=${job.reload} />`;
  if (!job.data) return html`<div class="page-h"><div class="title"><h1>${name}</h1></div></div><${Loading} rows=${6} />`;
  const one = job.data;
  const { text, more } = sizeOf(one);
  const lede = [text, more, one.OwnerID, t("job.since", { time: moment(one.CreatedAt) })].filter(Boolean).join(" · ");
  const fits = (explained.data?.Status ?? one.Status) === one.Status;
  return html`<div class="page-h"><div><div class="title"><h1>${name}</h1>
      <${Status} status=${one.Status === "queued" && one.Position === null ? "beside" : one.Status}>${one.Position ? t("job.inline", { n: number(one.Position) }) : null}</${Status}>
      ${explained.data?.reservation && html`<${Badge} tone="held" icon="kept">${t("job.keptbadge")}</${Badge}>`}</div><p class="lede wrap">${lede}</p></div>
      <${Actions} job=${one} queued=${types?.[type]?.queued} reload=${reload} leaving=${leaving} /></div>
    ${job.error && html`<${Failure} error=${job.error} again=${job.reload} />`}
    <div class="job-grid"><div class="stack">${explained.error && isLive && html`<${Failure} error=${explained.error} again=${explained.reload} />`}
        ${fits && html`<${Explained} job=${one} explained=${explained.data} isComing=${isLive && !explained.error} at=${at.current} />`}
        <${Timeline} job=${one} history=${history} attempts=${attempts.data || []} audit=${audit.data || []} explained=${isLive ? explained.data : null} /></div>
      <div class="stack"><${Facts} job=${one} queued=${types?.[type]?.queued} /><${Attempts} job=${one} attempts=${attempts.data || []} /><${Raw} job=${one} /></div></div>`;
}
