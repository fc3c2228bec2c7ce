// What the inbox says, in each language.
const WORDS = {
  en: {
    inbox: "Inbox", other: "العربية", signIn: "Sign in", signOut: "Sign out",
    login: "E-mail or phone", password: "Password", welcome: "Sign in to answer your customers.",
    open: "Open", mine: "Mine", unassigned: "Unassigned", done: "Done", search: "Search",
    nothing: "No conversations here.", choose: "Choose a conversation to read it.",
    visitor: "Visitor", write: "Write a reply…", writeNote: "Write a note for the team…",
    reply: "Reply", note: "Note", send: "Send", resolve: "Resolve", reopen: "Reopen",
    nobody: "Unassigned", me: "me", back: "Back", earlier: "Show earlier messages",
    assignTo: "Assigned to", typing: "is typing…", viewing: "is looking at this too",
    seen: "Seen", delivered: "Delivered", sent: "Sent", deleted: "Message deleted",
    today: "Today", yesterday: "Yesterday", live: "Live", connecting: "Connecting…",
    offline: "Offline, trying again…", file: "File", verified: "verified",
    status_open: "Open", status_pending: "Pending", status_snoozed: "Snoozed",
    status_resolved: "Resolved", failed: "That did not work; try again.",
    taken: "Somebody else has it already.", colleague: "A colleague", tabs: "Folders",
    advanced: "New messages came in; read them before you answer.",
    attach: "Attach a file", remove: "Remove", canned: "Canned replies",
    findCanned: "Find a canned reply", noCanned: "No canned reply fits.", store: "Store",
    uploading: "Uploading…", tooLarge: "A file has at most 10 MiB.", more: "Show more",
  },
  ar: {
    inbox: "صندوق الوارد", other: "English", signIn: "تسجيل الدخول", signOut: "تسجيل الخروج",
    login: "البريد الإلكتروني أو الهاتف", password: "كلمة المرور",
    welcome: "سجّل الدخول للرد على زبائنك.",
    open: "مفتوحة", mine: "محادثاتي", unassigned: "غير مسندة", done: "منتهية", search: "بحث",
    nothing: "لا توجد محادثات هنا.", choose: "اختر محادثة لقراءتها.",
    visitor: "زائر", write: "اكتب ردًا…", writeNote: "اكتب ملاحظة للفريق…",
    reply: "رد", note: "ملاحظة", send: "إرسال", resolve: "إنهاء", reopen: "إعادة فتح",
    nobody: "غير مسندة", me: "أنا", back: "رجوع", earlier: "عرض الرسائل السابقة",
    assignTo: "مسندة إلى", typing: "يكتب الآن…", viewing: "يطّلع على هذه المحادثة أيضًا",
    seen: "شوهدت", delivered: "وصلت", sent: "أُرسلت", deleted: "حُذفت الرسالة",
    today: "اليوم", yesterday: "أمس", live: "متصل", connecting: "جارٍ الاتصال…",
    offline: "غير متصل، نحاول مجددًا…", file: "ملف", verified: "موثّق",
    status_open: "مفتوحة", status_pending: "قيد الانتظار", status_snoozed: "مؤجلة",
    status_resolved: "منتهية", failed: "لم ينجح ذلك؛ حاول مرة أخرى.",
    taken: "أسندت إلى شخص آخر.", colleague: "زميل", tabs: "المجلدات",
    advanced: "وصلت رسائل جديدة؛ اقرأها قبل الرد.",
    attach: "إرفاق ملف", remove: "إزالة", canned: "ردود جاهزة",
    findCanned: "ابحث عن رد جاهز", noCanned: "لا يوجد رد جاهز مناسب.", store: "المتجر",
    uploading: "جارٍ الرفع…", tooLarge: "الحد الأقصى للملف 10 ميغابايت.", more: "عرض المزيد",
  },
};

const KEPT = "inbox-language";
let language = localStorage.getItem(KEPT) ?? (navigator.language.startsWith("ar") ? "ar" : "en");

export function speak(wanted = language) {
  language = wanted in WORDS ? wanted : "en";
  localStorage.setItem(KEPT, language);
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
}

export const speakOther = () => speak(language === "ar" ? "en" : "ar");
export const t = (word) => WORDS[language][word] ?? word;
export const size = (bytes) =>
  new Intl.NumberFormat(language, {
    style: "unit", maximumFractionDigits: 1,
    ...(bytes < 2 ** 20 ? { unit: "kilobyte" } : { unit: "megabyte" }),
  }).format(bytes < 2 ** 20 ? Math.ceil(bytes / 1024) : bytes / 2 ** 20);
export const number = (value) => new Intl.NumberFormat(language).format(value);
export const clock = (at) =>
  new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }).format(new Date(at));

export function day(at) {
  const date = new Date(at);
  const midnight = new Date().setHours(0, 0, 0, 0);
  const ago = Math.round((midnight - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  if (ago === 0) return t("today");
  if (ago === 1) return t("yesterday");
  return new Intl.DateTimeFormat(language, { day: "numeric", month: "short" }).format(date);
}
