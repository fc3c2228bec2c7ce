// The REST API as the inbox uses it: one access token in memory, the refresh token in a cookie
// that no script can read.
const AUTH = "/api/v1/auth";
const CHAT = "/api/v1/store/chat";

export class Problem extends Error {
  constructor(status, body) {
    super(body.title ?? `HTTP ${status}`);
    this.status = status;
    this.code = body.code;
  }
}

const KEPT = "inbox-signed-in"; // whether there is a cookie to try

let session = null;
const underWay = new Set();
export const who = () => session;
export const mayResume = () => localStorage.getItem(KEPT) !== null;

const parsed = async (answer) => {
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
};

async function ask(method, path, body, headers = {}, read = parsed) {
  const isJson = body !== undefined && !(body instanceof FormData);
  const answer = await fetch(path, {
    method,
    headers: { ...(isJson ? { "Content-Type": "application/json" } : {}), ...headers },
    body: isJson ? JSON.stringify(body) : body,
  });
  if (!answer.ok) throw new Problem(answer.status, (await parsed(answer)) ?? {});
  return read(answer);
}

export async function signIn(login, password) {
  session = await ask("POST", `${AUTH}/login`, { login, password, useCookie: true });
  localStorage.setItem(KEPT, "yes");
}

// One tab at a time: a refresh token that is used twice ends the sign-in.
export function resume() {
  return navigator.locks.request("refresh", async () => {
    const before = session?.store.id;
    session = await ask("POST", `${AUTH}/refresh`, {});
    if (before && before !== session.store.id) {
      location.reload(); // another tab went to another store, and what was asked of this one ends here
      await new Promise(() => {});
    }
  });
}

// What is under way was asked of the store that is left: it is answered before.
export async function switchStore(storeId) {
  await Promise.allSettled(underWay);
  session = await authorised("POST", `${AUTH}/switch-store`, { storeId, useCookie: true });
}

export async function signOut() {
  localStorage.removeItem(KEPT);
  await ask("POST", `${AUTH}/logout`, {});
}

function authorised(method, path, body, read) {
  const call = retried(() =>
    ask(method, path, body, { Authorization: `Bearer ${session.accessToken}` }, read),
  );
  underWay.add(call);
  const done = () => underWay.delete(call);
  call.then(done, done);
  return call;
}

async function retried(call) {
  try {
    return await call();
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    await resume();
    return call();
  }
}

export const get = (path) => authorised("GET", CHAT + path);
export const post = (path, body = {}) => authorised("POST", CHAT + path, body);
export const staff = () => authorised("GET", "/api/v1/store/staff?pageSize=100");

export function upload(file) {
  const form = new FormData();
  form.append("file", file);
  return authorised("POST", `${CHAT}/attachments`, form);
}

// What an attachment holds, as an address for this page alone.
export async function file(id) {
  const blob = (answer) => answer.blob();
  return URL.createObjectURL(
    await authorised("GET", `${CHAT}/attachments/${id}`, undefined, blob),
  );
}
