// A word about what was done, for ten seconds, and what takes it back.
import { html, useEffect } from "./dom.js";

const STAYS_MS = 10000;

// `toast` is { text, label, run } or null.
export function Toast({ toast, onGone }) {
  useEffect(() => {
    if (!toast) return undefined;
    const timer = setTimeout(onGone, STAYS_MS);
    return () => clearTimeout(timer);
  }, [toast]);
  return html`<div class="toasts" role="status">${toast && html`<div class="toast">${toast.text}
    ${toast.run && html`<button type="button" class="btn" onClick=${() => { onGone(); toast.run(); }}>${toast.label}</button>`}</div>`}</div>`;
}
