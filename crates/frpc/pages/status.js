// How the client is doing: its session, its proxies, its visitors.

import { badge, facts, figure, heading } from "./common/app.js";
import { get } from "./common/api.js";
import { trafficChart } from "./common/chart.js";
import { h, name, setText, shown } from "./common/dom.js";
import { bytes, duration, milliseconds, moment, number } from "./common/format.js";
import { has, t } from "./common/i18n.js";
import { list, local } from "./common/table.js";
import { tell } from "./messages.js";

const KINDS = { running: "good", "start error": "bad", "check failed": "bad", closed: "idle" };
const STATES = { connected: "good", connecting: "warn", waiting: "bad" };

export function status(view) {
  const proxies = figure("proxies.running");
  const connections = figure("connections.now");
  const traffic = figure("traffic.total");
  const running = figure("running");
  const session = facts([
    ["server", t("session.server")],
    ["transport", t("session.transport")],
    ["roundTrip", t("session.roundTrip")],
    ["since", t("session.since")],
    ["runID", t("session.runID")],
  ]);
  const why = h("dd", null, "–");
  session.element.append(h("div", { class: "wide" }, h("dt", null, t("session.why")), why));
  const state = h("span", { role: "status" });
  const trouble = h("div", { class: "trouble", role: "alert", hidden: true });
  const said = h("b");
  const cure = h("span");
  const retry = h("span", { class: "num" });
  trouble.append(said, cure, retry);

  view.live.listen(({ last }) => {
    if (!last) return;
    const of = last.session;
    setText(proxies.value, number(last.proxies.running));
    setText(proxies.note, t("proxies.others", { failed: last.proxies.failed, waiting: last.proxies.waiting }));
    setText(connections.value, number(last.connections));
    setText(connections.note, t("connections.visitors", { n: last.visitors }));
    setText(traffic.value, bytes(last.trafficIn + last.trafficOut));
    setText(traffic.note, t("traffic.parts", { in: bytes(last.trafficIn), out: bytes(last.trafficOut) }));
    setText(running.value, duration(last.now - last.startedAt));
    setText(running.note, t("version.is", { version: last.version }));
    if (state.dataset.state !== of.state) {
      state.dataset.state = of.state;
      state.replaceChildren(badge(STATES[of.state] ?? "idle", t(`session.${of.state}`)));
    }
    session.set("server", name(last.server));
    session.set("transport", [of.transport, of.tls && "TLS", of.mux && t("session.mux")].filter(Boolean).join(" · ") || "–");
    session.set("roundTrip", milliseconds(of.roundTripMs));
    session.set("since", moment(of.since));
    session.set("runID", of.runID || "–");
    tell(why, of.why || "–");
    trouble.hidden = !of.error;
    tell(said, of.error ?? "");
    tell(cure, of.cure ?? "");
    setText(retry, of.retryAt && of.retryAt > last.now ? t("session.retry", { time: duration(of.retryAt - last.now) }) : "");
  }, view.signal);

  return [
    heading(t("nav.status")),
    h("section", { class: "card session" }, h("div", { class: "card-head" }, h("h2", null, t("session")), state), trouble, session.element),
    h("div", { class: "figures" }, proxies.element, connections.element, traffic.element, running.element),
    trafficChart(view),
    h("h2", null, t("proxies")),
    proxyList(view),
    h("h2", null, t("visitors")),
    visitorList({ ...view, query: new URLSearchParams() }),
  ];
}

/** All entries of a list, whatever its pages. */
async function all(path, signal) {
  const found = [];
  for (let page = 1; ; page += 1) {
    const { items, total } = await get(path, { query: { page, pageSize: 200 }, signal });
    found.push(...items);
    if (items.length === 0 || found.length >= (total ?? 0)) return found;
  }
}

/** How a proxy does, and, where it does not, why and what to do. */
function condition(entry) {
  const words = has(`status.${entry.status}`) ? t(`status.${entry.status}`) : shown(entry.status);
  const kind = entry.err ? "bad" : KINDS[entry.status] ?? "warn";
  return [
    badge(kind, words),
    entry.err && h("span", { class: "sub wrap" }, tell(h("bdi"), entry.err)),
    entry.cure && tell(h("span", { class: "sub wrap" }), entry.cure),
  ];
}

const source = (entry) => h("span", { class: "tag" }, t(`source.${entry.source === "store" ? "store" : "file"}`));

/** An address, whose end counts: on two lines rather than cut. */
function whole(address) {
  const element = name(address);
  element.classList.add("whole");
  return element;
}

function proxyList(view) {
  return list(view, {
    caption: t("proxies"),
    key: (proxy) => proxy.name,
    sort: "name",
    pageSize: 25,
    changes: (overview) => overview.revisions.proxies,
    empty: t("proxies.none"),
    load: local(
      (signal) => all("api/live/proxies", signal),
      (proxy) => [proxy.name, proxy.type, proxy.status, proxy.err, proxy.localAddr, proxy.plugin, proxy.remoteAddr],
      { name: (p) => p.name, status: (p) => p.status, type: (p) => p.type, connections: (p) => p.connections, in: (p) => p.in, out: (p) => p.out },
    ),
    columns: [
      { id: "name", title: t("proxy.name"), sort: "name", width: "14%", mark: (p) => p.name, cell: (p) => name(p.name) },
      { id: "status", title: t("proxy.status"), sort: "status", width: "22%", mark: (p) => [p.status, p.err, p.cure], cell: condition },
      { id: "type", title: t("proxy.type"), sort: "type", width: "7%", mark: (p) => p.type, cell: (p) => h("span", { class: "tag mono" }, p.type) },
      { id: "local", title: t("proxy.local"), width: "13%", mark: (p) => [p.localAddr, p.plugin], cell: (p) => name(p.plugin ? t("proxy.plugin", { name: p.plugin }) : p.localAddr || "–") },
      { id: "remote", title: t("proxy.remote"), width: "20%", mark: (p) => p.remoteAddr, cell: (p) => whole(p.remoteAddr || "–") },
      { id: "source", title: t("proxy.source"), width: "7%", mark: (p) => p.source, cell: source },
      { id: "in", title: t("proxy.in"), sort: "in", end: true, width: "8%", cell: (p) => bytes(p.in) },
      { id: "out", title: t("proxy.out"), sort: "out", end: true, width: "8%", cell: (p) => bytes(p.out) },
    ],
  });
}

function visitorList(view) {
  return list(view, {
    caption: t("visitors"),
    key: (visitor) => visitor.name,
    sort: "name",
    pageSize: 25,
    kept: false,
    changes: (overview) => overview.revisions.visitors,
    empty: t("visitors.none"),
    load: local(
      (signal) => all("api/live/visitors", signal),
      (visitor) => [visitor.name, visitor.type, visitor.bind, visitor.server, visitor.status, visitor.err],
      { name: (v) => v.name, status: (v) => v.status, type: (v) => v.type },
    ),
    columns: [
      { id: "name", title: t("proxy.name"), sort: "name", width: "17%", mark: (v) => v.name, cell: (v) => name(v.name) },
      { id: "status", title: t("proxy.status"), sort: "status", width: "24%", mark: (v) => [v.status, v.err], cell: condition },
      { id: "type", title: t("proxy.type"), sort: "type", width: "7%", mark: (v) => v.type, cell: (v) => h("span", { class: "tag mono" }, v.type) },
      { id: "bind", title: t("visitor.bind"), width: "20%", mark: (v) => v.bind, cell: (v) => name(v.bind || "–") },
      { id: "server", title: t("visitor.server"), width: "20%", mark: (v) => v.server, cell: (v) => name(v.server || "–") },
      { id: "source", title: t("proxy.source"), width: "12%", mark: (v) => v.source, cell: source },
    ],
  });
}
