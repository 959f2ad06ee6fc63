// "Where would it fit?": the hosts on which one instance of some size has room now.
import { html, useRef } from "../dom.js";
import { amountOf } from "../data.js";
import { Button, Icon } from "../parts.js";
import { t } from "../texts.js";

// "VCPU:16,Memory:65536" → { VCPU: 16, Memory: 65536 }; null for nothing.
export function fitOf(text) {
  const pairs = text.split(",").map((each) => each.split(":")).map(([name, value]) => [name, Number(value)]);
  const wanted = Object.fromEntries(pairs.filter(([name, value]) => name && Number.isSafeInteger(value) && value > 0));
  return Object.keys(wanted).length ? wanted : null;
}

// Whether a host has room for one instance: of a resource in devices one device must have it, or several whole ones.
export function fits(host, wanted) {
  if (host.dropped) return false;
  return Object.entries(wanted).every(([name, value]) => {
    const most = host.max_unit?.[name];
    return amountOf(host.free[name]) >= value && (most === undefined || value <= most);
  });
}

export function FitMenu({ names, asked, onFit }) {
  const box = useRef(null);
  const wanted = fitOf(asked) || {};
  function submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    onFit(names.filter((name) => form.get(name)).map((name) => `${name}:${form.get(name)}`).join(","));
    box.current.open = false;
  }
  const clear = () => { onFit(""); box.current.open = false; };
  return html`<details class="menu" ref=${box}><summary class="btn" role="button"><${Icon} name="box" />${t("hosts.fit")}</summary>
    <form class="menu-list fit" onSubmit=${submit}><p class="sub">${t("hosts.fit.lede")}</p>${names.slice(0, 6).map((name) => html`<div class="field-row" key=${name}>
      <label for=${`fit-${name}`}>${name}${name === "Memory" ? " (MB)" : ""}</label><input class="input" type="number" min="0" step="1" id=${`fit-${name}`} name=${name} value=${wanted[name] || ""} /></div>`)}
      <div class="actions end">${asked && html`<${Button} data-size="sm" onClick=${clear}>${t("hosts.fit.clear")}</${Button}>`}
        <button type="submit" class="btn" data-kind="main" data-size="sm">${t("hosts.fit")}</button></div></form></details>`;
}
