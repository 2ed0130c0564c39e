// Lists: search, filters, sorting, pages, and rows that stay what they are while their numbers change.

import { h, newId, setText } from "./dom.js";
import { t } from "./i18n.js";
import { number } from "./format.js";

/** From the last key in the search field until the list is asked for, in milliseconds. */
const TYPING = 250;
const SIZES = [25, 50, 100, 200];
const ROWS_WAITING = 6;

/**
 * A list. `view` is what a page is given ({signal, live, query, setQuery}).
 *
 * - `columns`: {id, title, cell(item) → text or node, mark(item) → what the node depends on, sort, end, width}
 * - `load(ask, signal)` → {total, items}; `ask` is {q, sort, order, page, pageSize, and the filters}
 * - `key(item)`, `sort`, `order`, `filters`: [{name, label, options: [[value, text]]}]
 * - `changes(overview)`: what, when it is another, means that the list is; `every`: it is asked for at least
 *   so often, in milliseconds
 * - `empty`: what to say where there is nothing; `actions`: buttons beside the search
 * - `kept`: search and page stand in the address
 */
export function list(view, options) {
  const { columns, load, key, filters = [], changes, every = 5_000, empty, caption, kept = true, search = true } = options;
  const usual = {
    q: "", sort: options.sort ?? "", order: options.order ?? "asc", page: 1, pageSize: options.pageSize ?? 50,
    ...Object.fromEntries(filters.map((filter) => [filter.name, filter.initial ?? ""])),
  };
  const ask = { ...usual, ...(kept ? fromAddress(view.query) : {}) };
  const rows = new Map();
  let total = null;
  let loading = null;
  let loaded = 0;
  let seen;

  const said = h("p", { class: "unseen", role: "status" });
  const count = h("span", { class: "count num muted" });
  const field = h("input", { type: "search", id: newId("search"), value: ask.q, placeholder: t("table.search"), autocomplete: "off", spellcheck: "false" });
  let typing = 0;
  field.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ q: field.value, page: 1 }), TYPING);
  });
  const selects = filters.map((filter) => {
    const select = h("select", { id: newId("filter"), onchange: () => change({ [filter.name]: select.value, page: 1 }) },
      filter.options.map(([value, text]) => h("option", { value, selected: value === ask[filter.name] }, text)));
    return h("label", { class: "filter" }, h("span", null, filter.label), select);
  });
  const sortable = columns.filter((column) => column.sort);
  const sorter = h("select", { onchange: () => { const [sort, order] = sorter.value.split(" "); change({ sort, order, page: 1 }); } },
    sortable.flatMap((column) => ["asc", "desc"].map((order) => h("option", {
      value: `${column.sort} ${order}`, selected: ask.sort === column.sort && ask.order === order,
    }, `${column.title}, ${t(order === "asc" ? "table.up" : "table.down")}`))));
  const bar = h("div", { class: "toolbar" },
    search && h("div", { class: "search" }, h("label", { class: "unseen", for: field.id }, t("table.search")), field),
    selects,
    sortable.length > 0 && h("label", { class: "filter phone" }, h("span", null, t("table.sort")), sorter),
    count,
    h("div", { class: "actions" }, options.actions ?? []));

  const heads = columns.map((column) => {
    const head = h("th", { scope: "col", role: "columnheader", class: column.end ? "end" : "" });
    if (column.width) head.style.width = column.width;
    if (column.sort) {
      head.append(h("button", {
        type: "button",
        class: "sort",
        onclick: () => change({ sort: column.sort, order: ask.sort === column.sort && ask.order === "asc" ? "desc" : "asc", page: 1 }),
      }, column.title, h("i", { "aria-hidden": "true" })));
    } else if (column.quiet) head.append(h("span", { class: "unseen" }, column.title));
    else head.append(column.title);
    return head;
  });
  const body = h("tbody", { role: "rowgroup" });
  const table = h("table", { class: "stack", role: "table", "aria-busy": "true" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    body);
  const state = h("div", { class: "state", hidden: true });
  const trouble = h("div", { class: "trouble", role: "alert", hidden: true });
  const pager = h("nav", { class: "pager idle", "aria-label": caption });
  const step = (text, sign, page) => h("button", { type: "button", class: "plain", "aria-label": text, title: text, onclick: () => change({ page: page() }) }, sign);
  const lastPage = () => Math.max(1, Math.ceil((total ?? 0) / ask.pageSize));
  const range = h("span", { class: "num" });
  const steps = [
    step(t("table.first"), "«", () => 1),
    step(t("table.previous"), "‹", () => Math.max(1, ask.page - 1)),
    step(t("table.next"), "›", () => Math.min(lastPage(), ask.page + 1)),
    step(t("table.last"), "»", () => lastPage()),
  ];
  const size = h("select", { onchange: () => change({ pageSize: Number(size.value), page: 1 }) },
    SIZES.map((n) => h("option", { value: n, selected: n === ask.pageSize }, String(n))));
  pager.append(h("label", { class: "filter" }, h("span", null, t("table.size")), size), range, h("span", { class: "steps" }, steps));
  const whole = h("section", { class: "card list", "aria-label": caption }, bar, trouble, h("div", { class: "rows" }, table), state, pager, said);

  const change = (what) => {
    Object.assign(ask, what);
    if (kept) view.setQuery(toAddress(ask, usual));
    refresh(true);
  };
  const mark = () => {
    columns.forEach((column, i) => {
      if (!column.sort) return;
      const on = ask.sort === column.sort;
      heads[i].setAttribute("aria-sort", on ? (ask.order === "asc" ? "ascending" : "descending") : "none");
    });
    sorter.value = `${ask.sort} ${ask.order}`;
  };

  const refresh = async (asked) => {
    if (loading && !asked) return;
    loading?.abort();
    const mine = new AbortController();
    loading = mine;
    mark();
    if (asked) table.classList.add("old");
    try {
      const answer = await load({ ...ask }, AbortSignal.any([mine.signal, view.signal]));
      if (mine.signal.aborted || view.signal.aborted) return;
      // Where the last page has gone.
      if (answer.items.length === 0 && answer.total > 0 && ask.page > 1) {
        total = answer.total;
        loading = null;
        return change({ page: lastPage() });
      }
      draw(answer);
      trouble.hidden = true;
      if (asked && asked !== "first") setText(said, t("table.count", { n: answer.total }));
    } catch (error) {
      if (mine.signal.aborted || view.signal.aborted) return;
      trouble.replaceChildren(h("b", null, t("error.load")), h("span", null, error.message),
        h("button", { type: "button", onclick: () => refresh(true) }, t("retry")));
      trouble.hidden = false;
      if (total === null) {
        body.replaceChildren();
        rows.clear();
        setText(count, "");
      }
    } finally {
      if (loading === mine) {
        loading = null;
        loaded = Date.now();
        table.classList.remove("old");
        table.setAttribute("aria-busy", "false");
      }
    }
  };

  const draw = (answer) => {
    total = answer.total;
    if (rows.size === 0) body.replaceChildren();
    const present = new Set();
    let at = body.firstChild;
    for (const item of answer.items) {
      const id = String(key(item));
      if (present.has(id)) continue;
      present.add(id);
      let row = rows.get(id);
      if (!row) {
        row = newRow(columns);
        rows.set(id, row);
      }
      fill(row, columns, item);
      if (at === row.element) at = at.nextSibling;
      else body.insertBefore(row.element, at);
    }
    for (const [id, row] of rows) {
      if (present.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    const filtered = ask.q !== "" || filters.some((filter) => ask[filter.name] !== (filter.initial ?? ""));
    setText(count, t("table.count", { n: total }));
    state.hidden = total > 0;
    table.classList.toggle("bare", total === 0);
    if (total === 0) {
      state.replaceChildren(h("p", null, filtered ? t("table.nothing") : empty), filtered && h("button", {
        type: "button",
        onclick: () => {
          field.value = "";
          selects.forEach((label, i) => { label.querySelector("select").value = filters[i].initial ?? ""; });
          change({ q: "", page: 1, ...Object.fromEntries(filters.map((filter) => [filter.name, filter.initial ?? ""])) });
          field.focus();
        },
      }, t("table.clear")) || "");
    }
    pager.classList.toggle("idle", total <= SIZES[0]);
    const from = (ask.page - 1) * ask.pageSize;
    setText(range, total === 0 ? "" : t("table.range", { from: number(from + 1), to: number(Math.min(total, from + answer.items.length)), total: number(total) }));
    steps.forEach((button, i) => { button.disabled = i < 2 ? ask.page <= 1 : ask.page >= lastPage(); });
  };

  body.append(...Array.from({ length: ROWS_WAITING }, () => h("tr", { class: "waiting", role: "row" }, columns.map(() => h("td", { role: "cell" }, h("i", { class: "bone" }))))));
  setText(count, t("loading"));
  view.live.listen((live) => {
    if (live.state !== "live") return;
    const now = changes?.(live.last);
    const stale = Date.now() - loaded >= every;
    if (loaded > 0 && (stale || now !== seen)) refresh(false);
    seen = now;
  }, view.signal);
  view.signal.addEventListener("abort", () => clearTimeout(typing), { once: true });
  refresh("first");
  whole.refresh = () => refresh(true);
  return whole;
}

function newRow(columns) {
  const cells = columns.map((column) => h("td", { role: "cell", class: column.end ? "end num" : "", "data-label": column.quiet ? "" : column.title }));
  return { element: h("tr", { role: "row" }, cells), cells, marks: columns.map(() => undefined), item: null };
}

/** Changes what is another than it was, so that nothing loses its focus. */
function fill(row, columns, item) {
  row.item = item;
  columns.forEach((column, i) => {
    if (!column.mark) {
      const value = column.cell(item, row);
      if (value instanceof Node) row.cells[i].replaceChildren(value);
      else setText(row.cells[i], value);
      return;
    }
    const mark = String(column.mark(item));
    if (row.marks[i] === mark) return;
    row.marks[i] = mark;
    const value = column.cell(item, row);
    // In one box, which is beside its name where rows are stacked.
    row.cells[i].replaceChildren(Array.isArray(value) ? h("div", { class: "cell" }, value) : value);
  });
}

/** A `load` for an answer that has everything: searches, sorts and cuts it here. */
export function local(all, words, order) {
  return async (ask, signal) => {
    const wanted = ask.q.toLowerCase();
    let items = await all(signal, ask);
    if (wanted) items = items.filter((item) => words(item).some((word) => String(word ?? "").toLowerCase().includes(wanted)));
    const by = order?.[ask.sort];
    if (by) {
      const sign = ask.order === "desc" ? -1 : 1;
      items = [...items].sort((a, b) => {
        const [x, y] = [by(a), by(b)];
        return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true }));
      });
    }
    const from = (ask.page - 1) * ask.pageSize;
    return { total: items.length, items: items.slice(from, from + ask.pageSize) };
  };
}

function fromAddress(query) {
  const found = Object.fromEntries(query);
  if (found.page) found.page = Math.max(1, Number.parseInt(found.page, 10) || 1);
  if (found.pageSize) found.pageSize = SIZES.includes(Number(found.pageSize)) ? Number(found.pageSize) : SIZES[1];
  return found;
}

/** What is not as usual. */
function toAddress(ask, usual) {
  return Object.fromEntries(Object.entries(ask).filter(([name, value]) => value !== usual[name]));
}
