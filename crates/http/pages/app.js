// The frame of the pages: heading, ways to the pages, language, colours, whether the numbers are live; and
// which page is shown.

import { h, name, newId, setText } from "./dom.js";
import { addTexts, currentLanguage, locale, setLanguage, t } from "./i18n.js";
import { clock } from "./format.js";
import { alerts, notices } from "./dialog.js";
import { Live } from "./live.js";
import { texts } from "./text.js";

addTexts(texts);

/**
 * Runs the pages of a program. `pages`: [{path, title, nav, show(view)}], where `path` is "clients" or
 * "clients/:key"; the first is where one begins. `banner(live)` may return what stands above every page.
 */
export function run({ program, pages, banner }) {
  const live = new Live();
  const frame = { program, pages, live, banner, leave: null, moved: false };
  document.documentElement.lang = locale();
  addEventListener("hashchange", () => {
    frame.moved = true;
    go(frame);
  });
  draw(frame);
}

/** The address of a page. */
export function link(path, query) {
  const asked = new URLSearchParams(query).toString();
  return `#/${path}${asked ? `?${asked}` : ""}`;
}

/** Everything anew: at first, and in another language. */
function draw(frame) {
  frame.leave?.abort();
  frame.gone?.abort();
  frame.gone = new AbortController();
  const { signal } = frame.gone;
  const main = h("main", { id: "main", tabindex: "-1" });
  const version = h("span", { class: "version num" });
  const links = frame.pages.filter((page) => page.nav).map((page) =>
    h("a", { href: link(page.path), "data-path": page.path }, t(page.title)));
  const skip = h("a", {
    class: "skip",
    href: "#main",
    onclick: (event) => {
      event.preventDefault();
      main.focus();
    },
  }, t("skip"));
  const pulse = h("span", { class: "pulse" });
  const banners = h("div", { class: "banners" });
  const lost = h("div", { class: "banner bad", role: "status", hidden: true });
  frame.main = main;
  frame.links = links;
  document.body.replaceChildren(
    skip,
    h("header", { class: "top" },
      h("a", { class: "brand", href: link(frame.pages[0].path) }, h("img", { src: "common/favicon.svg", alt: "", width: "20", height: "20" }), h("b", null, frame.program), " ", version),
      pulse,
      h("div", { class: "choices" }, languages(frame), themes())),
    h("nav", { class: "ways", "aria-label": t("nav") }, links),
    h("div", { class: "content" }, lost, banners, main),
    notices,
    alerts,
  );
  frame.live.listen((live) => {
    setText(version, live.last?.version ?? "");
    turn(pulse, lost, live);
  }, signal);
  turn(pulse, lost, frame.live);
  frame.banner?.(banners, frame.live, signal);
  go(frame);
}

function turn(pulse, lost, now) {
  const state = now.state;
  pulse.dataset.state = state;
  setText(pulse, t(`state.${state}`));
  const old = state === "lost";
  if (old === !lost.hidden) return;
  lost.hidden = !old;
  lost.replaceChildren(...(old
    ? [h("span", null, now.last ? t("state.old", { time: clock(now.at) }) : t("state.none")),
      h("button", { type: "button", onclick: () => now.retryNow() }, t("retry"))]
    : []));
}

function languages(frame) {
  const id = newId("language");
  return h("label", { class: "choice", for: id }, h("span", { class: "unseen" }, t("language")),
    h("select", {
      id,
      onchange: (event) => {
        setLanguage(event.target.value);
        draw(frame);
        document.getElementById(document.querySelector(".choices select").id).focus();
      },
    }, [["en", "English"], ["zh", "中文"]].map(([value, text]) => h("option", { value, lang: value === "zh" ? "zh-CN" : "en", selected: value === currentLanguage() }, text))));
}

function themes() {
  const root = document.documentElement;
  const id = newId("theme");
  const select = h("select", {
    id,
    onchange: () => {
      if (select.value) root.dataset.theme = select.value;
      else delete root.dataset.theme;
      try { localStorage.setItem("frp.theme", select.value); } catch { /* for this page only, then */ }
      document.dispatchEvent(new Event("themechange"));
    },
  }, [["", "auto"], ["light", "light"], ["dark", "dark"]].map(([value, text]) =>
    h("option", { value, selected: value === (root.dataset.theme ?? "") }, t(`theme.${text}`))));
  return h("label", { class: "choice", for: id }, h("span", { class: "unseen" }, t("theme")), select);
}

/** Shows the page of the address. */
function go(frame) {
  const [path, asked] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = (path || frame.pages[0].path).split("/").map(plain);
  let found = null;
  const params = {};
  for (const page of frame.pages) {
    const wanted = page.path.split("/");
    if (wanted.length !== parts.length) continue;
    if (wanted.every((part, i) => part.startsWith(":") || part === parts[i])) {
      found = page;
      wanted.forEach((part, i) => { if (part.startsWith(":")) params[part.slice(1)] = parts[i]; });
      break;
    }
  }
  frame.leave?.abort();
  frame.leave = new AbortController();
  for (const way of frame.links) {
    const here = way.dataset.path === parts[0];
    if (here) {
      way.setAttribute("aria-current", "page");
      way.scrollIntoView({ block: "nearest", inline: "center" });
    }
    else way.removeAttribute("aria-current");
  }
  const view = {
    live: frame.live,
    signal: frame.leave.signal,
    params,
    query: new URLSearchParams(asked ?? ""),
    setQuery: (query) => history.replaceState(null, "", link(path || frame.pages[0].path, query)),
  };
  const title = found ? t(found.title) : t("error.page");
  document.title = `${title} · ${frame.program}`;
  const content = found ? found.show(view) : [heading(title)];
  frame.main.replaceChildren(...[content].flat());
  if (frame.moved) {
    const first = frame.main.querySelector("h1");
    first?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function plain(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** The heading of a page; with what is beside it. */
export function heading(title, ...beside) {
  return h("div", { class: "head" }, h("h1", { tabindex: "-1" }, title), beside.length > 0 && h("div", { class: "actions" }, beside));
}

/** The way back from one thing to all: `up` is [text, address]. */
export function headingOf(up, thing, ...beside) {
  return h("div", { class: "head" },
    h("div", null, h("a", { class: "up", href: up[1] }, `← ${up[0]}`), h("h1", { tabindex: "-1" }, name(thing))),
    h("div", { class: "actions" }, beside));
}

/** Facts, as a list of names and values; `set(id, value)` changes one. */
export function facts(rows) {
  const values = new Map();
  const element = h("dl", { class: "facts" }, rows.map(([id, label, value]) => {
    const place = h("dd", { class: "num" }, value ?? "–");
    values.set(id, place);
    return h("div", null, h("dt", null, label), place);
  }));
  return {
    element,
    set(id, value) {
      const place = values.get(id);
      if (value instanceof Node) {
        if (place.textContent !== value.textContent) place.replaceChildren(value);
      } else setText(place, value);
    },
  };
}

/** A mark with a word: whether something is well. `kind`: good, bad, warn, idle. */
export function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, h("i", { "aria-hidden": "true" }), text);
}

/** A figure with a note below it, and a link where there is more: {value, note, element}. */
export function figure(label, href) {
  const value = h("span", { class: "value" }, "–");
  const note = h("span", { class: "note" });
  const inside = [h("span", { class: "label" }, t(label)), value, note];
  return { value, note, element: href ? h("a", { class: "card figure", href }, inside) : h("div", { class: "card figure" }, inside) };
}
