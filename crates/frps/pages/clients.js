// Who has logged in, and who did.

import { badge, facts, heading, headingOf, link } from "./common/app.js";
import { get, part, remove } from "./common/api.js";
import { agreed, alarm, notice } from "./common/dialog.js";
import { h, name, shown } from "./common/dom.js";
import { duration, milliseconds, moment, number } from "./common/format.js";
import { t } from "./common/i18n.js";
import { list } from "./common/table.js";
import { connectionsOf } from "./connections.js";
import { proxyList } from "./proxies.js";

export function clients(view) {
  const clear = h("button", {
    type: "button",
    onclick: async () => {
      if (!await agreed({ title: t("clients.clear.ask"), body: h("p", null, t("clients.clear.what")), action: t("clients.clear") })) return;
      try {
        const { cleared } = await remove("api/live/clients", { query: { status: "offline" } });
        notice(t("clients.cleared", { n: cleared }));
      } catch (error) {
        alarm(error.message);
      }
      rows.refresh();
    },
  }, t("clients.clear"));
  const rows = list(view, {
    caption: t("nav.clients"),
    key: (client) => client.key,
    sort: "user",
    filters: [{ name: "status", label: t("status"), options: [["", t("all")], ["online", t("online")], ["offline", t("offline")]] }],
    changes: (overview) => overview.revisions.clients,
    empty: t("clients.none"),
    actions: [clear],
    load: (ask, signal) => get("api/live/clients", { query: { ...ask, status: ask.status || "all" }, signal }),
    columns: [
      {
        id: "name", title: t("client"), sort: "user", width: "22%",
        mark: (client) => [client.key, client.hostname],
        cell: (client) => [name(titleOf(client), link(`clients/${part(client.key)}`)), h("span", { class: "sub" }, h("bdi", null, shown(client.hostname)))],
      },
      { id: "status", title: t("client.status"), width: "9%", mark: (client) => client.online, cell: presence },
      { id: "version", title: t("client.version"), sort: "version", width: "9%", mark: (client) => client.version, cell: (client) => name(client.version) },
      { id: "address", title: t("client.address"), sort: "address", width: "17%", mark: (client) => client.address, cell: (client) => name(client.address) },
      { id: "transport", title: t("client.transport"), width: "11%", mark: transport, cell: (client) => h("span", { class: "name", title: transport(client) }, transport(client)) },
      { id: "since", title: t("client.since"), sort: "since", end: true, width: "13%", cell: (client) => since(client, view.live) },
      { id: "roundTrip", title: t("client.roundTrip"), sort: "roundTrip", end: true, width: "9%", cell: (client) => (client.online ? milliseconds(client.roundTripMs) : "–") },
      { id: "connections", title: t("client.connections"), sort: "connections", end: true, width: "10%", cell: (client) => number(client.connections) },
    ],
  });
  return [heading(t("nav.clients")), rows];
}

/** How a client is called: by user and id, or, where it has neither, by the key that frps gave it. */
function titleOf(client) {
  return [client.user, client.clientID].filter(Boolean).join(".") || client.key;
}

function presence(client) {
  return client.online ? badge("good", t("online")) : badge("idle", t("offline"));
}

function transport(client) {
  const way = client.transport === "inside" ? t("client.inside") : client.transport;
  return client.tls ? `${way} · TLS` : way;
}

function since(client, live) {
  const now = live.last?.now ?? Date.now();
  return t("ago", { time: duration(now - (client.online ? client.lastConnectedAt : client.disconnectedAt ?? client.lastConnectedAt)) });
}

export function client(view) {
  const { key } = view.params;
  const path = `api/live/clients/${part(key)}`;
  const about = facts([
    ["status", t("client.status")],
    ["user", t("client.user")],
    ["id", t("client.id")],
    ["token", t("client.token")],
    ["address", t("client.address")],
    ["transport", t("client.transport")],
    ["roundTrip", t("client.roundTrip")],
    ["version", t("client.version")],
    ["system", t("client.system")],
    ["host", t("client.host")],
    ["runID", t("client.runID")],
    ["protocol", t("client.protocol")],
    ["mux", t("client.mux")],
    ["first", t("client.first")],
    ["last", t("client.last")],
    ["left", t("client.left")],
  ]);
  const end = h("button", { type: "button", class: "danger", disabled: true, onclick: () => leave() }, t("client.end"));
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const title = headingOf([t("nav.clients"), link("clients")], key, end);
  let now = null;
  let asked = 0;
  let asking = false;

  const load = async () => {
    if (asking) return;
    asking = true;
    try {
      now = await get(path, { signal: view.signal });
      trouble.hidden = true;
      end.disabled = false;
      end.textContent = t(now.online ? "client.end" : "client.forget");
      title.querySelector("h1").replaceChildren(name(titleOf(now)));
      for (const [id, value] of Object.entries({
        status: presence(now),
        user: name(now.user || "–"),
        id: name(now.clientID || "–"),
        token: name(now.token || "–"),
        address: name(now.address),
        transport: transport(now),
        roundTrip: now.online ? milliseconds(now.roundTripMs) : "–",
        version: name(now.version),
        system: name([now.os, now.arch].filter(Boolean).join(" / ") || "–"),
        host: name(now.hostname || "–"),
        runID: name(now.runID),
        protocol: now.wireProtocol || "–",
        mux: t(now.mux ? "yes" : "no"),
        first: moment(now.firstConnectedAt),
        last: moment(now.lastConnectedAt),
        left: now.online ? "–" : moment(now.disconnectedAt),
      })) about.set(id, value);
    } catch (error) {
      if (view.signal.aborted) return;
      trouble.textContent = error.status === 404 ? t("client.nobody") : error.message;
      trouble.hidden = false;
      end.disabled = true;
    } finally {
      asking = false;
      asked = Date.now();
    }
  };
  const leave = async () => {
    const what = now.online ? "end" : "forget";
    const title = t(`client.${what}.ask`, { name: shown(titleOf(now)) });
    if (!await agreed({ title, body: h("p", null, t(`client.${what}.what`)), action: t(`client.${what}`) })) return;
    try {
      await remove(path);
      notice(t(what === "end" ? "client.ended" : "client.forgotten"));
    } catch (error) {
      alarm(error.message);
    }
    if (what === "forget") location.hash = link("clients");
    else load();
  };
  let seen;
  view.live.listen(({ last, state }) => {
    if (state !== "live") return;
    const revision = last.revisions.clients;
    if (revision !== seen || Date.now() - asked > 5_000) load();
    seen = revision;
  }, view.signal);
  load();
  const own = { ...view, query: new URLSearchParams() };
  return [
    title,
    trouble,
    h("section", { class: "card" }, about.element),
    h("h2", null, t("nav.proxies")),
    proxyList(own, { client: key }),
    h("h2", null, t("nav.connections")),
    connectionsOf(own, { client: key }),
  ];
}
