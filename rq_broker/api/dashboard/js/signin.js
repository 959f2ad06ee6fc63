// Who asks: the sign-in that stands before the page, and who is signed in, in its bar.
import { html, useEffect, useRef, useState } from "./dom.js";
import { readSession, session, signIn, signOut } from "./api.js";
import { Button, Failure, Icon } from "./parts.js";
import { go } from "./router.js";
import { language, other, t, use } from "./texts.js";

const SAID = ["token_malformed", "token_unknown", "token_expired", "token_revoked", "no_role", "rate_limited",
  "sign_in_refused", "issuer_unavailable"];

export function useSession() {
  const [current, setCurrent] = useState(session.current);
  useEffect(() => {
    const update = () => setCurrent(session.current);
    session.addEventListener("change", update);
    update();
    return () => session.removeEventListener("change", update);
  }, []);
  return current;
}

// Shows the page to who is signed in. Who is signed out by time keeps the page behind the sign-in, and goes on there.
export function Gate({ app: App }) {
  const who = useSession();
  const [error, setError] = useState(null);
  const [name, setName] = useState(null);
  const read = () => readSession().then(() => setError(null), setError);
  useEffect(() => { read(); }, []);
  useEffect(() => { if (who?.role) setName(who.name); }, [who]);
  if (!who) return error && html`<main class="page"><${Failure} whole error=${error} again=${read} /></main>`;
  const shown = who.role ? who.name : name;
  return html`${shown && html`<div key=${shown} hidden=${!who.role}><${App} /></div>`}${!who.role && html`<${SignIn} ways=${who.sign_in} again=${Boolean(name)} />`}`;
}

function Mark() {
  return html`<svg class="mark" viewBox="0 0 20 20" aria-hidden="true"><rect x="2" y="3" width="16" height="3.6" rx="1.2" fill="currentColor" />
    <rect x="2" y="8.2" width="11" height="3.6" rx="1.2" fill="currentColor" opacity=".65" />
    <rect x="2" y="13.4" width="6.5" height="3.6" rx="1.2" fill="currentColor" opacity=".35" /></svg>`;
}

// A token of Keystone comes in a header of its own; every other one is a bearer's.
function headersOf(token, ways) {
  const isJwt = ways.includes("jwt") && token.split(".").length === 3;
  const isKeystone = ways.includes("keystone") && !token.startsWith("rqb_") && !isJwt;
  return isKeystone ? { "X-Auth-Token": token } : { Authorization: `Bearer ${token}` };
}

function hintOf(ways) {
  if (ways.includes("keystone")) return t("signin.hint.keystone");
  return t(ways.includes("token") ? "signin.hint" : "signin.hint.other");
}

function sentence(error) {
  if (SAID.includes(error.code)) return t(`signin.${error.code}`);
  return error.status === 401 ? t("signin.refused") : null;
}

// Where the sign-in at the issuer begins; it leads back to this place.
function issuer() {
  const here = new URL(location.href);
  here.searchParams.delete("sign_in");
  return `session/oidc?${new URLSearchParams({ to: here.pathname + here.search })}`;
}

// Why a sign-in at the issuer has led back without one.
function refusal() {
  const code = new URLSearchParams(location.search).get("sign_in");
  return code && { code, status: 401 };
}

function SignIn({ ways, again }) {
  const [error, setError] = useState(refusal);
  const [busy, setBusy] = useState(false);
  const [, setWords] = useState(language());
  const [form, setForm] = useState("token");
  const field = useRef(null);
  useEffect(() => { field.current?.focus(); document.title = `${t("signin.title")} · rq-broker`; }, []);
  async function submit(event) {
    event.preventDefault();
    const token = field.current.value.trim();
    if (!token || busy) return;
    setBusy(true);
    try {
      await signIn(headersOf(token, ways));
    } catch (refusal) {
      setError(refusal);
      setBusy(false);
      field.current.select();
    }
  }
  const said = error && sentence(error);
  const over = location.protocol === "https:" ? "signin.over.tls" : "signin.over.clear";
  return html`<div class="signin"><main class="card" id="main"><span class="brand"><${Mark} />rq-broker</span>
    ${form === "keystone" ? html`<${KeystoneForm} again=${again} onOther=${() => setForm("token")} />` : html`<form class="panel" onSubmit=${submit} aria-labelledby="signin-t"><h1 id="signin-t">${t("signin.title")}</h1>
      ${again && html`<p class="hint" role="status">${t("signin.again")}</p>`}
      <div class="field"><label for="signin-token">${t("signin.token")}</label>
        <input class="input mono" id="signin-token" ref=${field} type="password" autocomplete="current-password" spellcheck="false" required
          aria-describedby="signin-h signin-e" aria-invalid=${said ? "true" : undefined} onInput=${() => setError(null)} />
        <span class="hint" id="signin-h">${hintOf(ways)}</span>
        <span class="err" id="signin-e" role="alert">${said && html`<${Icon} name="bad" />${said}`}</span></div>
      ${error && !said && html`<${Failure} error=${error} />`}
      <${Button} type="submit" data-kind="main" icon="key" aria-disabled=${busy}>${t(busy ? "signin.busy" : "signin.title")}</${Button}>
      ${ways.includes("keystone") && html`<div class="or">${t("signin.or")}</div><${Button} onClick=${() => setForm("keystone")}>${t("signin.openstack")}</${Button}>`}
      ${ways.includes("oidc") && html`${!ways.includes("keystone") && html`<div class="or">${t("signin.or")}</div>`}<a class="btn" data-plain href=${issuer()}>${t("signin.issuer")}</a>`}</form>`}
    <p class="fine"><span>${t(over, { host: location.host })}</span></p></main>
    <${SignInFoot} onLanguage=${setWords} /></div>`;
}

const FIELDS = [["user", "username", "text"], ["password", "current-password", "password"], ["project", "off", "text"], ["domain", "off", "text"]];

// A user and a password of OpenStack; the API asks Keystone for a token of the project.
function KeystoneForm({ again, onOther }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const first = useRef(null);
  useEffect(() => { first.current?.querySelector("input").focus(); }, []);
  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    try {
      await signIn({}, "session/keystone", Object.fromEntries(new FormData(event.target)));
    } catch (refusal) {
      setError(refusal);
      setBusy(false);
    }
  }
  const said = error && (error.status === 401 ? t("signin.openstack.refused") : sentence(error));
  return html`<form class="panel" ref=${first} onSubmit=${submit} aria-labelledby="signin-t"><h1 id="signin-t">${t("signin.openstack")}</h1>
    ${again && html`<p class="hint" role="status">${t("signin.again")}</p>`}
    ${FIELDS.map(([name, complete, type]) => html`<div class="field" key=${name}><label for=${`ks-${name}`}>${t(`signin.${name}`)}</label>
      <input class="input" id=${`ks-${name}`} name=${name} type=${type} autocomplete=${complete} spellcheck="false" required
        defaultValue=${name === "domain" ? "Default" : ""} aria-describedby="signin-e" /></div>`)}
    <span class="err" id="signin-e" role="alert">${said && html`<${Icon} name="bad" />${said}`}</span>
    ${error && !said && html`<${Failure} error=${error} />`}
    <${Button} type="submit" data-kind="main" icon="key" aria-disabled=${busy}>${t(busy ? "signin.busy" : "signin.title")}</${Button}>
    <${Button} data-kind="bare" onClick=${onOther}>${t("signin.by.token")}</${Button}></form>`;
}

function SignInFoot({ onLanguage }) {
  const { code, name } = other();
  function change() {
    use(code);
    onLanguage(code);
    go(location.pathname + location.search, { replace: true }); // so that the page behind changes, too
  }
  return html`<footer class="fine"><button type="button" class="btn" data-kind="bare" data-size="sm" lang=${code} onClick=${change}>${name}</button>
    <a class="btn" data-kind="bare" data-size="sm" data-plain href="docs/">${t("app.docs")}</a></footer>`;
}

// Who is signed in, and the way out. Without access control there is nobody to name.
export function Who() {
  const who = useSession();
  const [error, setError] = useState(null);
  if (!who?.role || !who.sign_in.length) return null;
  async function leave() {
    try {
      await signOut();
      location.reload(); // and with it everything that this page has read
    } catch (refusal) {
      if (refusal.status === 401) location.reload();
      else setError(refusal);
    }
  }
  const role = t(`role.${who.role}`);
  return html`<details class="menu who"><summary class="btn" data-kind="bare" aria-label=${t("who.label", { name: who.name })}><${Icon} name="key" />
      <span class="clip wide-only">${who.name}</span></summary>
    <div class="menu-list"><p class="who-is"><strong class="clip">${who.name}</strong><span class="sub">${role}</span>
      ${who.owners && html`<span class="sub">${t("who.sees", { owners: who.owners.join(", ") })}</span>`}</p>
      ${error && html`<${Failure} error=${error} />`}
      <button type="button" onClick=${leave}><${Icon} name="x" />${t("who.out")}</button></div></details>`;
}
