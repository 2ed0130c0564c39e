// English and Chinese: which is spoken, and the texts. A text has its two forms in one place, so that none
// can lack: `"nav.clients": ["Clients", "客户端"]`. `{n}` is replaced; "one|many" is chosen by `n`.

const LANGUAGES = ["en", "zh"];
const texts = new Map();
let language = first();

function first() {
  let kept = "";
  try { kept = localStorage.getItem("frp.language") ?? ""; } catch { /* storage may be forbidden */ }
  if (LANGUAGES.includes(kept)) return kept;
  for (const wanted of navigator.languages ?? [navigator.language]) {
    const found = LANGUAGES.find((known) => wanted.toLowerCase().split("-")[0] === known);
    if (found) return found;
  }
  return "en";
}

/** Makes texts known. */
export function addTexts(table) {
  for (const [key, forms] of Object.entries(table)) texts.set(key, forms);
}

/** The text of `key`. */
export function t(key, values) {
  const forms = texts.get(key);
  if (!forms) {
    console.error(`no text "${key}"`);
    return key;
  }
  let text = forms[LANGUAGES.indexOf(language)];
  if (text.includes("|")) {
    const [one, many] = text.split("|");
    text = values?.n === 1 ? one : many;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values?.[name] ?? "";
    return typeof value === "number" ? value.toLocaleString(locale()) : value;
  });
}

/** Whether there is a text of `key`. */
export function has(key) {
  return texts.has(key);
}

export function currentLanguage() {
  return language;
}

export function setLanguage(wanted) {
  language = wanted;
  try { localStorage.setItem("frp.language", wanted); } catch { /* for this page only, then */ }
  document.documentElement.lang = locale();
}

/** For dates, numbers and the browser. */
export function locale() {
  return language === "zh" ? "zh-CN" : "en";
}
