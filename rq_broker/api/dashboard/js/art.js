// What stands above the words where there is nothing to show, or where it could not be loaded: lines of one hand.
import { html } from "./dom.js";

const rows = html`<rect class="a d" x="4" y="8" width="60" height="8" rx="3" /><rect class="a d" x="4" y="22" width="44" height="8" rx="3" />
  <rect class="a d" x="4" y="36" width="28" height="8" rx="3" />`;
const DRAWN = {
  line: html`${rows}<rect class="f" x="74" y="8" width="16" height="36" rx="3" />`,
  search: html`<circle class="a" cx="42" cy="22" r="14" /><path class="a" d="m52.5 32.5 12 11" /><path class="a d" d="M34 22h16" />`,
  hosts: html`<rect class="a d" x="8" y="6" width="80" height="16" rx="3" /><rect class="a d" x="8" y="27" width="80" height="16" rx="3" />
    <path class="a" d="M16 14h.01M16 35h.01M24 14h24M24 35h24" />`,
  call: html`<rect class="f" x="6" y="12" width="22" height="24" rx="3" /><path class="a d" d="M32 24h30" /><path class="a" d="m58 19 5 5-5 5" /><circle class="a d" cx="79" cy="24" r="11" />`,
  chart: html`<path class="a" d="M14 4v38h72" /><path class="a d" d="m20 34 16-10 14 6 18-18 14 6" />`,
  audit: html`<path class="a" d="M26 4h32l12 12v28H26z" /><path class="a" d="M58 4v12h12" /><path class="a d" d="M34 22h22M34 30h28M34 38h16" />`,
  cut: html`<path class="a" d="M8 34h26M62 34h26" /><path class="a d" d="M34 34h28" /><path class="a" d="m43 18 10 10m0-10L43 28" />`,
};

export function Art({ name }) {
  return html`<svg class="art" viewBox="0 0 96 48" aria-hidden="true">${DRAWN[name]}</svg>`;
}
