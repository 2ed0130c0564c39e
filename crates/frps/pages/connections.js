// Users who are connected right now.

import { heading, link } from "./common/app.js";
import { part } from "./common/api.js";
import { connectionList } from "./common/connections.js";
import { name } from "./common/dom.js";
import { t } from "./common/i18n.js";

export function connections(view) {
  return [heading(t("nav.connections")), connectionsOf(view, {})];
}

/** Connections: all, or those of one proxy or client. */
export function connectionsOf(view, only) {
  const all = only.proxy === undefined && only.client === undefined;
  return connectionList(view, {
    query: only,
    kept: all,
    pageSize: all ? 50 : 25,
    proxy: only.proxy === undefined && { mark: (c) => [c.proxy], cell: (c) => name(c.proxy, link(`proxies/${part(c.proxy)}`)) },
    client: only.client === undefined && { mark: (c) => [c.client], cell: (c) => (c.client ? name(c.client, link(`clients/${part(c.client)}`)) : "–") },
  });
}
