// What happens now, in every type: the newest events since the page was opened, the newest first.
import { html, useEffect, useRef, useState } from "../dom.js";
import { clockTime, instant } from "../format.js";
import { Button, Icon } from "../parts.js";
import { to } from "../router.js";
import { t } from "../texts.js";

const ANYONE = "anyone"; // who acts where there is no access control: that says nothing
const SHOWN = 12;
const LOOKS = {
  "job.queued": ["", "line"], "job.granted": ["held", "check"], "job.running": ["ok", "play"], "job.done": ["", "ok"], "job.error": ["bad", "bad"],
  "job.deleted": ["", "x"], "job.reordered": ["", "move"], "job.expected": ["", "clock"], "job.expiring": ["warn", "clock"],
  "job.offer_missed": ["bad", "clock"], "job.hold_lost": ["bad", "warn"], "job.hold_regained": ["ok", "ok"],
  "type.clock_step": ["warn", "clock"],
};

function words(event) {
  if (!(event.event in LOOKS)) return t("feed.other", { event: event.event, type: event.type });
  const again = event.event === "job.queued" && event.from ? "feed.job.queued.again" : `feed.${event.event}`;
  return t(again, { type: event.type });
}

function Line({ event }) {
  const [tone, icon] = LOOKS[event.event] || ["", "info"];
  return html`<li data-tone=${tone}><time datetime=${event.at} title=${instant(event.at)}>${clockTime(new Date(event.at))}</time><${Icon} name=${icon} />
    <span>${event.request_id && html`<a class="wrap" href=${to("job", event.type, event.request_id)}>${event.request_id}</a> `}${words(event)}${event.by && event.by !== ANYONE ? ` ${t("feed.by", { who: event.by })}` : ""}</span></li>`;
}

export function Feed({ events }) {
  const [held, setHeld] = useState(false);
  const kept = useRef([]);
  const [, draw] = useState(0);
  useEffect(() => {
    if (!events?.length) return;
    kept.current = [...[...events].reverse(), ...kept.current].slice(0, 10 * SHOWN);
    if (!held) draw((n) => n + 1);
  }, [events]);
  const frozen = useRef([]);
  if (!held) frozen.current = kept.current.slice(0, SHOWN);
  return html`<section class="panel" aria-labelledby="fd"><div class="panel-h"><h2 id="fd">${t("feed.title")}</h2>
      <${Button} data-kind="bare" data-size="sm" icon=${held ? "play" : "pause"} aria-pressed=${held} onClick=${() => setHeld(!held)}>${t(held ? "feed.go" : "feed.hold")}</${Button}></div>
    ${frozen.current.length === 0 ? html`<p class="panel-b sub">${t("feed.none")}</p>` : html`<ul class="feed">${frozen.current.map((event) => html`
      <${Line} key=${`${event.type} ${event.at} ${event.request_id} ${event.event}`} event=${event} />`)}</ul>`}</section>`;
}
