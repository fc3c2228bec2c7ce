// The team's inbox. The feed tells what changed; nothing is asked for twice.
import * as api from "./api.js";
import { $, h, icon } from "./dom.js";
import { Live } from "./live.js";
import { clock, day, number, size, speak, speakOther, t } from "./words.js";

const PAGE = 50;
const TYPING_SECONDS = 6;
const KINDS = "application/pdf,image/png,image/jpeg,image/webp";
const MOST_FILES = 5;
const MOST_BYTES = 10 * 2 ** 20;
const FOLDERS = {
  open: { query: "status=open,pending", holds: (row) => isOpen(row) },
  mine: {
    query: "status=open,pending&assignedUserId=me",
    holds: (row) => isOpen(row) && row.assignedUserId === me().id,
  },
  unassigned: {
    query: "status=open,pending&assignedUserId=none",
    holds: (row) => isOpen(row) && row.assignedUserId === null,
  },
  done: { query: "status=resolved,snoozed", holds: (row) => !isOpen(row) },
};

const me = () => api.who().user;
const may = (permission) => api.who().permissions.includes(permission);
const isOpen = (row) => row.status === "open" || row.status === "pending";

let folder = "open";
let words = "";
let rows = new Map(); // conversations by id
let chosen = null; // the id of the one that is read
let messages = []; // of the chosen one, by seq
let hasEarlier = false;
let isAtEnd = true; // whether the last message was in sight when they were drawn
let further = null; // the cursor of the conversations behind those that are listed
let isNote = false;
let team = new Map();
let typing = new Map(); // conversation → timer
let viewers = new Map(); // person → { name, viewing }
let live = null;
let state = "connecting";
let drafts = new Map(); // conversation → { text, files }
let files = []; // of the reply that is written: { name, size, id } with the id of what is uploaded
let pictures = new Map(); // attachment → the address of what it holds, once it is asked for

// Signing in

async function begin() {
  speak();
  $("#other").addEventListener("click", () => {
    speakOther();
    keepDraft();
    draw();
  });
  const isBack = api.mayResume() && (await api.resume().then(() => true, () => false));
  if (isBack) await enter();
  else draw();
}

async function enter() {
  draw();
  if (may("staff.read")) {
    const { items } = await api.staff();
    team = new Map(items.filter((one) => one.status === "active").map((one) => [one.userId, one]));
  }
  live = new Live({
    heard,
    lost: async () => {
      await load();
      if (chosen) await open(chosen);
    },
    stateChanged: (now) => {
      state = now;
      drawState();
    },
  });
  await live.start();
}

async function leave() {
  await live?.stop();
  await api.signOut().catch(() => {});
  location.reload();
}

function drawSignIn() {
  const form = h(
    "form",
    { class: "card sign-in" },
    h("h1", {}, t("inbox")),
    h("p", { class: "quiet" }, t("welcome")),
    h("label", {}, t("login"), h("input", { name: "login", autocomplete: "username", required: true, dir: "ltr" })),
    h(
      "label",
      {},
      t("password"),
      h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, dir: "ltr" }),
    ),
    h("p", { class: "fault", role: "alert" }),
    h("button", { class: "primary" }, t("signIn")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await api.signIn(form.elements.login.value, form.elements.password.value);
    } catch (problem) {
      form.querySelector(".fault").textContent = problem.message;
      button.disabled = false;
      return;
    }
    await enter();
  });
  return form;
}

// What the hub tells

function heard(event) {
  const { type, conversationId: id, data } = event;
  if (type === "TypingChanged") noteTyping(id, data);
  else if (type === "PresenceChanged") notePresence(data);
  else if (type.startsWith("Conversation")) keep({ unreadCount: 0, ...rows.get(id), ...data });
  else if (type === "MessagesRead") noteRead(id, data);
  else noteMessage(type, id, data);
}

function keep(row) {
  rows.set(row.id, row);
  drawList();
  if (row.id === chosen) drawHead();
}

async function noteMessage(type, id, message) {
  const isNew = type === "NewCustomerMessage" || type === "MessageSent";
  const row = rows.get(id);
  if (id === chosen) {
    const at = messages.findIndex((one) => one.seq >= message.seq);
    if (at < 0) messages.push(message);
    else if (messages[at].seq === message.seq) messages[at] = message;
    else messages.splice(at, 0, message);
    if (message.senderType === "visitor") stopTyping(id);
    drawMessages();
    drawTyping();
  }
  if (!isNew) return;
  if (!row) {
    keep(await api.get(`/conversations/${id}`));
    return;
  }
  row.lastSeq = Math.max(row.lastSeq, message.seq);
  if (!message.private) {
    row.lastMessagePreview = (message.text ?? message.attachments[0]?.fileName ?? "").slice(0, 140);
    row.lastMessageAt = message.createdAt;
  }
  if (message.direction === "inbound") row.unreadCount += 1;
  keep(row);
  if (id === chosen) markRead();
}

function noteRead(id, { by, upToSeq, reader }) {
  const row = rows.get(id);
  if (!row) return;
  if (by === "visitor") row.visitorReadSeq = Math.max(row.visitorReadSeq, upToSeq);
  else if (reader === `user:${me().id}` && upToSeq >= row.lastSeq) row.unreadCount = 0;
  drawList();
  if (id === chosen) drawMessages();
}

function noteTyping(id, { isTyping, senderType }) {
  if (senderType !== "visitor") return;
  stopTyping(id);
  if (isTyping) {
    typing.set(id, setTimeout(() => { stopTyping(id); drawTyping(); }, TYPING_SECONDS * 1000));
  }
  drawTyping();
}

function stopTyping(id) {
  clearTimeout(typing.get(id));
  typing.delete(id);
}

function notePresence({ principalId, name, status, viewing }) {
  if (principalId === me().id) return;
  if (status === "online") viewers.set(principalId, { name, viewing });
  else viewers.delete(principalId);
  drawTyping();
}

// Reading

async function load() {
  const asked = folder;
  const page = await api.get(listing());
  if (asked !== folder) return;
  further = page.nextCursor;
  const kept = chosen && rows.get(chosen);
  rows = new Map(page.items.map((row) => [row.id, row]));
  if (kept && !rows.has(chosen)) rows.set(chosen, kept);
  drawList();
}

function listing() {
  const search = words ? `&search=${encodeURIComponent(words)}` : "";
  return `/conversations?${FOLDERS[folder].query}&pageSize=${PAGE}${search}`;
}

async function showMore() {
  const after = further;
  const page = await api.get(`${listing()}&cursor=${encodeURIComponent(after)}`);
  if (after !== further) return;
  further = page.nextCursor;
  for (const row of page.items) rows.set(row.id, row);
  drawList();
}

async function open(id) {
  if (chosen !== id) {
    keepDraft();
    files = drafts.get(id)?.files ?? [];
    messages = [];
    isNote = false;
  }
  chosen = id;
  document.body.classList.add("reading");
  drawThread();
  drawList();
  live.say("Viewing", id);
  const row = rows.get(id);
  const before = row.lastSeq + 1;
  const page = await api.get(`/conversations/${id}/messages?beforeSeq=${before}&limit=${PAGE}`);
  if (chosen !== id) return;
  const late = messages.filter((one) => one.seq >= before);
  messages = [...page.items, ...late];
  hasEarlier = messages.length > 0 && messages[0].seq > 1;
  drawMessages();
  markRead();
}

function keepDraft() {
  if (chosen) drafts.set(chosen, { text: $("#composer textarea")?.value ?? "", files });
}

async function showEarlier() {
  const id = chosen;
  const before = messages[0].seq;
  const page = await api.get(`/conversations/${id}/messages?beforeSeq=${before}&limit=${PAGE}`);
  if (chosen !== id) return;
  messages = [...page.items, ...messages];
  hasEarlier = messages[0].seq > 1;
  const box = $("#messages");
  const fromEnd = box.scrollHeight - box.scrollTop;
  drawMessages();
  box.scrollTop = box.scrollHeight - fromEnd;
}

function close() {
  keepDraft();
  chosen = null;
  document.body.classList.remove("reading");
  live.say("Viewing", null);
  drawThread();
  drawList();
}

function markRead() {
  const row = rows.get(chosen);
  const last = messages.at(-1);
  if (!row || !last || document.hidden || row.unreadCount === 0) return;
  row.unreadCount = 0;
  drawList();
  api.post(`/conversations/${chosen}/read`, { upToSeq: last.seq }).catch(() => {});
}

// Acting

async function send(text) {
  const row = rows.get(chosen);
  const id = chosen;
  const attachmentIds = files.map((one) => one.id);
  const wasNote = isNote;
  const lastSeq = messages.at(-1)?.seq ?? row.lastSeq;
  const sent = await attempt(() =>
    api.post(`/conversations/${id}/messages`, {
      ...(text ? { text } : {}),
      ...(attachmentIds.length ? { attachmentIds } : {}),
      private: wasNote,
      clientMessageId: crypto.randomUUID(),
      ...(wasNote ? {} : { expectedLastSeq: lastSeq }),
    }),
  );
  if (!sent) return false;
  drafts.delete(id);
  if (id === chosen) files = [];
  await noteMessage("MessageUpdated", id, sent);
  return true;
}

// Uploads at once, so that a reply is sent as soon as it is written.
function attach(chosenFiles) {
  for (const file of chosenFiles.slice(0, MOST_FILES - files.length)) {
    if (file.size > MOST_BYTES) tell(t("tooLarge"));
    else files.push(uploading(file, files));
  }
  drawFiles();
}

function uploading(file, list) {
  const one = { name: file.name, size: file.size };
  one.done = attempt(() => api.upload(file)).then((kept) => {
    if (kept) one.id = kept.id;
    else list.splice(list.indexOf(one), 1);
    drawFiles();
  });
  return one;
}

async function attempt(work) {
  try {
    return await work();
  } catch (problem) {
    const known = { conversation_advanced: "advanced", already_assigned: "taken" }[problem.code];
    tell(known ? t(known) : problem.status ? problem.message : t("failed"));
    return null;
  }
}

async function change(deed, body) {
  const row = await attempt(() => api.post(`/conversations/${chosen}/${deed}`, body));
  if (row) keep({ ...rows.get(row.id), ...row, unreadCount: rows.get(row.id)?.unreadCount ?? 0 });
  else drawHead();
}

function tell(text) {
  const toast = h("div", { class: "toast", role: "status" }, text);
  document.body.append(toast);
  setTimeout(() => toast.remove(), 5000);
}

// Drawing

const nameOf = (row) =>
  row.visitor.name || row.visitor.phone || row.visitor.email || `${t("visitor")} ${row.number}`;

function avatar(row) {
  const name = nameOf(row);
  const hue = [...row.visitor.id].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 8;
  return h("span", { class: `avatar hue-${hue}`, "aria-hidden": "true" }, [...name][0].toUpperCase());
}

function draw() {
  document.title = t("inbox");
  $("#title").textContent = t("inbox");
  $("#other").textContent = t("other");
  const isIn = Boolean(api.who());
  $("#store").replaceChildren(...(isIn ? [drawStore()] : []));
  $("#account").replaceChildren(
    ...(isIn
      ? [
          h("span", { class: "quiet name" }, me().fullName),
          h("button", { class: "plain", id: "sign-out", onclick: leave }, t("signOut")),
        ]
      : []),
  );
  drawState();
  if (!isIn) {
    $("main").replaceChildren(drawSignIn());
    $("main").className = "signed-out";
    return;
  }
  $("main").className = "";
  $("main").replaceChildren(
    h(
      "section",
      { id: "list" },
      h(
        "div",
        { class: "search" },
        icon("search"),
        h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), value: words, oninput: searchLater }),
      ),
      h("nav", { id: "folders", role: "tablist", "aria-label": t("tabs") }),
      h("ul", { id: "rows" }),
    ),
    h("section", { id: "thread" }),
  );
  drawList();
  drawThread();
}

function drawStore() {
  const { store, stores } = api.who();
  if (stores.length < 2) return store.name;
  const choices = stores.map((one) =>
    h("option", { value: one.id, selected: one.id === store.id }, one.name),
  );
  return h("select", { id: "stores", "aria-label": t("store"), onchange: goTo }, ...choices);
}

// Another store is another sign-in: the page begins anew, and nothing of the one before stays.
async function goTo(event) {
  event.target.disabled = true;
  if (chosen) close();
  await live?.stop();
  const gone = await attempt(async () => { await api.switchStore(event.target.value); return true; });
  if (gone) location.reload();
  else await enter();
}

let searching = null;
function searchLater(event) {
  words = event.target.value.trim();
  clearTimeout(searching);
  searching = setTimeout(() => attempt(load), 300);
}

function drawState() {
  const mark = $("#state");
  mark.hidden = !api.who();
  mark.className = `state ${state}`;
  mark.textContent = t(state);
}

function drawList() {
  const tabs = Object.keys(FOLDERS).map((name) =>
    h(
      "button",
      {
        role: "tab",
        "aria-selected": String(name === folder),
        onclick: () => {
          folder = name;
          drawList();
          attempt(load);
        },
      },
      t(name),
    ),
  );
  $("#folders").replaceChildren(...tabs);
  const shown = [...rows.values()]
    .filter((row) => words || FOLDERS[folder].holds(row))
    .sort((a, b) => (a.lastMessageAt ?? a.createdAt) < (b.lastMessageAt ?? b.createdAt) ? 1 : -1);
  $("#rows").replaceChildren(
    ...(shown.length ? shown.map(drawRow) : [h("li", { class: "empty quiet" }, t("nothing"))]),
    ...(further ? [h("li", {}, h("button", { class: "plain more", onclick: () => attempt(showMore) }, t("more")))] : []),
  );
  const unread = [...rows.values()].reduce((sum, row) => sum + (row.unreadCount > 0 ? 1 : 0), 0);
  document.title = unread ? `(${number(unread)}) ${t("inbox")}` : t("inbox");
}

function drawRow(row) {
  const at = row.lastMessageAt ?? row.createdAt;
  const when = day(at) === t("today") ? clock(at) : day(at);
  return h(
    "li",
    {},
    h(
      "button",
      {
        class: `row ${row.unreadCount ? "unread" : ""}`,
        "aria-current": row.id === chosen ? "true" : null,
        "data-id": row.id,
        onclick: () => attempt(() => open(row.id)),
      },
      avatar(row),
      h(
        "span",
        { class: "about" },
        h(
          "span",
          { class: "line" },
          h("bdi", { class: "name" }, nameOf(row)),
          h("time", { class: "quiet", datetime: at }, when),
        ),
        h(
          "span",
          { class: "line" },
          h("span", { class: "preview quiet", dir: "auto" }, row.lastMessagePreview ?? ""),
          row.unreadCount ? h("span", { class: "count" }, number(row.unreadCount)) : null,
        ),
      ),
    ),
  );
}

function drawThread() {
  const thread = $("#thread");
  if (!chosen || !rows.has(chosen)) {
    thread.replaceChildren(h("p", { class: "choose quiet" }, t("choose")));
    return;
  }
  thread.replaceChildren(
    h("header", { id: "head" }),
    h("div", { id: "messages", role: "log", "aria-live": "polite" }),
    h("div", { id: "typing", class: "quiet" }),
    may("chat.reply") ? drawComposer() : "",
  );
  drawHead();
  drawMessages();
  drawTyping();
  drawFiles();
}

function drawHead() {
  const row = rows.get(chosen);
  const { visitor } = row;
  const details = [visitor.phone, visitor.email].filter(Boolean).join(" · ");
  const head = $("#head");
  head.replaceChildren(
    h("button", { class: "plain back", "aria-label": t("back"), onclick: close }, icon("back")),
    avatar(row),
    h(
      "div",
      { class: "about" },
      h("bdi", { class: "name" }, nameOf(row)),
      h(
        "span",
        { class: "quiet details" },
        h("span", { class: `status ${row.status}` }, t(`status_${row.status}`)),
        visitor.verified === "none" ? null : h("span", {}, t("verified")),
        details && details !== nameOf(row) ? h("bdi", {}, details) : null,
      ),
    ),
    h(
      "div",
      { class: "deeds" },
      may("chat.assign") ? drawAssignment(row) : null,
      !may("chat.reply")
        ? null
        : isOpen(row)
          ? h("button", { id: "resolve", onclick: () => change("resolve") }, icon("check"), h("span", {}, t("resolve")))
          : h("button", { id: "reopen", onclick: () => change("reopen") }, h("span", {}, t("reopen"))),
    ),
  );
}

function drawAssignment(row) {
  const people = new Map([[me().id, { fullName: `${me().fullName ?? me().email} (${t("me")})` }]]);
  for (const [id, person] of team) if (id !== me().id) people.set(id, person);
  if (row.assignedUserId && !people.has(row.assignedUserId)) {
    people.set(row.assignedUserId, { fullName: t("colleague") });
  }
  const choices = [...people].map(([id, person]) =>
    h("option", { value: id, selected: id === row.assignedUserId }, person.fullName || person.email),
  );
  const before = row.assignedUserId;
  return h(
    "select",
    {
      id: "assign",
      "aria-label": t("assignTo"),
      onchange: (event) =>
        change("assign", { userId: event.target.value || null, expectedAssignedUserId: before }),
    },
    h("option", { value: "", selected: before === null }, t("nobody")),
    ...choices,
  );
}

function drawMessages() {
  const box = $("#messages");
  if (!box) return;
  isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  let last = "";
  const parts = messages.flatMap((message) => {
    const name = day(message.createdAt);
    const divider = name === last ? [] : [h("div", { class: "day quiet" }, name)];
    last = name;
    return [...divider, drawMessage(message)];
  });
  if (hasEarlier) {
    parts.unshift(h("button", { class: "plain earlier", onclick: () => attempt(showEarlier) }, t("earlier")));
  }
  box.replaceChildren(...parts);
  toTheEnd();
}

// The last words stay in sight, also when a picture above them has come.
function toTheEnd() {
  const box = $("#messages");
  if (isAtEnd && box) box.scrollTop = box.scrollHeight;
}

function drawMessage(message) {
  const side = message.direction === "inbound" ? "theirs" : message.direction;
  const kind = message.private ? "private" : "";
  const fate = () => {
    if (message.direction !== "outbound" || message.private) return null;
    if (message.seq <= rows.get(chosen).visitorReadSeq) return t("seen");
    return message.status === "delivered" ? t("delivered") : t("sent");
  };
  const by = message.private || message.direction === "outbound" ? message.senderName : null;
  const foot = [message.private ? t("note") : null, by, clock(message.createdAt), fate()];
  return h(
    "article",
    { class: `message ${side} ${kind}`, "data-seq": message.seq },
    message.deletedAt
      ? h("p", { class: "quiet" }, t("deleted"))
      : message.text
        ? h("p", { dir: "auto" }, message.text)
        : null,
    (message.attachments ?? []).map(drawAttachment),
    h("footer", {}, foot.filter(Boolean).map((part) => h("span", {}, part))),
  );
}

function drawAttachment(attachment) {
  const isPicture = attachment.contentType.startsWith("image/") && attachment.width;
  const name = h("bdi", {}, attachment.fileName || t("file"));
  const button = h(
    "button",
    { class: `plain file ${isPicture ? "picture" : ""}`, onclick: () => attempt(() => download(attachment)) },
    ...(isPicture ? [] : [icon("file")]),
    name,
    h("small", {}, size(attachment.size)),
  );
  if (isPicture) {
    const image = h("img", { alt: "", width: attachment.width, height: attachment.height });
    button.prepend(image);
    image.addEventListener("load", toTheEnd);
    const known = pictures.get(attachment.id);
    if (typeof known === "string") image.src = known; // at once: drawn anew, it does not flicker
    else address(attachment).then((source) => { image.src = source; }, () => image.remove());
  }
  return button;
}

async function address(attachment) {
  if (!pictures.has(attachment.id)) {
    const asked = api.file(attachment.id);
    pictures.set(attachment.id, asked);
    asked.then(
      (source) => pictures.set(attachment.id, source),
      () => pictures.delete(attachment.id),
    );
  }
  return pictures.get(attachment.id);
}

async function download(attachment) {
  h("a", { href: await address(attachment), download: attachment.fileName }).click();
}

function drawTyping() {
  const line = $("#typing");
  if (!line) return;
  const others = [...viewers.values()].filter((one) => one.viewing === chosen);
  line.textContent = typing.has(chosen)
    ? `${nameOf(rows.get(chosen))} ${t("typing")}`
    : others.map((one) => `${one.name || t("colleague")} ${t("viewing")}`).join(" · ");
}

function drawComposer() {
  const field = h("textarea", { rows: "1", dir: "auto", maxlength: "4000" });
  const form = h("form", { id: "composer" });
  const paint = () => {
    form.className = isNote ? "note" : "";
    field.placeholder = t(isNote ? "writeNote" : "write");
    field.setAttribute("aria-label", field.placeholder);
    for (const button of form.querySelectorAll("[data-note]")) {
      button.setAttribute("aria-pressed", String((button.dataset.note === "yes") === isNote));
    }
  };
  const picker = h("input", { type: "file", accept: KINDS, multiple: true, hidden: true });
  picker.addEventListener("change", () => {
    attach([...picker.files]);
    picker.value = "";
  });
  const tool = (name, onclick) =>
    h("button", { type: "button", class: "plain tool", id: `${name}-tool`, "aria-label": t(name), title: t(name), onclick }, icon(name));
  const kind = (value, word) =>
    h("button", { type: "button", "data-note": value, onclick: () => { isNote = value === "yes"; paint(); field.focus(); } }, t(word));
  form.append(
    h("div", { class: "kinds" }, kind("no", "reply"), kind("yes", "note")),
    h("div", { id: "canned", hidden: true }),
    h("ul", { id: "files", hidden: true }),
    h(
      "div",
      { class: "line" },
      tool("attach", () => picker.click()),
      tool("canned", () => toggleCanned(field)),
      field,
      h("button", { class: "primary send", "aria-label": t("send") }, icon("send")),
    ),
    picker,
  );
  field.value = drafts.get(chosen)?.text ?? "";
  field.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files].filter((file) => KINDS.includes(file.type));
    if (!pasted.length) return;
    event.preventDefault();
    attach(pasted);
  });
  let toldAt = 0;
  field.addEventListener("input", () => {
    if (field.value === "/") {
      field.value = "";
      toggleCanned(field);
      return;
    }
    field.rows = Math.min(6, field.value.split("\n").length);
    if (!isNote && Date.now() - toldAt > 3000) {
      toldAt = Date.now();
      live.say("Typing", chosen, true);
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!(text || files.length) || field.readOnly) return;
    field.readOnly = true;
    await Promise.all(files.map((one) => one.done));
    if ((text || files.length) && (await send(text))) {
      field.value = "";
      field.rows = 1;
      toldAt = 0;
      drawFiles();
    }
    field.readOnly = false;
    field.focus();
    const box = $("#messages");
    if (box) box.scrollTop = box.scrollHeight;
  });
  paint();
  return form;
}

function drawFiles() {
  const list = $("#files");
  if (!list) return;
  list.hidden = files.length === 0;
  list.replaceChildren(
    ...files.map((one) =>
      h(
        "li",
        {},
        icon("file"),
        h("bdi", {}, one.name),
        h("small", { class: "quiet" }, one.id ? size(one.size) : t("uploading")),
        h(
          "button",
          {
            type: "button",
            class: "plain",
            "aria-label": `${t("remove")} ${one.name}`,
            onclick: () => {
              files.splice(files.indexOf(one), 1);
              drawFiles();
            },
          },
          icon("close"),
        ),
      ),
    ),
  );
}

// Canned replies

function toggleCanned(field) {
  const box = $("#canned");
  if (!box.hidden) {
    box.hidden = true;
    field.focus();
    return;
  }
  const list = h("ul", {});
  const search = h("input", { type: "search", placeholder: t("findCanned"), "aria-label": t("findCanned") });
  let asked = 0;
  const find = async () => {
    const turn = ++asked;
    const wanted = encodeURIComponent(search.value.trim());
    const page = await attempt(() => api.get(`/canned-replies?pageSize=50${wanted && `&search=${wanted}`}`));
    if (!page || turn !== asked) return;
    list.replaceChildren(
      ...(page.items.length ? page.items.map(drawReply) : [h("li", { class: "quiet" }, t("noCanned"))]),
    );
  };
  const drawReply = (reply) =>
    h(
      "li",
      {},
      h(
        "button",
        { type: "button", onclick: () => take(reply) },
        h("span", { class: "line" }, h("strong", { dir: "auto" }, reply.title), h("code", { dir: "ltr" }, `/${reply.shortcode}`)),
        h("span", { class: "quiet", dir: "auto" }, reply.body),
      ),
    );
  const take = (reply) => {
    const before = field.value.slice(0, field.selectionStart);
    field.setRangeText(filledIn(reply.body), before.length, field.selectionEnd, "end");
    box.hidden = true;
    field.focus();
    field.dispatchEvent(new Event("input"));
  };
  let later = null;
  search.addEventListener("input", () => {
    clearTimeout(later);
    later = setTimeout(find, 200);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggleCanned(field);
    if (event.key !== "Enter") return;
    event.preventDefault(); // it is not to be sent: the first reply is taken
    list.querySelector("button")?.click();
  });
  box.replaceChildren(search, list);
  box.hidden = false;
  search.focus();
  find();
}

function filledIn(body) {
  const values = {
    "visitor.name": rows.get(chosen).visitor.name ?? "",
    "agent.name": me().fullName ?? "",
    "store.name": api.who().store.name,
  };
  // Without a name, "Hello {{visitor.name}}," is "Hello,".
  return body.replace(/(\s*)\{\{\s*([a-z.]+)\s*\}\}/g, (whole, gap, name) =>
    name in values ? (values[name] ? gap + values[name] : "") : whole,
  );
}

document.addEventListener("visibilitychange", () => chosen && markRead());
begin();
