// The HTTP API, as every other client calls it. Paths are relative to the page's base.
import { isAway, reach } from "./reach.js";
import { sleep, until } from "./waits.js";

const RETRIES = 3; // of a call that may be repeated, while the API or its Redis is away
const RETRY_MS = 500; // least wait before the first of them, where only this call fails
const READ_MS = 30000; // without an answer, a read has failed: the connection may be dead

export class Refusal extends Error {
  // An answer that is no success: its stable `code`, its sentence, its `status`, and the request's id.
  constructor(status, body, headers) {
    super(body.error || `HTTP ${status}`);
    this.status = status;
    this.code = body.code || "";
    this.body = body;
    this.requestId = headers.get("X-Request-ID");
    this.etag = headers.get("ETag");
  }
}

export class Unreachable extends Error {}

export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

async function once(method, url, body, headers, signal) {
  const limits = [method === "GET" && AbortSignal.timeout(READ_MS), signal].filter(Boolean);
  let answer;
  try {
    answer = await fetch(url, {
      method, signal: AbortSignal.any(limits), credentials: "same-origin", cache: "no-store",
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Unreachable(error.message), { method });
  }
  const parsed = await bodyOf(answer, method);
  if (!answer.ok) throw Object.assign(new Refusal(answer.status, parsed, answer.headers), { method });
  clock.note(answer.headers.get("Date"));
  return { ...parsed, etag: answer.headers.get("ETag") };
}

// An answer whose body ends early is none: nobody may take it for one without data.
async function bodyOf(answer, method) {
  if (answer.status === 304) return {};
  try { return await answer.json(); } catch (error) {
    if (error.name === "AbortError") throw error;
    if (answer.ok) throw Object.assign(new Unreachable(error.message), { method });
    return {}; // a refusal of something between us and the API
  }
}

// Calls the API. A read is repeated while the API is away; a change is sent once.
export async function call(method, url, { body, headers, signal } = {}) {
  if (method === "GET" && reach.away) { // somebody asks: one try tells it to all of a view's reads
    reach.retry();
    if (!await reach.tried(signal)) throw Object.assign(new Unreachable(""), { method });
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await once(method, url, body, headers, signal);
      reach.answered();
      return answer;
    } catch (error) {
      if (error.status === 401 && !url.startsWith("session")) {
        await readSession(); // which shows the sign-in, if nobody is signed in any more
        if (method !== "GET" || attempt >= RETRIES) throw error;
        await signedIn(signal);
        continue;
      }
      if (error.name === "AbortError") throw error;
      if (!isAway(error)) { reach.answered(); throw error; }
      reach.failed();
      if (method !== "GET") throw error;
      for (; attempt < RETRIES && !await reach.tried(signal); attempt += 1);
      if (attempt >= RETRIES) throw error;
      await sleep(RETRY_MS * 2 ** attempt);
    }
  }
}

export const get = (url, options) => call("GET", url, options);

// Who asks, as GET /session said last: null until it is read, `role` is null where nobody is signed in.
export const session = Object.assign(new EventTarget(), { current: null });

let reading = null;

export function readSession() {
  reading ??= get("session").then(({ data }) => keep(data)).finally(() => { reading = null; });
  return reading;
}

function keep(data) {
  session.current = data;
  session.dispatchEvent(new Event("change"));
  return data;
}

// Signs in with a credential in the header that it comes in; the browser keeps a cookie that no script sees.
export async function signIn(headers, url = "session", body = undefined) {
  const { data } = await call("POST", url, { headers, body });
  return data.role ? keep(data) : readSession();
}

export async function signOut() {
  await call("DELETE", "session");
}

// Waits until somebody is signed in.
export function signedIn(signal) {
  return until(session, () => session.current?.role, signal);
}

// Whether this identity may call an operation, named by its operationId in the API's document
// ("reorder", "withdraw", "set_policy", …), on a type. A button that may not is not drawn.
export function may(operation, type) {
  const { may: rights = {}, types = null } = session.current || {};
  return operation in rights && (!type || types === null || types.includes(type));
}

// The server's clock, from its Date headers: what ticks on the page goes by it.
export const clock = {
  offset: 0,
  note(date) {
    if (!date) return;
    const offset = Date.parse(date) + 500 - Date.now();
    if (Math.abs(offset - this.offset) > 1500) this.offset = offset;
  },
  now() { return Date.now() + this.offset; },
};
