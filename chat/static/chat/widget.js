// The store's chat on any page: <script src="https://…/widget.js" data-key="wgt_…" defer></script>.
// It stands in a shadow root, so that the page's styles and ours leave each other alone.
(() => {
  const script = document.currentScript;
  const origin = new URL(script.src).origin;
  const key = script.dataset.key;
  const wanted = script.dataset.lang || document.documentElement.lang || navigator.language;
  const language = wanted.toLowerCase().startsWith("ar") ? "ar" : "en";
  const identity = window.storeChatIdentity;
  const KEPT = `store-chat:${key}`;
  const MOST_FILES = 5;
  const MOST_BYTES = 10 * 2 ** 20;
  const KINDS = "application/pdf,image/png,image/jpeg,image/webp";
  const TYPING_SECONDS = 6;
  const LOOK_AGAIN = 5000; // while the hub is away
  const WORDS = {
    en: {
      open: "Chat with us", close: "Close", hello: "Hello! How can we help?", write: "Write a message…",
      send: "Send", typing: "typing…", seen: "Seen", failed: "Not sent. Try again.", team: "We reply here.",
      deleted: "Message deleted", attach: "Attach a file", remove: "Remove", uploading: "Uploading…",
      refused: "Only PDF files and pictures, up to 10 MB.",
    },
    ar: {
      open: "تحدث معنا", close: "إغلاق", hello: "مرحبًا! كيف نساعدك؟", write: "اكتب رسالة…",
      send: "إرسال", typing: "يكتب الآن…", seen: "شوهدت", failed: "لم تُرسل. حاول مرة أخرى.",
      team: "نرد عليك هنا.", deleted: "حُذفت الرسالة",
      attach: "إرفاق ملف", remove: "إزالة", uploading: "جارٍ الرفع…",
      refused: "ملفات PDF وصور فقط، حتى 10 ميغابايت.",
    },
  };
  const t = (word) => WORDS[language][word];

  const STYLE = `
    :host { all: initial; position: fixed; inset-block-end: 20px; inset-inline-end: 20px; z-index: 2147483000; color-scheme: light; }
    * { box-sizing: border-box; }
    .all { font: 15px/1.5 Cairo, system-ui, "Segoe UI", Tahoma, sans-serif; color: #17211f; }
    button, textarea { font: inherit; color: inherit; }
    button { cursor: pointer; border: 0; background: none; padding: 0; }
    :focus-visible { outline: 2px solid var(--color); outline-offset: 2px; }
    svg { display: block; width: 26px; height: 26px; fill: currentColor; }
    [dir=rtl] .send svg { transform: scaleX(-1); }
    .bubble { position: relative; display: grid; place-items: center; margin-inline-start: auto; width: 60px; height: 60px; border-radius: 50%; background: var(--color); color: #fff; box-shadow: 0 8px 24px #0004; transition: transform .15s; }
    .bubble:hover { transform: scale(1.05); }
    .count { position: absolute; inset-block-start: -4px; inset-inline-end: -4px; min-width: 24px; padding: 0 6px; border-radius: 12px; background: #dc2626; color: #fff; font-size: 13px; font-weight: 700; line-height: 24px; }
    .panel { display: grid; grid-template-rows: auto 1fr auto auto auto; width: min(370px, calc(100vw - 40px)); height: min(560px, calc(100dvh - 110px)); margin-block-end: 14px; overflow: hidden; border-radius: 18px; background: #fff; box-shadow: 0 16px 56px #0005; }
    [hidden] { display: none !important; }
    header { display: flex; align-items: center; gap: 12px; padding: 16px 18px; background: var(--color); color: #fff; }
    header div { flex: 1; min-width: 0; }
    header strong { display: block; font-size: 17px; line-height: 1.3; }
    header span { font-size: 13px; opacity: .85; }
    .close { font-size: 26px; line-height: 1; padding: 4px 8px; }
    .messages { display: flex; flex-direction: column; gap: 8px; padding: 16px; overflow-y: auto; overflow-wrap: anywhere; background: #f5f7f7; }
    .messages > :first-child { margin-block-start: auto; }
    .message { max-width: 84%; padding: 8px 13px; border-radius: 16px; background: #fff; border: 1px solid #e3e9e7; white-space: pre-wrap; }
    .message small { display: block; font-size: 11.5px; opacity: .7; }
    .theirs { align-self: flex-start; border-end-start-radius: 4px; }
    .own { align-self: flex-end; border-end-end-radius: 4px; background: var(--color); border-color: var(--color); color: #fff; }
    .gone { opacity: .6; font-style: italic; }
    .line { min-height: 22px; padding: 0 16px; font-size: 13px; color: #66736f; background: #f5f7f7; }
    form { display: flex; align-items: end; gap: 8px; padding: 10px 12px; border-block-start: 1px solid #e3e9e7; }
    textarea { flex: 1; min-width: 0; padding: 9px 12px; font-size: 16px; border: 1px solid #d8e0de; border-radius: 12px; resize: none; background: #fff; }
    [dir=rtl] textarea:placeholder-shown { direction: rtl; unicode-bidi: plaintext; }
    .files { display: flex; flex-wrap: wrap; gap: 6px; margin: 0; padding: 6px 12px 0; list-style: none; }
    .files li { display: flex; align-items: center; gap: 8px; max-width: 100%; padding: 3px 10px; border: 1px solid #d8e0de; border-radius: 10px; font-size: 13px; }
    .files bdi { min-width: 0; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
    .files button { font-size: 18px; line-height: 1; }
    .attach { display: grid; place-items: center; flex: none; width: 34px; height: 44px; color: #66736f; }
    .attach svg { width: 22px; height: 22px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
    .file { display: block; max-width: 100%; text-align: start; text-decoration: underline; overflow-wrap: anywhere; }
    .file img { display: block; width: auto; max-width: 100%; height: auto; max-height: 220px; margin-block-end: 4px; border-radius: 10px; background: #0001; }
    .send { display: grid; place-items: center; flex: none; width: 44px; height: 44px; border-radius: 50%; background: var(--color); color: #fff; }
    .send svg { width: 20px; height: 20px; }
    @media (max-width: 480px) {
      :host { inset-block-end: 14px; inset-inline-end: 14px; }
      .all.opened { position: fixed; inset: 0; }
      .opened .panel { width: 100%; height: 100%; margin: 0; border-radius: 0; }
      .opened .bubble { display: none; }
    }
  `;
  const SHAPES = {
    chat: "M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-7l-5 4.5V17H4a2 2 0 0 1-2-2V6c0-1.1.9-2 2-2z",
    send: "M3 11.5 21 3l-6 18-3.5-7.5z",
    attach: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.5 3.5 0 0 1 5 5l-8.5 8.5a1.8 1.8 0 0 1-2.6-2.6L14.5 7.5",
  };

  let token = recall();
  let conversation = null;
  let messages = [];
  let readTo = 0; // by us
  let hub = null;
  let isOpened = false;
  let isAtEnd = true; // whether the last message was in sight when they were drawn
  let typingTimer = null;
  let failure = "";
  let files = []; // of the message that is written: { name, id } with the id of what is uploaded
  const pictures = new Map(); // attachment → the address of what it holds

  // Whose history the kept token opens: of the customer whom the shop names, or of nobody known.
  // A browser that somebody else uses now does not show what was said before.
  function subject() {
    if (!identity) return "";
    try {
      const part = identity.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      return String(JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (one) => one.charCodeAt(0)))).sub);
    } catch {
      return identity;
    }
  }

  function recall() {
    const signed = JSON.parse(localStorage.getItem(`${KEPT}:signed`) ?? "null");
    if (signed && signed.subject !== subject()) localStorage.removeItem(`${KEPT}:signed`);
    else if (signed) return signed.token;
    return identity ? null : localStorage.getItem(KEPT);
  }

  function remember() {
    if (!identity) localStorage.setItem(KEPT, token);
    else localStorage.setItem(`${KEPT}:signed`, JSON.stringify({ subject: subject(), token }));
  }

  // The API

  async function call(method, path, body) {
    const isForm = body instanceof FormData;
    const answer = await fetch(`${origin}/api/v1/widget/${path}`, {
      method,
      headers: {
        ...(body && !isForm ? { "Content-Type": "application/json" } : {}),
        ...(token && !path.startsWith(key) ? { Authorization: `Bearer ${token}` } : {}),
      },
      body: body && !isForm ? JSON.stringify(body) : body,
      credentials: "omit",
    });
    if (!answer.ok) throw Object.assign(new Error(answer.statusText), { status: answer.status });
    if (answer.status === 204) return null;
    return answer.headers.get("Content-Type").startsWith("application/json") ? answer.json() : answer.blob();
  }

  async function begin() {
    const made = await call("POST", `${key}/sessions`, {
      locale: language,
      pageUrl: location.href.slice(0, 2000),
      ...(identity ? { identityToken: identity } : {}),
    });
    token = made.visitorToken;
    remember();
    conversation = made.conversation;
  }

  // Once at a time: whoever writes before the first answer is the same visitor.
  let beginning = null;
  function ensureSession() {
    beginning ??= resumeOrBegin().finally(() => { beginning = null; });
    return beginning;
  }

  async function resumeOrBegin() {
    if (token) {
      try {
        await loadConversation();
        return;
      } catch (problem) {
        if (problem.status !== 401) throw problem;
        token = null;
      }
    }
    await begin();
  }

  async function loadConversation() {
    const { items } = await call("GET", "conversations?pageSize=1");
    conversation = items[0] ?? null;
    if (conversation) await loadMessages();
  }

  async function loadMessages() {
    const last = messages.at(-1)?.seq ?? 0;
    const query = last ? `afterSeq=${last}` : "beforeSeq=999999999&limit=50";
    const { items } = await call("GET", `conversations/${conversation.id}/messages?${query}`);
    items.forEach(keep);
    if (readTo === 0) readTo = conversation.visitorReadSeq;
    draw();
  }

  function keep(message) {
    const at = messages.findIndex((one) => one.seq >= message.seq);
    if (at < 0) messages.push(message);
    else if (messages[at].seq === message.seq) messages[at] = message;
    else messages.splice(at, 0, message);
  }

  // The hub

  function library() {
    return new Promise((resolve, reject) => {
      const before = window.signalR;
      const tag = document.createElement("script");
      tag.src = `${origin}/static/chat/vendor/signalr.min.js`;
      tag.onload = () => {
        const own = window.signalR;
        if (before) window.signalR = before;
        if (own) resolve(own);
        else reject(new Error("The page loads scripts in another way."));
      };
      tag.onerror = reject;
      document.head.append(tag);
    });
  }

  async function listen() {
    if (hub) return;
    hub = true;
    try {
      const signalR = await library();
      hub = new signalR.HubConnectionBuilder()
        .withUrl(`${origin}/hubs/widget-chat`, { withCredentials: false })
        .withAutomaticReconnect([0, 1000, 2000, 5000, 10_000, 30_000])
        .configureLogging(signalR.LogLevel.None)
        .build();
      hub.on("MessageReceived", heard);
      hub.on("MessagesRead", ({ conversationId, data }) => {
        if (conversation?.id !== conversationId || data.by !== "team") return;
        conversation.teamReadSeq = Math.max(conversation.teamReadSeq, data.upToSeq);
        draw();
      });
      hub.on("TypingChanged", ({ conversationId, data }) => {
        if (conversation?.id !== conversationId || data.senderType === "visitor") return;
        showTyping(data.isTyping);
      });
      hub.onreconnected(() => join().catch(() => hub.stop()));
      hub.onclose(() => setTimeout(start, LOOK_AGAIN));
      await start();
    } catch {
      setInterval(() => conversation && loadMessages().catch(() => {}), LOOK_AGAIN);
    }
  }

  async function start() {
    try {
      await hub.start();
      await join();
    } catch {
      if (hub.state === "Disconnected") setTimeout(start, LOOK_AGAIN);
      else await hub.stop(); // connected but not joined: from the start, a little later
    }
  }

  // First to hear, then to read, also how far the team has read: what is said in between comes
  // twice and is kept once.
  async function join() {
    const { token: once } = await call("POST", "hub-token", {});
    await hub.invoke("JoinSession", once);
    if (conversation) await loadConversation();
  }

  async function heard({ conversationId, data }) {
    if (conversation?.id !== conversationId) {
      messages = [];
      await loadConversation();
      return;
    }
    keep(data);
    if (data.direction !== "inbound") showTyping(false);
    draw();
    markRead();
  }

  function showTyping(isTyping) {
    clearTimeout(typingTimer);
    typingTimer = isTyping ? setTimeout(() => showTyping(false), TYPING_SECONDS * 1000) : null;
    draw();
  }

  function say(method, ...values) {
    if (hub?.state === "Connected") hub.invoke(method, ...values).catch(() => {});
  }

  // Acting

  async function open() {
    isOpened = true;
    draw();
    field.focus();
    try {
      await ensureSession();
      failure = "";
      listen();
    } catch {
      failure = t("failed");
    }
    draw();
    markRead();
  }

  function markRead() {
    const last = messages.at(-1)?.seq ?? 0;
    if (!isOpened || document.hidden || last <= readTo) return;
    readTo = last;
    draw();
    call("POST", `conversations/${conversation.id}/read`, { upToSeq: last }).catch(() => {});
  }

  async function send(text) {
    const clientMessageId = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const attachmentIds = files.map((one) => one.id);
    if (!token) await ensureSession();
    const isBegun = conversation && conversation.status !== "resolved";
    if (!isBegun) {
      const before = conversation?.id;
      conversation = await call("POST", "conversations", {
        ...(attachmentIds.length ? {} : { message: { text, clientMessageId } }),
        pageUrl: location.href.slice(0, 2000),
        ...(document.referrer ? { referrer: document.referrer.slice(0, 2000) } : {}),
      });
      if (before !== conversation.id) messages = [];
      await loadMessages();
    }
    if (isBegun || attachmentIds.length) {
      keep(
        await call("POST", `conversations/${conversation.id}/messages`, {
          ...(text ? { text } : {}),
          ...(attachmentIds.length ? { attachmentIds } : {}),
          clientMessageId,
        }),
      );
      conversation.status = "open";
    }
    files = [];
    readTo = Math.max(readTo, messages.at(-1)?.seq ?? 0);
  }

  function attach(chosen) {
    failure = "";
    for (const file of chosen.slice(0, MOST_FILES - files.length)) {
      if (file.size > MOST_BYTES) failure = t("refused");
      else files.push(uploading(file, files));
    }
    draw();
    drawFiles();
  }

  function uploading(file, list) {
    const one = { name: file.name };
    one.done = upload(file).then(
      (made) => { one.id = made.id; },
      (problem) => {
        list.splice(list.indexOf(one), 1);
        failure = t([400, 413, 415].includes(problem.status) ? "refused" : "failed");
        draw();
      },
    ).then(drawFiles);
    return one;
  }

  async function upload(file) {
    if (!token) await ensureSession();
    const form = new FormData();
    form.append("file", file);
    return call("POST", "attachments", form);
  }

  async function address(attachment) {
    if (!pictures.has(attachment.id)) {
      const asked = call("GET", `attachments/${attachment.id}`).then((held) => URL.createObjectURL(held));
      pictures.set(attachment.id, asked);
      asked.then(
        (source) => pictures.set(attachment.id, source),
        () => pictures.delete(attachment.id),
      );
    }
    return pictures.get(attachment.id);
  }

  // Drawing

  const host = document.createElement("div");
  const root = host.attachShadow({ mode: "open" });
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };
  const shape = (name) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", SHAPES[name]);
    svg.append(path);
    return svg;
  };
  const all = make("div", "all");
  const panel = make("section", "panel");
  const heading = make("strong");
  const list = make("div", "messages");
  const line = make("div", "line");
  const kept = make("ul", "files");
  const form = make("form");
  const field = make("textarea");
  const bubble = make("button", "bubble");
  const count = make("span", "count");
  let greeting = t("hello");

  function build(config) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const color = /^#[0-9a-f]{6}$/i.test(config.theme?.color) ? config.theme.color : "#0f766e";
    all.style.setProperty("--color", color);
    all.dir = language === "ar" ? "rtl" : "ltr";
    all.lang = language;
    host.dir = document.documentElement.dir || all.dir;
    greeting = config.greeting || greeting;

    heading.textContent = config.name;
    const title = make("div");
    title.append(heading, make("span", "", t("team")));
    const shut = make("button", "close", "×");
    shut.setAttribute("aria-label", t("close"));
    shut.onclick = () => { isOpened = false; draw(); bubble.focus(); };
    const header = make("header");
    header.append(title, shut);

    list.setAttribute("role", "log");
    list.setAttribute("aria-live", "polite");
    panel.setAttribute("role", "dialog");
    panel.setAttribute("aria-label", config.name);
    field.rows = 1;
    field.maxLength = 4000;
    field.dir = "auto";
    field.placeholder = t("write");
    field.setAttribute("aria-label", t("write"));
    const button = make("button", "send");
    button.setAttribute("aria-label", t("send"));
    button.append(shape("send"));
    const picker = make("input");
    Object.assign(picker, { type: "file", accept: KINDS, multiple: true, hidden: true });
    picker.onchange = () => { attach([...picker.files]); picker.value = ""; };
    const clip = make("button", "attach");
    Object.assign(clip, { type: "button", title: t("attach"), onclick: () => picker.click() });
    clip.setAttribute("aria-label", t("attach"));
    clip.append(shape("attach"));
    form.append(clip, picker, field, button);
    form.onsubmit = submit;
    field.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    };
    let toldAt = 0;
    field.oninput = () => {
      field.rows = Math.min(5, field.value.split("\n").length);
      if (!conversation || Date.now() - toldAt < 3000) return;
      toldAt = Date.now();
      say("Typing", conversation.id, true);
    };
    panel.append(header, list, line, kept, form);
    drawFiles();

    bubble.setAttribute("aria-label", t("open"));
    bubble.append(shape("chat"), count);
    bubble.onclick = () => {
      if (!isOpened) open();
      else { isOpened = false; draw(); }
    };
    all.append(panel, bubble);
    root.append(all);
    draw();
    document.body.append(host);
  }

  async function submit(event) {
    event.preventDefault();
    const text = field.value.trim();
    if (!(text || files.length) || field.readOnly) return;
    field.readOnly = true;
    try {
      await Promise.all(files.map((one) => one.done));
      if (!(text || files.length)) return;
      await send(text);
      field.value = "";
      field.rows = 1;
      failure = "";
    } catch {
      failure = t("failed");
    } finally {
      field.readOnly = false;
    }
    draw();
    drawFiles();
    field.focus();
  }

  function draw() {
    panel.hidden = !isOpened;
    all.classList.toggle("opened", isOpened);
    bubble.setAttribute("aria-expanded", String(isOpened));
    const unread = messages.filter((one) => one.direction !== "inbound" && one.seq > readTo).length;
    count.hidden = isOpened || unread === 0;
    count.textContent = new Intl.NumberFormat(language).format(unread);
    line.textContent = failure || (typingTimer ? t("typing") : "");
    isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    const greeted = make("div", "message theirs", greeting);
    greeted.dir = "auto";
    list.replaceChildren(greeted, ...messages.map(drawMessage));
    toTheEnd();
  }

  function toTheEnd() {
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  function drawMessage(message) {
    const isOwn = message.direction === "inbound";
    const box = make("div", `message ${isOwn ? "own" : "theirs"}`);
    box.dataset.seq = message.seq;
    const text = make("div", message.deletedAt ? "gone" : "", message.deletedAt ? t("deleted") : message.text);
    text.dir = "auto";
    text.hidden = !text.textContent;
    const at = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }).format(new Date(message.createdAt));
    const isSeen = isOwn && conversation && message.seq <= conversation.teamReadSeq;
    const foot = [isOwn ? null : message.senderName, at, isSeen ? t("seen") : null];
    box.append(text, ...(message.attachments ?? []).map(drawAttachment), make("small", "", foot.filter(Boolean).join(" · ")));
    return box;
  }

  function drawAttachment(attachment) {
    const button = make("button", "file");
    button.type = "button";
    if (attachment.contentType.startsWith("image/") && attachment.width) {
      const image = make("img");
      Object.assign(image, { alt: "", width: attachment.width, height: attachment.height });
      image.onerror = () => image.remove();
      image.onload = toTheEnd;
      const known = pictures.get(attachment.id);
      if (typeof known === "string") image.src = known;
      else address(attachment).then((source) => { image.src = source; }, () => image.remove());
      button.append(image);
    }
    button.append(make("bdi", "", attachment.fileName));
    button.onclick = async () => {
      const link = make("a");
      link.download = attachment.fileName;
      link.href = await address(attachment);
      link.click();
    };
    return button;
  }

  function drawFiles() {
    kept.hidden = files.length === 0;
    kept.replaceChildren(
      ...files.map((one) => {
        const item = make("li");
        const remove = make("button", "", "×");
        remove.type = "button";
        remove.setAttribute("aria-label", `${t("remove")} ${one.name}`);
        remove.onclick = () => { files.splice(files.indexOf(one), 1); drawFiles(); };
        item.append(make("bdi", "", one.name), ...(one.id ? [] : [make("span", "", t("uploading"))]), remove);
        return item;
      }),
    );
  }

  document.addEventListener("visibilitychange", markRead);

  call("GET", `${key}/config`)
    .then(async (config) => {
      if (!config.isEnabled || (config.requireIdentity && !identity)) return;
      const ready = () => build(config);
      if (document.body) ready();
      else document.addEventListener("DOMContentLoaded", ready);
      if (!token) return;
      await ensureSession();
      listen();
    })
    .catch(() => {}); // a page without a chat is better than a page with an error
})();
