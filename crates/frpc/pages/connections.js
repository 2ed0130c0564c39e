// Users whom this frpc serves right now.

import { heading } from "./common/app.js";
import { connectionList } from "./common/connections.js";
import { name } from "./common/dom.js";
import { t } from "./common/i18n.js";

export function connections(view) {
  const proxy = { mark: (c) => c.proxy, cell: (c) => name(c.proxy) };
  return [heading(t("nav.connections")), connectionList(view, { proxy })];
}
