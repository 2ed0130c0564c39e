// Users' connections, each with a button that ends it.

import { get, part, remove } from "./api.js";
import { agreed, alarm, notice } from "./dialog.js";
import { h, name, shown } from "./dom.js";
import { bytes, duration } from "./format.js";
import { t } from "./i18n.js";
import { list } from "./table.js";

/** Those that `query` asks for; `proxy` and `client` are columns, where they are wanted, `more` goes to the list. */
export function connectionList(view, { query, proxy, client, ...more }) {
  const rows = list(view, {
    ...more,
    caption: t("nav.connections"),
    key: (connection) => connection.id,
    every: 2_000,
    changes: (overview) => overview.connections,
    empty: t("connections.none"),
    load: ({ q, page, pageSize }, signal) => get("api/live/connections", { query: { q, page, pageSize, ...query }, signal }),
    columns: [
      { id: "user", title: t("conn.user"), width: "22%", mark: (c) => c.user, cell: (c) => name(c.user || "–") },
      proxy && { id: "proxy", title: t("conn.proxy"), width: "22%", ...proxy },
      { id: "type", title: t("proxy.type"), width: "8%", mark: (c) => c.type, cell: (c) => h("span", { class: "tag mono" }, c.type) },
      client && { id: "client", title: t("conn.client"), width: "16%", ...client },
      { id: "for", title: t("conn.for"), end: true, width: "11%", cell: (c) => duration((view.live.last?.now ?? Date.now()) - c.startedAt) },
      { id: "in", title: t("conn.in"), end: true, width: "9%", cell: (c) => bytes(c.in) },
      { id: "out", title: t("conn.out"), end: true, width: "9%", cell: (c) => bytes(c.out) },
      {
        id: "end", title: t("conn.end"), quiet: true, end: true, width: "9%",
        mark: () => "",
        cell: (c) => h("button", { type: "button", class: "small", "aria-label": `${t("conn.end")}: ${shown(c.user)}`, onclick: () => end(c, rows) }, t("conn.end")),
      },
    ].filter(Boolean),
  });
  return rows;
}

async function end(connection, rows) {
  const title = t("conn.end.ask", { name: shown(connection.user) });
  if (!await agreed({ title, body: h("p", null, t("conn.end.what")), action: t("conn.end") })) return;
  try {
    await remove(`api/live/connections/${part(connection.id)}`);
    notice(t("conn.ended"));
  } catch (error) {
    if (error.status === 404) notice(t("conn.gone"));
    else alarm(error.message);
  }
  rows.refresh();
}
