// The menu of a row, in the top layer: what can be done to one job.
import { html, useEffect, useRef } from "../dom.js";
import { may } from "../api.js";
import { Icon } from "../parts.js";
import { to, go } from "../router.js";
import { t } from "../texts.js";

function itemsOf({ type, job, movable, index, on }) {
  const waits = job.Status === "queued";
  return [
    movable && index > 0 && { name: "front", icon: "up", run: () => on.front(index, job) },
    waits && may("update", type) && { name: "move", icon: "move", run: () => on.move(index, job) },
    !waits && may("update", type) && { name: "requeue", icon: "undo", run: () => on.act("requeue", job) },
    { name: "open", icon: "info", run: () => go(to("job", type, job.RequestID)) },
    may("withdraw", type) && { name: "withdraw", icon: "x", bad: true, keys: "W", run: () => on.act("withdraw", job) },
  ].filter(Boolean);
}

export function RowMenu({ type, job, index, anchor, movable, on, onClose }) {
  const list = useRef(null);
  const items = itemsOf({ type, job, movable, index, on });
  useEffect(() => {
    const menu = list.current;
    menu.showPopover();
    const { right, top, bottom } = anchor.getBoundingClientRect();
    menu.style.left = `${Math.max(8, right - menu.offsetWidth)}px`;
    menu.style.top = `${bottom + menu.offsetHeight + 8 > window.innerHeight ? top - menu.offsetHeight - 4 : bottom + 4}px`;
    menu.querySelector("button").focus();
    return () => anchor.focus?.();
  }, []);
  function keys(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Tab") { event.preventDefault(); list.current.hidePopover(); }
    event.stopPropagation();
    if (!step) return;
    event.preventDefault();
    const all = [...list.current.querySelectorAll("button")];
    all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
  }
  const chosen = (run) => () => { list.current.hidePopover(); run(); };
  return html`<div class="menu-list pop-menu" popover="auto" role="menu" ref=${list} aria-label=${`${t("line.actions")} ${job.RequestID}`} onKeyDown=${keys}
      onToggle=${(event) => { if (event.newState === "closed") onClose(); }}>${items.map(({ name, icon, bad, keys: pressed, run }) => html`
    <button type="button" role="menuitem" key=${name} data-kind=${bad ? "bad" : undefined} onClick=${chosen(run)}><${Icon} name=${icon} />${t(`line.menu.${name}`)}
      ${pressed && html`<kbd aria-hidden="true">${pressed}</kbd>`}</button>`)}</div>`;
}
