// Who could not log in, why, and what to do.

import { heading } from "./common/app.js";
import { get } from "./common/api.js";
import { h, name, shown } from "./common/dom.js";
import { moment, number } from "./common/format.js";
import { has, t } from "./common/i18n.js";
import { list, local } from "./common/table.js";

export function logins(view) {
  const all = async (signal) => (await get("api/live/logins", { query: { pageSize: 200 }, signal })).items;
  const words = (login) => [login.address, login.user, login.version, login.transport, login.cause, login.cure];
  const rows = list(view, {
    caption: t("nav.logins"),
    // The same cause from the same place is counted, so its time moves.
    key: (login) => `${login.code} ${login.address.replace(/:\d+$/, "")}`,
    every: 10_000,
    changes: (overview) => overview.revisions.logins,
    empty: t("logins.none"),
    load: local(all, words),
    columns: [
      { id: "at", title: t("login.at"), width: "16%", cell: (login) => moment(login.at) },
      { id: "address", title: t("login.address"), width: "16%", mark: (login) => login.address, cell: (login) => name(login.address) },
      { id: "user", title: t("login.user"), width: "11%", mark: (login) => login.user, cell: (login) => name(login.user || "–") },
      { id: "version", title: t("login.version"), width: "12%", mark: (login) => [login.version, login.transport], cell: (login) => [name(login.version || "–"), h("span", { class: "sub" }, login.transport)] },
      {
        id: "cause", title: t("login.cause"), width: "38%",
        mark: (login) => [login.code, login.cause, login.cure],
        cell: (login) => {
          const cure = has(`cure.${login.code}`) ? t(`cure.${login.code}`) : login.cure;
          return h("div", { class: "wrap" },
            has(`cause.${login.code}`) && h("b", null, t(`cause.${login.code}`)),
            h("span", { class: "sub wrap", lang: "en" }, h("bdi", null, shown(login.cause))),
            cure && h("span", { class: "cure" }, shown(cure)));
        },
      },
      { id: "count", title: t("login.count"), end: true, width: "7%", cell: (login) => number(login.count) },
    ],
  });
  return [heading(t("nav.logins")), rows];
}
