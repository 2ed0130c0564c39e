// An editor of a configuration: numbers, colours, problems at their line, completion. A textarea does the
// editing, and is what a screen reader reads; what is drawn lies below it.

import { h, newId, setText, shown } from "./common/dom.js";
import { t } from "./common/i18n.js";
import { inOurs } from "./about.js";
import { tell, translated } from "./messages.js";
import { at, choices, keysBelow, properties } from "./schema.js";
import { pieces, place } from "./syntax.js";

/** From the last key until the text is checked, in milliseconds. */
const PAUSE = 350;
const MOST_SUGGESTIONS = 12;
const MOST_PROBLEMS = 100;

/** `verify(text, signal)` gives the problems; `changed(text)` is told of each change. */
export function editor({ label, text, format, schema, verify, changed, signal }) {
  const ids = { area: newId("editor"), hint: newId("hint"), list: newId("suggestions"), problems: newId("problems") };
  const area = h("textarea", {
    id: ids.area, spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", "aria-label": label,
    "aria-describedby": `${ids.hint} ${ids.problems}`, "aria-autocomplete": "list", "aria-haspopup": "listbox", "aria-controls": ids.list, value: text,
  });
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  const paper = h("div", { class: "paper", "aria-hidden": "true" });
  const list = h("ul", { class: "suggestions", id: ids.list, role: "listbox", "aria-label": t("config.suggestions"), hidden: true });
  const summary = h("b", { id: ids.problems, role: "status" });
  const problems = h("ul", { class: "problems" });
  const said = h("span", { class: "unseen", role: "status" });
  const whole = h("section", { class: "card editor" },
    h("div", { class: "sheet" }, h("div", { class: "numbers" }, gutter), h("div", { class: "page" }, h("div", { class: "under" }, paper), area, list)),
    h("p", { class: "hint muted", id: ids.hint }, t("config.keys")),
    h("div", { class: "verdict" }, summary, problems), said);
  const lines = [];
  let found = [];
  let leaving = false;
  let suggestions = [];
  let picked = -1;
  let spot = null;

  // What is drawn: lines that have not changed stay.
  const draw = () => {
    const texts = area.value.split("\n");
    const marks = new Map();
    for (const problem of found) {
      if (problem.line < 1) continue;
      if (!marks.has(problem.line)) marks.set(problem.line, []);
      marks.get(problem.line).push(problem);
    }
    while (lines.length > texts.length) {
      const gone = lines.pop();
      gone.line.remove();
      gone.number.remove();
    }
    texts.forEach((content, i) => {
      const mine = marks.get(i + 1) ?? [];
      const mark = `${content}\n${JSON.stringify(mine)}`;
      let row = lines[i];
      if (!row) {
        row = { line: h("div", { class: "line" }), number: h("div", null, String(i + 1)), mark: undefined };
        lines.push(row);
        paper.append(row.line);
        gutter.append(row.number);
      }
      if (row.mark === mark) return;
      row.mark = mark;
      row.line.replaceChildren(...drawn(format, content, mine));
      const level = mine.some((problem) => problem.level === "error") ? "error" : mine.length > 0 ? "warning" : "";
      row.number.className = level;
      row.line.className = `line ${level}`;
      row.number.title = mine.map((problem) => shown(translated(problem.message))).join("\n");
    });
    scroll();
  };
  const scroll = () => {
    paper.style.transform = `translate(${-area.scrollLeft}px, ${-area.scrollTop}px)`;
    gutter.style.transform = `translateY(${-area.scrollTop}px)`;
  };

  // What is wrong.
  let pausing = 0;
  let checking = null;
  const check = async () => {
    checking?.abort();
    const mine = new AbortController();
    checking = mine;
    setText(summary, t("config.checking"));
    try {
      const answer = await verify(area.value, AbortSignal.any([mine.signal, signal]));
      if (mine.signal.aborted) return;
      found = answer;
      report();
    } catch (error) {
      if (mine.signal.aborted || signal.aborted) return;
      found = [];
      problems.replaceChildren();
      setText(summary, t("config.unchecked", { error: error.message }));
    }
    draw();
  };
  const report = () => {
    const errors = found.filter((problem) => problem.level === "error").length;
    const parts = [];
    if (errors > 0) parts.push(t("config.errors", { n: errors }));
    if (found.length > errors) parts.push(t("config.warnings", { n: found.length - errors }));
    setText(summary, parts.join(" · ") || t("config.fine"));
    summary.className = errors > 0 ? "error" : found.length > 0 ? "warning" : "fine";
    if (errors > 0) area.setAttribute("aria-invalid", "true");
    else area.removeAttribute("aria-invalid");
    problems.replaceChildren(...found.slice(0, MOST_PROBLEMS).map((problem) => h("li", { class: problem.level },
      h("button", { type: "button", class: "plain", onclick: () => goTo(problem) },
        h("span", { class: "unseen" }, t(`config.${problem.level}`)),
        h("b", { class: "num" }, problem.line > 0 ? t("config.at", { line: problem.line }) : t("config.whole"))),
      tell(h("span"), problem.message))));
  };
  const goTo = (problem) => {
    const row = Math.max(1, problem.line);
    const start = area.value.split("\n").slice(0, row - 1).reduce((sum, line) => sum + line.length + 1, 0);
    const line = area.value.split("\n")[row - 1] ?? "";
    const from = start + offset(line, problem.column);
    area.focus();
    area.setSelectionRange(from, problem.endColumn > problem.column ? start + offset(line, problem.endColumn) : start + line.length);
    area.scrollTop = Math.max(0, (row - 4) * lineHeight());
  };
  const lineHeight = () => Number.parseFloat(getComputedStyle(area).lineHeight);

  // What may come next.
  const suggest = (asked) => {
    spot = area.selectionStart === area.selectionEnd ? place(format, area.value, area.selectionStart) : null;
    suggestions = spot && (asked || spot.word !== "" || spot.value) ? candidates(schema, spot) : [];
    if (suggestions.length === 1 && suggestions[0].text === spot.word) suggestions = [];
    if (suggestions.length === 0) return close();
    picked = 0;
    list.replaceChildren(...suggestions.map((one, i) => h("li", {
      role: "option", id: `${ids.list}-${i}`,
      onpointerdown: (event) => {
        event.preventDefault();
        picked = i;
        accept();
      },
    }, h("b", { class: "mono" }, one.text), one.about && (([text, lang]) => h("span", { class: "muted", lang }, text))(inOurs(one.about)))));
    list.hidden = false;
    const { x, y } = caret(area, spot.from);
    list.style.left = `${Math.max(4, Math.min(x, area.clientWidth - 330))}px`;
    list.style.top = `${y}px`;
    pick(0);
    setText(said, t("config.found", { n: suggestions.length }));
  };
  const close = () => {
    list.hidden = true;
    suggestions = [];
    picked = -1;
    area.removeAttribute("aria-activedescendant");
    setText(said, "");
  };
  const pick = (i) => {
    picked = (i + suggestions.length) % suggestions.length;
    [...list.children].forEach((option, n) => option.setAttribute("aria-selected", String(n === picked)));
    list.children[picked].scrollIntoView({ block: "nearest" });
    area.setAttribute("aria-activedescendant", `${ids.list}-${picked}`);
  };
  const accept = () => {
    const { insert } = suggestions[picked];
    const from = spot.from;
    close();
    area.focus();
    area.setSelectionRange(from, area.selectionStart);
    write(area, insert);
  };

  area.addEventListener("input", () => {
    leaving = false;
    draw();
    changed(area.value);
    suggest(false);
    clearTimeout(pausing);
    checking?.abort();
    pausing = setTimeout(check, PAUSE);
  });
  area.addEventListener("scroll", () => {
    scroll();
    close();
  });
  area.addEventListener("blur", close);
  area.addEventListener("pointerdown", close);
  area.addEventListener("keydown", (event) => {
    const { key, shiftKey, ctrlKey, altKey, metaKey } = event;
    const open = suggestions.length > 0;
    if (key === " " && ctrlKey) {
      event.preventDefault();
      return suggest(true);
    }
    if (ctrlKey || altKey || metaKey) return;
    const act = (work) => {
      event.preventDefault();
      work();
    };
    if (open && key === "ArrowDown") return act(() => pick(picked + 1));
    if (open && key === "ArrowUp") return act(() => pick(picked - 1));
    if (open && (key === "Enter" || (key === "Tab" && !shiftKey))) return act(accept);
    if (key === "Escape") {
      leaving = !open;
      return open ? act(close) : undefined;
    }
    if (key === "Tab" && !shiftKey && !leaving) return act(() => write(area, "  "));
    if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) close();
    if (key !== "Tab" && key !== "Shift") leaving = false;
  });
  signal.addEventListener("abort", () => {
    clearTimeout(pausing);
    checking?.abort();
  }, { once: true });
  draw();
  check();
  return {
    element: whole,
    text: () => area.value,
    /** How many errors the last check has found. */
    errors: () => found.filter((problem) => problem.level === "error").length,
    setText(content) {
      area.value = content;
      draw();
      check();
    },
  };
}

/** A line in colours, with what is wrong underlined. */
function drawn(format, line, problems) {
  const spans = [];
  let from = 0;
  for (const [kind, text] of pieces(format, line)) {
    spans.push({ kind, from, text });
    from += text.length;
  }
  const ranges = problems.map((problem) => {
    const start = problem.column > 0 ? offset(line, problem.column) : 0;
    return { start, end: problem.column > 0 && problem.endColumn > problem.column ? offset(line, problem.endColumn) : line.length, level: problem.level };
  });
  const nodes = [];
  for (const span of spans) {
    const cuts = [span.from, span.from + span.text.length];
    for (const range of ranges) for (const cut of [range.start, range.end]) if (cut > cuts[0] && cut < span.from + span.text.length) cuts.push(cut);
    cuts.sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 1) {
      if (cuts[i] === cuts[i + 1]) continue;
      const wrong = ranges.find((range) => range.start <= cuts[i] && cuts[i + 1] <= range.end);
      const classes = [span.kind && `t-${span.kind}`, wrong && `wrong ${wrong.level}`].filter(Boolean).join(" ");
      const text = line.slice(cuts[i], cuts[i + 1]);
      nodes.push(classes ? h("span", { class: classes }, text) : text);
    }
  }
  nodes.push("\n");
  return nodes;
}

/** Columns count characters from 1; what JavaScript counts are their halves. */
function offset(line, column) {
  let at = 0;
  for (let i = 1; i < column && at < line.length; i += 1) at += line.codePointAt(at) > 0xffff ? 2 : 1;
  return at;
}

/** Types as a person would, so that it can be undone. */
function write(area, text) {
  if (document.execCommand("insertText", false, text)) return;
  area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Where the character at `offset` stands, below its line. */
function caret(area, offset) {
  const style = getComputedStyle(area);
  const g = caret.canvas ??= document.createElement("canvas").getContext("2d");
  g.font = `${style.fontSize} ${style.fontFamily}`;
  const before = area.value.slice(0, offset).split("\n");
  const line = before.at(-1).replaceAll("\t", "  ");
  const height = Number.parseFloat(style.lineHeight);
  return {
    x: Number.parseFloat(style.paddingLeft) + g.measureText(line).width - area.scrollLeft,
    y: Number.parseFloat(style.paddingTop) + before.length * height - area.scrollTop,
  };
}

/** What may be at a place: [{text, about, insert}]. */
function candidates(root, spot) {
  const typeAt = (depth) => spot.types.get(depth);
  const here = at(root, spot.path, typeAt);
  const type = typeAt(spot.path.length);
  let found;
  if (spot.section) {
    found = Object.entries(properties(root, here)).filter(([, of]) => of.items?.oneOf || of.properties)
      .map(([key, of]) => ({ text: key, about: of.description ?? "", insert: key + (of.items ? "]]" : "]") }));
  } else if (spot.value) {
    const keys = [...spot.value];
    const last = keys.pop();
    const table = at(root, [...spot.path, ...keys], typeAt);
    let of = properties(root, table, keys.length === 0 ? type : undefined)[last] ?? {};
    if (of.items) of = of.items;
    if (last === "type" && keys.length === 0) of = properties(root, here, undefined).type ?? of;
    found = choices(of).map((value) => {
      const text = String(value);
      const quote = typeof value === "string" ? spot.quote : "";
      return { text, about: "", insert: quote + text + (spot.rest?.startsWith(quote) && quote ? "" : quote) };
    });
  } else {
    const keys = spot.dotted
      ? keysBelow(root, here, type)
      : Object.entries(properties(root, here, type)).map(([key, schema]) => ({ key, schema }));
    const behind = spot.dotted ? " = " : spot.quote ? `${spot.quote}: ` : ": ";
    found = keys.map(({ key, schema }) => ({ text: key, about: schema.description ?? "", insert: key + behind }));
  }
  const word = spot.word.toLowerCase();
  const rank = ({ text }) => {
    const low = text.toLowerCase();
    if (low.startsWith(word)) return 0;
    if (low.split(".").some((part) => part.startsWith(word))) return 1;
    return low.includes(word) ? 2 : 3;
  };
  return found.map((one) => ({ ...one, rank: rank(one) })).filter((one) => one.rank < 3)
    .sort((a, b) => a.rank - b.rank || a.text.length - b.text.length || a.text.localeCompare(b.text)).slice(0, MOST_SUGGESTIONS);
}
