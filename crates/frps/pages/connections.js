// Users who are connected right now.

import { heading, link } from "./common/app.js";
import { get, part, remove } from "./common/api.js";
import { agreed, alarm, notice } from "./common/dialog.js";
import { h, name, shown } from "./common/dom.js";
import { bytes, duration } from "./common/format.js";
import { t } from "./common/i18n.js";
import { list } from "./common/table.js";

export function connections(view) {
  return [heading(t("nav.connections")), connectionList(view, {})];
}

/** Connections: all, or those of one proxy or client. */
export function connectionList(view, only) {
  const all = only.proxy === undefined && only.client === undefined;
  const rows = list(view, {
    caption: t("nav.connections"),
    kept: all,
    pageSize: all ? 50 : 25,
    key: (connection) => connection.id,
    every: 2_000,
    changes: (overview) => overview.connections,
    empty: t("connections.none"),
    load: ({ q, page, pageSize }, signal) => get("api/live/connections", { query: { q, page, pageSize, ...only }, signal }),
    columns: [
      { id: "user", title: t("conn.user"), width: "22%", mark: (c) => c.user, cell: (c) => name(c.user) },
      only.proxy === undefined && { id: "proxy", title: t("conn.proxy"), width: "22%", mark: (c) => [c.proxy], cell: (c) => name(c.proxy, link(`proxies/${part(c.proxy)}`)) },
      { id: "type", title: t("proxy.type"), width: "8%", mark: (c) => c.type, cell: (c) => h("span", { class: "tag mono" }, c.type) },
      only.client === undefined && { id: "client", title: t("conn.client"), width: "16%", mark: (c) => [c.client], cell: (c) => (c.client ? name(c.client, link(`clients/${part(c.client)}`)) : "–") },
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
