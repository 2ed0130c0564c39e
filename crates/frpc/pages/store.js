// The store: proxies and visitors that are made here, and are kept beside the configuration file.

import { heading, headingOf, link } from "./common/app.js";
import { get, part, post, put, remove } from "./common/api.js";
import { agreed, alarm, notice } from "./common/dialog.js";
import { h, name, shown } from "./common/dom.js";
import { t } from "./common/i18n.js";
import { list, local } from "./common/table.js";
import { entryForm, summary } from "./form.js";
import { loadSchema } from "./schema.js";

const KINDS = ["proxies", "visitors"];

export function store(view) {
  const place = h("div", { class: "stacked" }, h("p", { class: "muted", role: "status" }, t("loading")));
  const begin = async () => {
    try {
      await get("api/store/proxies", { signal: view.signal });
      place.replaceChildren(...KINDS.flatMap((kind) => section(view, kind)));
    } catch (error) {
      if (view.signal.aborted) return;
      const off = error.status === 404;
      place.replaceChildren(h("div", { class: "card state" },
        h("h2", null, off ? t("store.off") : t("error.load")),
        h("p", null, off ? t("store.off.what") : error.message),
        off ? h("code", null, "store.path = \"./frpc_store.json\"") : h("button", { type: "button", onclick: begin }, t("retry"))));
    }
  };
  begin();
  return [heading(t("nav.store")), h("p", { class: "muted" }, t("store.about")), place];
}

/** The settings of an entry, which are below its type. */
const settings = (entry) => ({ ...entry[entry.type], name: entry.name, type: entry.type });

function section(view, kind) {
  const all = async (signal) => (await get(`api/store/${kind}`, { signal }))[kind] ?? [];
  const rows = list({ ...view, query: new URLSearchParams() }, {
    caption: t(kind),
    kept: false,
    pageSize: 25,
    key: (entry) => entry.name,
    sort: "name",
    changes: (overview) => overview.revisions[kind],
    empty: t(`store.none.${kind}`),
    load: local(all, (entry) => [entry.name, entry.type, summary(settings(entry))], { name: (entry) => entry.name, type: (entry) => entry.type }),
    actions: [h("a", { class: "button main", href: link(`store/${kind}/new`) }, t(`store.new.${kind}`))],
    columns: [
      { id: "name", title: t("proxy.name"), sort: "name", width: "28%", mark: (entry) => entry.name, cell: (entry) => name(entry.name, link(`store/${kind}/edit/${part(entry.name)}`)) },
      { id: "type", title: t("proxy.type"), sort: "type", width: "12%", mark: (entry) => entry.type, cell: (entry) => h("span", { class: "tag mono" }, entry.type) },
      { id: "what", title: t("store.what"), width: "38%", mark: (entry) => summary(settings(entry)), cell: (entry) => name(summary(settings(entry)) || "–") },
      {
        id: "do", title: t("store.edit"), quiet: true, end: true, width: "22%",
        mark: () => "",
        cell: (entry) => h("span", { class: "both" },
          h("a", { class: "button small", href: link(`store/${kind}/edit/${part(entry.name)}`), "aria-label": `${t("store.edit")}: ${shown(entry.name)}` }, t("store.edit")),
          h("button", { type: "button", class: "small danger", "aria-label": `${t("store.delete")}: ${shown(entry.name)}`, onclick: () => drop(kind, entry.name, rows) }, t("store.delete"))),
      },
    ],
  });
  return [h("h2", null, t(kind)), rows];
}

async function drop(kind, which, rows) {
  const title = t("store.delete.ask", { name: shown(which) });
  if (!await agreed({ title, body: h("p", null, t("store.delete.what")), action: t("store.delete") })) return;
  try {
    await remove(`api/store/${kind}/${part(which)}`);
    notice(t("store.deleted", { name: shown(which) }));
  } catch (error) {
    alarm(error.message);
  }
  rows.refresh();
}

export function newEntry(view) {
  const { kind } = view.params;
  return entryPage(view, kind, null, h("div", { class: "head" }, h("div", null, h("a", { class: "up", href: link("store") }, `← ${t("nav.store")}`), h("h1", { tabindex: "-1" }, t(`store.new.${KINDS.includes(kind) ? kind : "proxies"}`)))));
}

export function editEntry(view) {
  return entryPage(view, view.params.kind, view.params.name, headingOf([t("nav.store"), link("store")], view.params.name));
}

function entryPage(view, kind, which, title) {
  const trouble = h("div", { class: "trouble", role: "alert", hidden: true });
  const place = h("div", { class: "card padded" }, h("p", { class: "muted", role: "status" }, t("loading")));
  const say = (text) => {
    trouble.replaceChildren(h("b", null, t("store.refused")), h("span", { lang: "en" }, text));
    trouble.hidden = false;
    trouble.scrollIntoView({ block: "nearest" });
  };
  const begin = async () => {
    try {
      const { signal } = view;
      const [schema, entry] = await Promise.all([loadSchema(), which === null ? null : get(`api/store/${kind}/${part(which)}`, { signal })]);
      const value = entry ? settings(entry) : { type: kind === "visitors" ? "stcp" : "tcp" };
      const form = entryForm(schema, schema.properties[kind].items, value, which !== null);
      const save = h("button", { type: "submit", class: "main" }, t(which === null ? "store.create" : "store.save"));
      place.replaceChildren(h("form", {
        onsubmit: async (event) => {
          event.preventDefault();
          save.disabled = true;
          trouble.hidden = true;
          const { name: called, type, ...block } = form.value();
          const body = { name: called, type, [type]: block };
          try {
            if (which === null) await post(`api/store/${kind}`, { body });
            else await put(`api/store/${kind}/${part(which)}`, { body });
            notice(t("store.saved", { name: shown(called) }));
            location.hash = link("store");
          } catch (error) {
            say(error.message);
          }
          save.disabled = false;
        },
      }, form.element, h("div", { class: "save" }, save, h("a", { class: "button", href: link("store") }, t("cancel")))));
    } catch (error) {
      if (view.signal.aborted) return;
      place.replaceChildren(h("p", { class: "muted" }, error.message));
    }
  };
  begin();
  return [title, trouble, place];
}
