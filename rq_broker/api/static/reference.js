"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const root = document.body.dataset.root;
  const server = location.origin + root;
  document.documentElement.classList.add("js");

  // Examples name the address at which this page was opened.
  for (const pre of all(".code pre")) {
    const texts = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      text.data = text.data.replaceAll("http://127.0.0.1:8080", server);
    }
  }

  // Search
  const search = one("#search");
  const entries = new Map(all(".side li[data-of]").map(entry => [entry.dataset.of, entry]));
  const calls = all(".call");
  const codes = all("#errors tbody tr");
  const find = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = element => words.every(word => element.dataset.words.includes(word));
    let found = 0;
    for (const call of calls) {
      call.hidden = !fits(call);
      entries.get(call.id).hidden = call.hidden;
      found += !call.hidden;
    }
    const rows = codes.filter(row => !(row.hidden = !fits(row))).length;
    for (const list of all(".side nav ul")) {
      const isEmpty = all("li", list).every(entry => entry.hidden);
      list.hidden = isEmpty;
      if (list.previousElementSibling) list.previousElementSibling.hidden = isEmpty;
    }
    for (const chapter of all(".chapter")) {
      chapter.hidden = all(".call, tbody tr", chapter).every(element => element.hidden);
    }
    one("#life").hidden = words.length > 0;
    one("#found").textContent = words.length ? `${found} calls, ${rows} error codes` : "";
  };
  search.addEventListener("input", find);
  search.addEventListener("keydown", event => {
    if (event.key === "Escape") { search.value = ""; find(); search.blur(); }
    if (event.key === "Enter") calls.find(call => !call.hidden)?.scrollIntoView();
  });
  addEventListener("keydown", event => {
    if (event.key === "/" && !/INPUT|TEXTAREA/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  // A link to something that the search has hidden shows it again.
  addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.closest("[hidden]")) { search.value = ""; find(); target.scrollIntoView(); }
  });

  const watcher = new IntersectionObserver(changes => {
    for (const { isIntersecting, target } of changes) {
      const link = one("a", entries.get(target.id));
      if (isIntersecting) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  calls.forEach(call => watcher.observe(call));

  // Copy
  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(one("pre", button.closest("figure")).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // Try it
  const signin = one("#signin");
  const KEPT = "rq-broker token";
  let token = signin ? sessionStorage.getItem(KEPT) : null;
  const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});
  const show = () => {
    for (const button of all(".try button")) {
      button.disabled = Boolean(signin) && !token;
      button.title = button.disabled ? "Sign in at the top of the page first" : "";
    }
  };
  show();
  if (signin) {
    const check = async () => {
      const answer = await fetch(`${server}/v1/`, { headers: headers() });
      const refusal = answer.status === 401 ? await answer.json() : null;
      if (refusal) { token = null; sessionStorage.removeItem(KEPT); }
      else sessionStorage.setItem(KEPT, token);
      one("#who").textContent = refusal ? refusal.error : "Signed in: every call has Try it.";
      show();
    };
    signin.addEventListener("submit", event => {
      event.preventDefault();
      token = one("#token").value.trim();
      if (token) check();
    });
    if (token) check();
  }
  const pretty = text => {
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
  };
  for (const form of all(".try form")) {
    form.addEventListener("submit", async event => {
      event.preventDefault();
      let path = form.dataset.path;
      const query = new URLSearchParams();
      const init = { method: form.dataset.method.toUpperCase(), headers: headers() };
      for (const field of all("[data-in]", form)) {
        const place = field.dataset.in;
        if (place === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
        else if (place === "query" && field.value) query.set(field.name, field.value);
        else if (place === "body") {
          init.body = field.value;
          init.headers["Content-Type"] = field.dataset.media;
        }
      }
      const [status, pre] = [one("output .status", form), one("output pre", form)];
      form.classList.add("answered");
      form.classList.remove("failed");
      status.textContent = "…";
      pre.textContent = "";
      try {
        const answer = await fetch(`${server}${path}${query.size ? `?${query}` : ""}`, init);
        form.classList.toggle("failed", !answer.ok);
        status.textContent = `${answer.status} ${answer.statusText}`;
        if (answer.headers.get("content-type")?.startsWith("text/event-stream")) {
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          for (let part; !(part = await reader.read()).done;) pre.textContent += part.value;
        } else pre.textContent = pretty(await answer.text());
      } catch (error) {
        form.classList.add("failed");
        status.textContent = "no answer";
        pre.textContent = String(error);
      }
    });
  }
})();
