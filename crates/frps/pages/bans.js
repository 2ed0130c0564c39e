// Who is kept out, and why; and letting them in again.

import { heading } from "./common/app.js";
import { get, part, remove } from "./common/api.js";
import { agreed, alarm, notice } from "./common/dialog.js";
import { h, name, shown } from "./common/dom.js";
import { duration, moment } from "./common/format.js";
import { has, t } from "./common/i18n.js";
import { list } from "./common/table.js";

export function bans(view) {
  const rows = list(view, {
    caption: t("nav.bans"),
    key: (ban) => ban.network,
    every: 5_000,
    changes: (overview) => overview.revisions.bans,
    empty: t("bans.none"),
    load: ({ q, page, pageSize }, signal) => get("api/live/bans", { query: { q, page, pageSize }, signal }),
    columns: [
      { id: "network", title: t("ban.network"), width: "22%", mark: (ban) => ban.network, cell: (ban) => name(ban.network) },
      {
        id: "cause", title: t("ban.cause"), width: "30%",
        mark: (ban) => [ban.cause, ban.proxy, ban.only, ban.reason],
        cell: (ban) => [
          has(`ban.cause.${ban.cause}`) ? t(`ban.cause.${ban.cause}`) : ban.cause,
          h("span", { class: "sub" }, h("bdi", null, about(ban))),
        ],
      },
      { id: "since", title: t("ban.since"), width: "17%", cell: (ban) => moment(ban.since) },
      { id: "left", title: t("ban.left"), end: true, width: "13%", cell: (ban) => left(ban, view.live) },
      {
        id: "remove", title: t("ban.remove"), quiet: true, end: true, width: "18%",
        mark: () => "",
        cell: (ban) => h("button", { type: "button", class: "small", "aria-label": `${t("ban.remove")}: ${shown(ban.network)}`, onclick: () => lift(ban, rows) }, t("ban.remove")),
      },
    ],
  });
  return [heading(t("nav.bans")), rows];
}

/** The operator's reason, or the proxy, and whose proxies alone it is about. */
function about(ban) {
  const only = ban.only && t("ban.only", { name: shown(ban.only) });
  return [shown(ban.reason || ban.proxy), only].filter(Boolean).join(" · ");
}

function left(ban, live) {
  if (ban.until === null) return t("ban.ever");
  return duration(Math.max(0, ban.until - (live.last?.now ?? Date.now())));
}

async function lift(ban, rows) {
  const title = t("ban.remove.ask", { name: shown(ban.network) });
  if (!await agreed({ title, body: h("p", null, t("ban.remove.what")), action: t("ban.remove") })) return;
  try {
    await remove(`api/live/bans/${part(ban.network)}`);
    notice(t("ban.removed"));
  } catch (error) {
    if (error.status === 404) notice(t("ban.gone"));
    else alarm(error.message);
  }
  rows.refresh();
}
