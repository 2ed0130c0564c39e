// What is published.

import { badge, facts, heading, headingOf, link } from "./common/app.js";
import { get, part, remove } from "./common/api.js";
import { dayBars } from "./common/chart.js";
import { agreed, alarm, notice } from "./common/dialog.js";
import { h, name } from "./common/dom.js";
import { bytes, day, moment, number } from "./common/format.js";
import { t } from "./common/i18n.js";
import { list } from "./common/table.js";
import { connectionsOf } from "./connections.js";

const TYPES = ["tcp", "udp", "http", "https", "tcpmux", "stcp", "sudp", "xtcp"];

export function proxies(view) {
  const clear = h("button", {
    type: "button",
    onclick: async () => {
      if (!await agreed({ title: t("proxies.clear.ask"), body: h("p", null, t("proxies.clear.what")), action: t("proxies.clear") })) return;
      try {
        await remove("api/proxies", { query: { status: "offline" } });
        notice(t("proxies.cleared"));
      } catch (error) {
        alarm(error.message);
      }
      rows.refresh();
    },
  }, t("proxies.clear"));
  const rows = proxyList(view, {}, [clear]);
  return [heading(t("nav.proxies")), rows];
}

/** Proxies: all, or those of one client. */
export function proxyList(view, only, actions) {
  const ofClient = only.client !== undefined;
  return list(view, {
    caption: t("nav.proxies"),
    kept: !ofClient,
    pageSize: ofClient ? 25 : 50,
    key: (proxy) => proxy.name,
    sort: "name",
    filters: [
      { name: "type", label: t("proxy.type"), options: [["", t("all")], ...TYPES.map((type) => [type, type])] },
      { name: "status", label: t("status"), options: [["", t("all")], ["online", t("online")], ["offline", t("offline")]] },
    ],
    changes: (overview) => overview.revisions.proxies,
    empty: t("proxies.none"),
    actions,
    load: (ask, signal) => get("api/live/proxies", { query: { ...ask, ...only }, signal }),
    columns: [
      { id: "name", title: t("proxy.name"), sort: "name", width: ofClient ? "28%" : "22%", mark: (proxy) => proxy.name, cell: (proxy) => name(proxy.name, link(`proxies/${part(proxy.name)}`)) },
      { id: "status", title: t("status"), width: "9%", mark: (proxy) => proxy.online, cell: presence },
      { id: "type", title: t("proxy.type"), sort: "type", width: "8%", mark: (proxy) => proxy.type, cell: (proxy) => h("span", { class: "tag mono" }, proxy.type) },
      !ofClient && { id: "client", title: t("proxy.client"), sort: "client", width: "16%", mark: (proxy) => [proxy.client], cell: (proxy) => (proxy.client ? name(proxy.client, link(`clients/${part(proxy.client)}`)) : "–") },
      { id: "remote", title: t("proxy.remote"), width: ofClient ? "23%" : "17%", mark: (proxy) => proxy.remote, cell: (proxy) => name(remote(proxy)) },
      { id: "connections", title: t("proxy.connections"), sort: "connections", end: true, width: "10%", cell: (proxy) => number(proxy.connections) },
      { id: "in", title: t("proxy.in"), sort: "in", end: true, width: "10%", cell: (proxy) => bytes(proxy.todayIn) },
      { id: "out", title: t("proxy.out"), sort: "out", end: true, width: "10%", cell: (proxy) => bytes(proxy.todayOut) },
    ].filter(Boolean),
  });
}

/** Where users reach it: a port, or names. */
function remote(proxy) {
  return /^\d+$/.test(proxy.remote) ? `:${proxy.remote}` : proxy.remote || "–";
}

function presence(proxy) {
  return proxy.online ? badge("good", t("online")) : badge("idle", t("offline"));
}

export function proxy(view) {
  const wanted = view.params.name;
  const about = facts([
    ["status", t("status")],
    ["type", t("proxy.type")],
    ["client", t("proxy.client")],
    ["remote", t("proxy.remote")],
    ["connections", t("proxy.connections")],
    ["in", t("proxy.in")],
    ["out", t("proxy.out")],
    ["started", t("proxy.started")],
    ["closed", t("proxy.closed")],
  ]);
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const bars = h("div", { class: "week" });
  let asked = 0;
  let asking = false;
  let drawn = "";

  const load = async () => {
    if (asking) return;
    asking = true;
    try {
      const [found, traffic] = await Promise.all([find(wanted, view.signal), get(`api/v2/proxies/${part(wanted)}/traffic`, { signal: view.signal })]);
      trouble.hidden = found !== null;
      trouble.textContent = found ? "" : t("proxy.nobody");
      if (found) {
        for (const [id, value] of Object.entries({
          status: presence(found),
          type: h("span", { class: "tag mono" }, found.type),
          client: found.client ? name(found.client, link(`clients/${part(found.client)}`)) : "–",
          remote: name(remote(found)),
          connections: number(found.connections),
          in: bytes(found.todayIn),
          out: bytes(found.todayOut),
          started: moment(found.lastStartAt),
          closed: moment(found.lastCloseAt),
        })) about.set(id, value);
      }
      const days = (traffic.data?.history ?? []).map((of) => ({ label: day(of.date), in: of.trafficIn, out: of.trafficOut }));
      const text = JSON.stringify(days);
      if (text !== drawn) {
        drawn = text;
        bars.replaceChildren(...week(days));
      }
    } catch (error) {
      if (view.signal.aborted) return;
      trouble.textContent = error.status === 404 ? t("proxy.nobody") : error.message;
      trouble.hidden = false;
    } finally {
      asking = false;
      asked = Date.now();
    }
  };
  let seen;
  view.live.listen(({ last, state }) => {
    if (state !== "live") return;
    const revision = last.revisions.proxies;
    if (revision !== seen || Date.now() - asked > 5_000) load();
    seen = revision;
  }, view.signal);
  load();
  return [
    headingOf([t("nav.proxies"), link("proxies")], wanted),
    trouble,
    h("section", { class: "card" }, about.element),
    h("section", { class: "card" },
      h("div", { class: "card-head" }, h("h2", null, t("proxy.week")),
        h("ul", { class: "legend" }, ["in", "out"].map((way) => h("li", null, h("i", { class: `swatch ${way}` }), t(`chart.${way}`))))),
      bars),
    h("h2", null, t("nav.connections")),
    connectionsOf({ ...view, query: new URLSearchParams() }, { proxy: wanted }),
  ];
}

/** The one of this name: a search finds whatever has it in it. */
async function find(wanted, signal) {
  for (let page = 1; ; page += 1) {
    const { items, total } = await get("api/live/proxies", { query: { q: wanted, sort: "name", page, pageSize: 200 }, signal });
    const found = items.find((proxy) => proxy.name === wanted);
    if (found || items.length === 0 || page * 200 >= total) return found ?? null;
  }
}

function week(days) {
  return [
    dayBars({ label: t("proxy.week"), days, format: bytes }),
    h("table", { class: "days" },
      h("caption", { class: "unseen" }, t("proxy.week")),
      h("thead", null, h("tr", null, h("th", { scope: "col" }, t("proxy.day")), h("th", { scope: "col", class: "end" }, t("chart.in")), h("th", { scope: "col", class: "end" }, t("chart.out")))),
      h("tbody", null, days.toReversed().map((of) => h("tr", null,
        h("th", { scope: "row" }, of.label), h("td", { class: "end num" }, bytes(of.in)), h("td", { class: "end num" }, bytes(of.out)))))),
  ];
}
