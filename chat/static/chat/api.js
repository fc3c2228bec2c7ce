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
export const who = () => session;
export const mayResume = () => localStorage.getItem(KEPT) !== null;

async function fetchJson(method, path, body, headers = {}) {
  const isJson = body !== undefined && !(body instanceof FormData);
  const answer = await fetch(path, {
    method,
    headers: { ...(isJson ? { "Content-Type": "application/json" } : {}), ...headers },
    body: isJson ? JSON.stringify(body) : body,
  });
  const text = await answer.text();
  const read = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Problem(answer.status, read ?? {});
  return read;
}

export async function signIn(login, password) {
  session = await fetchJson("POST", `${AUTH}/login`, { login, password, useCookie: true });
  localStorage.setItem(KEPT, "yes");
}

// One tab at a time: a refresh token that is used twice ends the sign-in.
export function resume() {
  return navigator.locks.request("refresh", async () => {
    const before = session?.store.id;
    session = await fetchJson("POST", `${AUTH}/refresh`, {});
    if (before && before !== session.store.id) location.reload(); // another tab went to another store
  });
}

export async function switchStore(storeId) {
  session = await authorised("POST", `${AUTH}/switch-store`, { storeId, useCookie: true });
}

export async function signOut() {
  localStorage.removeItem(KEPT);
  await fetchJson("POST", `${AUTH}/logout`, {});
}

async function authorised(method, path, body) {
  const bearer = () => ({ Authorization: `Bearer ${session.accessToken}` });
  try {
    return await fetchJson(method, path, body, bearer());
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    await resume();
    return fetchJson(method, path, body, bearer());
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
  const ask = () =>
    fetch(`${CHAT}/attachments/${id}`, {
      headers: { Authorization: `Bearer ${session.accessToken}` },
    });
  let answer = await ask();
  if (answer.status === 401) {
    await resume();
    answer = await ask();
  }
  if (!answer.ok) throw new Problem(answer.status, {});
  return URL.createObjectURL(await answer.blob());
}
