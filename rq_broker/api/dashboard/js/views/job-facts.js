// The facts of a job as it is stored: its fields, the attempts to call it back, and its data to the last digit.
import { html } from "../dom.js";
import { Outcome_ } from "../causes.js";
import { amount, instant, moment, number, resources, span } from "../format.js";
import { Icon } from "../parts.js";
import { sentence } from "../reasons.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const isRedacted = (job, field) => (job.Redacted || []).includes(field);

export function Facts({ job, queued }) {
  const time = (iso) => html`<time datetime=${iso} title=${instant(iso)}>${moment(iso)}</time>`;
  const hosts = [...new Set(job.Hosts)];
  const callback = isRedacted(job, "Callback") ? html`<span class="sub">${t("job.redacted")}</span>` : job.Callback ? html`<span class="mono">${job.Callback}</span>` : t("job.callback.none");
  const rows = [
    ["type", html`<a href=${to("line", job.Type)}>${job.Type}</a>`], ["owner", job.OwnerID ? html`<a href=${to("line", job.Type, undefined, { owner: job.OwnerID })}>${job.OwnerID}</a>` : "—"],
    ["status", t(`status.${job.Status}`)], job.Position !== null && ["position", queued ? t("job.position.of", { n: number(job.Position), all: number(queued) }) : number(job.Position)],
    ["priority", number(job.Priority)], ["submitted", time(job.CreatedAt)], ["expected", job.Expected === null ? t("job.expected.none") : t("job.expected.said", { span: span(job.Expected) })],
    job.Fence !== null && ["fence", String(job.Fence)], hosts.length > 0 && ["hosts", hosts.map((host, n) => html`${n > 0 && ", "}<a href=${to("hosts", job.Type, undefined, { host })}>${host}</a>`)],
    ["callback", callback], job.NotBefore && ["notbefore", time(job.NotBefore)], job.After && ["after", job.After.join(", ")], job.GiveUpAfter && ["giveup", span(job.GiveUpAfter)],
    job.Error && ["error", job.Error], job.Warning && ["warning", job.Warning], ["id", number(job.ID)],
  ].filter(Boolean);
  return html`<section class="panel" aria-labelledby="ft"><div class="panel-h"><h2 id="ft">${t("job.facts")}</h2></div><div class="panel-b">
    <dl class="kv">${rows.map(([name, value]) => html`<dt>${t(`job.${name}`)}</dt><dd>${value}</dd>`)}</dl></div></section>`;
}

export function Attempts({ job, attempts }) {
  return html`<section class="panel" aria-labelledby="at"><div class="panel-h"><h2 id="at">${t("job.attempts")}</h2>${job.Callback && html`<a class="sub" href=${to("callbacks", job.Type)}>${t("job.destination")}</a>`}</div>
    ${attempts.length === 0 ? html`<p class="panel-b sub">${t(job.Callback || isRedacted(job, "Callback") ? "job.noattempts" : "job.callback.none")}</p>` : html`<div class="scroll-x"><table class="attempts"><thead><tr><th scope="col">#</th>
      <th scope="col">${t("job.attempts.at")}</th><th scope="col">${t("job.attempts.outcome")}</th><th scope="col" class="num">${t("job.attempts.ms")}</th></tr></thead>
      <tbody>${attempts.map((each) => html`<tr key=${`${each.fence} ${each.attempt}`}><td>${number(each.attempt)}</td><td><time datetime=${each.time} title=${instant(each.time)}>${moment(each.time)}</time></td>
        <td><${Outcome_} cause=${each.cause} /></td><td class="num">${each.milliseconds === null ? "—" : number(each.milliseconds)}</td></tr>`)}</tbody></table></div>`}</section>`;
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/g;

// Leaves out elements of a list that are like the one before them, and says how many.
function withoutAlike(tokens) {
  const kept = [];
  for (let n = 0; n < tokens.length; n += 1) {
    kept.push(tokens[n]);
    if (tokens[n] !== "}" || tokens[n + 1] !== ",") continue;
    let [begin, depth] = [n, 0];
    do { depth += (tokens[begin] === "}") - (tokens[begin] === "{"); begin -= 1; } while (depth && begin >= 0);
    const element = tokens.slice(begin + 1, n + 1).join("");
    const length = n - begin;
    let alike = 0;
    while (tokens.slice(n + 2 + alike * (length + 1), n + 2 + alike * (length + 1) + length).join("") === element && tokens[n + 1 + alike * (length + 1)] === ",") alike += 1;
    if (alike < 2) continue;
    kept.push(",", { alike });
    n += alike * (length + 1);
  }
  return kept;
}

// Writes JSON with indents and colours without reading its numbers: those that JavaScript cannot hold stay as they are.
export function pretty(text) {
  const tokens = withoutAlike(text.match(TOKEN) || []);
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return tokens.map((token, n) => {
    const next = tokens[n + 1];
    if (token.alike) return t("job.raw.alike", { n: number(token.alike) });
    if (token === "{" || token === "[") { depth += 1; return next === "}" || next === "]" ? token : `${token}${line()}`; }
    if (token === "}" || token === "]") { depth -= 1; const before = tokens[n - 1]; return before === "{" || before === "[" ? token : `${line()}${token}`; }
    if (token === ",") return `,${line()}`;
    if (token === ":") return ": ";
    if (next === ":" && token.startsWith('"')) return html`<span class="k">${token}</span>`;
    return token.startsWith('"') ? token : html`<span class="n">${token}</span>`;
  });
}

export function Raw({ job }) {
  return html`<section class="panel" aria-labelledby="rw"><div class="panel-h"><h2 id="rw">${t("job.raw")}</h2>
    ${!isRedacted(job, "Data") && html`<button type="button" class="btn" data-kind="bare" data-size="icon" aria-label=${t("job.copy")} title=${t("job.copy")} onClick=${() => navigator.clipboard?.writeText(job.Data)}><${Icon} name="copy" /></button>`}</div>
    ${isRedacted(job, "Data") ? html`<p class="panel-b sub">${t("job.redacted")}</p>` : html`<pre class="raw mono" tabindex="0" aria-labelledby="rw">${pretty(job.Data)}</pre>`}</section>`;
}

const amounts = (of) => resources(Object.keys(of)).map((name) => amount(name, of[name])).join(", ");

// What has become of the grant of a job that has one.
export function Holds({ job, hold }) {
  const hosts = [...new Set([...Object.keys(hold.held), ...Object.keys(hold.seen), ...Object.keys(hold.unheld)])].sort();
  return html`<section class="panel" aria-labelledby="hd"><div class="panel-h"><h2 id="hd">${t("job.holds")}</h2></div><div class="panel-b stack tight">
    ${hold.reason && html`<p class="warnt">${sentence(hold.reason)}</p>`}${job.OfferEnds && html`<p class="track"><${Icon} name="clock" /><span>${t("job.offer.ends", { time: moment(job.OfferEnds) })}</span></p>`}
    ${hosts.length === 0 ? html`<p class="sub">${t("job.holds.nothing")}</p>` : html`<ul class="hold">${hosts.map((host) => html`<li key=${host}><a class="clip" href=${to("hosts", job.Type, undefined, { host })}>${host}</a>
      <span class="r">${amounts(hold.held[host] || {})}</span><span class="sub">${hold.seen[host] ? t("job.seen", { amounts: amounts(hold.seen[host]) }) : ""}</span>
      <span class="r sub warnt">${hold.unheld[host] ? t("job.unheld", { amounts: amounts(hold.unheld[host]) }) : ""}</span></li>`)}</ul>`}</div></section>`;
}
