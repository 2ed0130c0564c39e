// How the server is doing.

import { facts, figure, heading, link } from "./common/app.js";
import { ApiError, post } from "./common/api.js";
import { lineChart, trafficChart } from "./common/chart.js";
import { show } from "./common/dialog.js";
import { h, setText } from "./common/dom.js";
import { bytes, duration, number } from "./common/format.js";
import { t } from "./common/i18n.js";

export function overview(view) {
  const clients = figure("clients.online", link("clients"));
  const proxies = figure("proxies.online", link("proxies"));
  const connections = figure("connections.now", link("connections"));
  const traffic = figure("traffic.today");
  setText(connections.note, t("connections.since"));
  const server = facts([
    ["version", t("version")],
    ["started", t("started")],
    ["total", t("traffic.total")],
    ["memory", t("memory")],
    ["descriptors", t("descriptors")],
    ["strangers", t("strangers")],
    ["logins", t("login.failures")],
  ]);
  const types = h("div", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, t("types"))));
  const byType = h("div", { class: "types" });
  types.append(byType);
  let typed = "";

  view.live.listen(({ last }) => {
    if (!last) return;
    setText(clients.value, number(last.clients.online));
    setText(clients.note, t("clients.offline", { n: last.clients.offline }));
    const online = Object.entries(last.proxies.online).filter(([, n]) => n > 0).sort(([a], [b]) => a.localeCompare(b));
    setText(proxies.value, number(online.reduce((sum, [, n]) => sum + n, 0)));
    setText(proxies.note, t("clients.offline", { n: last.proxies.offline }));
    setText(connections.value, number(last.connections));
    setText(traffic.value, bytes(last.todayIn + last.todayOut));
    setText(traffic.note, t("traffic.parts", { in: bytes(last.todayIn), out: bytes(last.todayOut) }));
    server.set("version", last.version);
    server.set("started", duration(last.now - last.startedAt));
    server.set("total", t("traffic.parts", { in: bytes(last.trafficIn), out: bytes(last.trafficOut) }));
    server.set("memory", last.memory === null ? "–" : bytes(last.memory));
    server.set("descriptors", last.descriptors.used === null ? "–" : t("descriptors.of", { used: number(last.descriptors.used), limit: last.descriptors.limit === null ? "∞" : number(last.descriptors.limit) }));
    server.set("strangers", number(last.strangers));
    server.set("logins", h("a", { href: link("logins") }, number(last.loginFailures)));
    const text = JSON.stringify(online);
    if (text === typed) return;
    typed = text;
    byType.replaceChildren(online.length === 0
      ? h("p", { class: "muted" }, t("types.none"))
      : h("ul", null, online.map(([type, n]) => h("li", null,
        h("a", { href: link("proxies", { type, status: "online" }) }, h("b", { class: "num" }, number(n)), h("span", { class: "mono" }, type))))));
  }, view.signal);

  return [
    heading(t("nav.overview"), h("button", { type: "button", onclick: reload }, t("reload"))),
    h("div", { class: "figures" }, clients.element, proxies.element, connections.element, traffic.element),
    h("div", { class: "grid" },
      trafficChart(view),
      lineChart({
        title: t("chart.connections"),
        lines: [{ key: "connections", label: t("chart.connections"), color: "conn" }],
        format: (value) => number(Math.round(value)),
        base: 1000,
        describe: (last, top) => t("chart.connections.now", { n: last.connections, top }),
        ...view,
      })),
    h("div", { class: "grid" },
      h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", null, t("server"))), server.element),
      types),
  ];
}

async function reload(event) {
  const button = event.currentTarget;
  button.disabled = true;
  const say = (title, body) => show({ title, body, buttons: [{ text: t("close"), value: "", kind: "main", focus: true }] });
  const keys = (title, list) => list.length > 0
    && h("div", null, h("h3", null, title), h("ul", null, list.map((key) => h("li", null, h("code", null, key)))));
  try {
    const { applied, restart } = await post("api/reload");
    await say(t("reload.done"), applied.length + restart.length === 0
      ? h("p", null, t("reload.same"))
      : h("div", { class: "dialog-body" }, keys(t("reload.applied"), applied), keys(t("reload.restart"), restart)));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    await say(t("reload.failed"), h("p", { class: "mono" }, error.message));
  } finally {
    button.disabled = false;
  }
}
