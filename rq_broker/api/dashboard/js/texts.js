// Every text of the interface, in each language. A test holds that none is missing.
import { REPORT_TEXTS } from "./report_texts.js";
import { AUDIT } from "./texts/audit.js";
import { CALLBACKS } from "./texts/callbacks.js";
import { HOSTS } from "./texts/hosts.js";
import { JOB } from "./texts/job.js";
import { LINE } from "./texts/line.js";
import { OVERVIEW } from "./texts/overview.js";
import { POLICY } from "./texts/policy.js";

const EN = {
  "app.skip": "Skip to content", "nav.main": "Main", "nav.types": "Types", "nav.views": "Views of {type}",
  "nav.overview": "Overview", "nav.line": "Line", "nav.hosts": "Hosts", "nav.callbacks": "Callbacks",
  "nav.reports": "Reports", "nav.audit": "Audit", "nav.policy": "Policy", "nav.more": "More", "nav.bar": "Views", "nav.crumbs": "Breadcrumb",
  "app.theme": "Switch theme", "app.find": "Find a job or owner", "app.docs": "Documentation",
  "keys.title": "Keys", "keys.page": "Everywhere", "keys.grid": "In a line", "keys.letters": "Single letters are keys", "keys.close": "Close",
  "keys.filter": "Filter what is shown", "keys.find": "Find a job or an owner", "keys.list": "This list",
  "keys.go.overview": "Overview", "keys.go.line": "Line", "keys.go.hosts": "Hosts", "keys.go.callbacks": "Callbacks", "keys.go.reports": "Reports", "keys.go.audit": "Audit", "keys.go.policy": "Policy",
  "keys.rows": "Rows; PgUp, PgDn, Home and End go further", "keys.open": "Open the job", "keys.select": "Select", "keys.menu": "Actions of the row", "keys.lift": "Lift the row, or put it down", "keys.back": "Put it back; close",
  "live.on": "Live", "live.off": "Not live since {time}", "live.away": "The API has not answered since {time}. What is shown is of then; changes are offered again once it answers.",
  "live.next": "Next try in {span}.", "live.trying": "Trying now.", "live.retry": "Try now",
  "attention": "needs attention",
  "status.queued": "Waiting", "status.granted": "Granted", "status.running": "Running", "status.done": "Done",
  "status.error": "Error", "status.beside": "Waiting beside the line",
  "span.s": "{s}\u00a0s", "span.m": "{m}\u00a0min", "span.hm": "{h}\u00a0h\u00a0{m}", "span.h": "{h}\u00a0h", "span.dh": "{d}\u00a0d\u00a0{h}\u00a0h", "span.d": "{d}\u00a0d",
  "eta.now": "under 1 min", "eta.range": "{from} – {to}", "eta.about": "about {from}", "eta.later": "{from} or later",
  "eta.unknown": "not known", "eta.computing": "being computed", "eta.never": "never",
  "amount.gb": "{n}\u00a0GB", "amount.mb": "{n}\u00a0MB", "amount.disk": "{n}\u00a0GB\u00a0disk", "amount.other": "{n}\u00a0{resource}",
  "size.times": "{count}\u00a0×\u00a0{main}", "size.elastic": "{min} to {max} × {main}", "size.spread": "on hosts of its own each",
  "size.hidden": "not shown", "size.alternatives": "or {n} alternatives", "size.alternatives.one": "or 1 alternative", "size.nothing": "nothing",
  "cancel": "Cancel", "close": "Close", "copy": "Copy", "copied": "Copied.",
  "cap.label": "{name}: {used} used, {held} held, {kept} kept, {free} free", "cap.label.sums": "{name}: {used} used, {held} held, {free} free",
  "job.withdraw.ask": "Withdraw {name}?",
  "job.withdraw.says": "It leaves the line for good, and gives back what it holds. This cannot be undone.",
  "job.gone": "There is no job {name} in {type}.",
  "job.gone.more": "It was withdrawn, or its retention ended, or the name is another.",
  "job.granted": "Granted, fence {fence}",
  "job.changed": "Last changed",
  "calls.owner": "Owner",
  "audit.before": "Before",
  "audit.after": "After",
  "signin.title": "Sign in", "signin.token": "Token", "signin.hint": "Your operator gave you one, beginning with rqb_.",
  "signin.hint.keystone": "One of the broker, beginning with rqb_, or what “openstack token issue” prints.",
  "signin.hint.other": "Your operator or your issuer gave you one.",
  "signin.refused": "This token is not accepted.", "signin.again": "You were signed out. Sign in to go on where you were.",
  "signin.token_malformed": "A letter of the token is missing or wrong: copy the whole of it.",
  "signin.token_unknown": "There is no such token here. Ask for one of this installation.",
  "signin.token_expired": "This token has expired. Ask an admin to rotate it.",
  "signin.token_revoked": "This token was revoked or replaced. Ask an admin for the new one.",
  "signin.no_role": "This token gives you no role here. Ask the operator for one.",
  "signin.rate_limited": "Too many attempts from here. Wait a little, then try again.",
  "signin.or": "or", "signin.issuer": "Single sign-on", "signin.sign_in_refused": "The sign-in was not completed. Begin it again.",
  "signin.issuer_unavailable": "The sign-on service does not answer. Try again soon.",
  "signin.openstack": "OpenStack (Keystone)", "signin.by.token": "Use a token instead", "signin.user": "User", "signin.password": "Password",
  "signin.project": "Project", "signin.domain": "Domain", "signin.openstack.refused": "Keystone lets nobody in by this user, password, project and domain.",
  "signin.busy": "Signing in", "signin.over.tls": "{host}, over TLS", "signin.over.clear": "{host}, not encrypted",
  "who.label": "Signed in as {name}", "who.out": "Sign out", "who.sees": "Sees: {owners}",
  "role.client": "Client", "role.viewer": "Viewer", "role.source": "Source of hosts", "role.operator": "Operator", "role.admin": "Admin",
  "error.title": "This could not be loaded", "error.unreachable": "The API does not answer.", "error.retry": "Try again", "error.request": "Request {id}",
  "error.maybe": "It may have been carried out: look before you repeat it.",
};

const ZH = {
  "app.skip": "跳到內容", "nav.main": "主選單", "nav.types": "類型", "nav.views": "{type} 的頁面",
  "nav.overview": "總覽", "nav.line": "隊列", "nav.hosts": "主機", "nav.callbacks": "回呼",
  "nav.reports": "報表", "nav.audit": "稽核", "nav.policy": "政策", "nav.more": "更多", "nav.bar": "頁面", "nav.crumbs": "目前位置",
  "app.theme": "切換主題", "app.find": "尋找工作或擁有者", "app.docs": "文件",
  "keys.title": "按鍵", "keys.page": "整個頁面", "keys.grid": "在隊列中", "keys.letters": "單一字母可當按鍵", "keys.close": "關閉",
  "keys.filter": "篩選目前內容", "keys.find": "尋找工作或擁有者", "keys.list": "這份清單",
  "keys.go.overview": "總覽", "keys.go.line": "隊列", "keys.go.hosts": "主機", "keys.go.callbacks": "回呼", "keys.go.reports": "報表", "keys.go.audit": "稽核", "keys.go.policy": "政策",
  "keys.rows": "換列；PgUp、PgDn、Home、End 移得更遠", "keys.open": "開啟工作", "keys.select": "選取", "keys.menu": "這一列的動作", "keys.lift": "拿起這一列，或放下", "keys.back": "放回原處；關閉",
  "live.on": "即時", "live.off": "自 {time} 起不是即時", "live.away": "API 自 {time} 起沒有回應。畫面停在當時的狀態；恢復後才能再變更。",
  "live.next": "{span}後再試。", "live.trying": "正在重試。", "live.retry": "立即重試",
  "attention": "需要處理",
  "status.queued": "等待中", "status.granted": "已發放", "status.running": "執行中", "status.done": "已完成",
  "status.error": "錯誤", "status.beside": "在隊列旁等待",
  "span.s": "{s}\u00a0秒", "span.m": "{m}\u00a0分", "span.hm": "{h}\u00a0時\u00a0{m}\u00a0分", "span.h": "{h}\u00a0時", "span.dh": "{d}\u00a0天\u00a0{h}\u00a0時", "span.d": "{d}\u00a0天",
  "eta.now": "不到 1 分", "eta.range": "{from} – {to}", "eta.about": "約 {from}", "eta.later": "{from}以後",
  "eta.unknown": "還不知道", "eta.computing": "計算中", "eta.never": "不會輪到",
  "amount.gb": "{n}\u00a0GB", "amount.mb": "{n}\u00a0MB", "amount.disk": "{n}\u00a0GB\u00a0磁碟", "amount.other": "{n}\u00a0{resource}",
  "size.times": "{count}\u00a0×\u00a0{main}", "size.elastic": "{min} 到 {max} × {main}", "size.spread": "各在不同主機",
  "size.hidden": "不顯示", "size.alternatives": "或 {n} 種替代", "size.alternatives.one": "或 1 種替代", "size.nothing": "無",
  "cancel": "取消", "close": "關閉", "copy": "複製", "copied": "已複製。",
  "cap.label": "{name}：已使用 {used}，我們保留 {held}，留給下一個 {kept}，可用 {free}", "cap.label.sums": "{name}：已使用 {used}，我們保留 {held}，可用 {free}",
  "job.withdraw.ask": "撤回 {name}？",
  "job.withdraw.says": "它會永久離開隊列，並歸還所占資源。無法復原。",
  "job.gone": "{type} 沒有工作 {name}。",
  "job.gone.more": "可能已撤回、保留期已過，或名稱不同。",
  "job.granted": "已發放，fence {fence}",
  "job.changed": "最後變更",
  "calls.owner": "擁有者",
  "audit.before": "之前",
  "audit.after": "之後",
  "signin.title": "登入", "signin.token": "權杖", "signin.hint": "由管理者提供，以 rqb_ 開頭。",
  "signin.hint.keystone": "本系統的權杖（以 rqb_ 開頭），或「openstack token issue」印出的權杖。",
  "signin.hint.other": "由管理者或簽發單位提供。",
  "signin.refused": "這個權杖不被接受。", "signin.again": "您已登出。登入後會回到原處。",
  "signin.token_malformed": "權杖少了或打錯了一個字，請整段複製。",
  "signin.token_unknown": "這裡沒有這個權杖，請索取本系統的權杖。",
  "signin.token_expired": "這個權杖已過期，請管理者更換。",
  "signin.token_revoked": "這個權杖已撤銷或換新，請向管理者索取新的。",
  "signin.no_role": "這個權杖在此沒有角色，請管理者指派。",
  "signin.rate_limited": "這裡嘗試太多次了，請稍後再試。",
  "signin.or": "或", "signin.issuer": "單一登入", "signin.sign_in_refused": "登入沒有完成，請重新開始。",
  "signin.issuer_unavailable": "登入服務沒有回應，請稍後再試。",
  "signin.openstack": "OpenStack（Keystone）", "signin.by.token": "改用權杖", "signin.user": "使用者", "signin.password": "密碼",
  "signin.project": "專案", "signin.domain": "網域", "signin.openstack.refused": "Keystone 不接受這組使用者、密碼、專案與網域。",
  "signin.busy": "登入中", "signin.over.tls": "{host}，經 TLS 加密", "signin.over.clear": "{host}，未加密",
  "who.label": "已登入：{name}", "who.out": "登出", "who.sees": "可見：{owners}",
  "role.client": "使用者", "role.viewer": "檢視者", "role.source": "主機來源", "role.operator": "操作者", "role.admin": "管理者",
  "error.title": "無法載入", "error.unreachable": "API 沒有回應。", "error.retry": "再試一次", "error.request": "請求 {id}",
  "error.maybe": "可能已經執行：重複之前請先確認。",
};

// Texts of one view stand in a file of their own: name → [English, 繁體中文].
const VIEWS = [OVERVIEW, LINE, HOSTS, JOB, CALLBACKS, AUDIT, POLICY];
const column = (n) => Object.fromEntries(VIEWS.flatMap((texts) => Object.entries(texts).map(([name, words]) => [name, words[n]])));

export const LANGUAGES = { en: { ...EN, ...column(0), ...REPORT_TEXTS.en }, "zh-Hant": { ...ZH, ...column(1), ...REPORT_TEXTS["zh-Hant"] } };
const NAMES = { en: "English", "zh-Hant": "繁體中文" };
let chosen = remembered() || (navigator.language.toLowerCase().startsWith("zh") ? "zh-Hant" : "en");

function remembered() {
  try { const kept = localStorage.getItem("language"); return kept in LANGUAGES ? kept : null; } catch { return null; }
}

export function language() { return chosen; }

// The other language, and how it calls itself.
export function other() {
  const code = Object.keys(LANGUAGES).find((each) => each !== chosen);
  return { code, name: NAMES[code] };
}

export function use(code) {
  chosen = code;
  document.documentElement.lang = code;
  try { localStorage.setItem("language", code); } catch { /* storage may be off */ }
}

// What stands between two sentences.
export const gap = () => (chosen === "en" ? " " : "");

// A text with its values in place of {names}.
export function t(name, values = {}) {
  const text = LANGUAGES[chosen][name];
  if (text === undefined) throw new Error(`no text ${name}`);
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// The same for a number of things: `name.one` is of a single one, where there is such a text.
export function many(name, n, values = {}) {
  return t(n === 1 && LANGUAGES[chosen][`${name}.one`] !== undefined ? `${name}.one` : name, values);
}
