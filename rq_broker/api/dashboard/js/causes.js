// The outcome of a callback in words: what the receiver answered, or how the call failed.
import { html } from "./dom.js";
import { Badge } from "./parts.js";
import { LANGUAGES, t } from "./texts.js";

export function isTaken(cause) {
  return /^http_2\d\d$/.test(cause) || cause === "delivered";
}

export function causeWords(cause) {
  const status = /^http_(\d+)$/.exec(cause);
  if (status) return status[1];
  return `cause.${cause}` in LANGUAGES.en ? t(`cause.${cause}`) : cause;
}

// 408, 425 and 429 ask for time; all else that is no 2xx failed.
export function Outcome_({ cause }) {
  const [tone, icon] = isTaken(cause) ? ["ok", "ok"] : /^http_(408|425|429)$|^timeout$/.test(cause) ? ["warn", "clock"] : ["bad", "bad"];
  return html`<${Badge} tone=${tone} icon=${icon}>${causeWords(cause)}</${Badge}>`;
}
