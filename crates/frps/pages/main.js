// The pages of frps: which there are.

import { run } from "./common/app.js";
import { addTexts } from "./common/i18n.js";
import { bans } from "./bans.js";
import { client, clients } from "./clients.js";
import { connections } from "./connections.js";
import { logins } from "./logins.js";
import { overview } from "./overview.js";
import { proxies, proxy } from "./proxies.js";
import { texts } from "./text.js";

addTexts(texts);

run({
  program: "frps",
  pages: [
    { path: "overview", title: "nav.overview", nav: true, show: overview },
    { path: "clients", title: "nav.clients", nav: true, show: clients },
    { path: "clients/:key", title: "client", show: client },
    { path: "proxies", title: "nav.proxies", nav: true, show: proxies },
    { path: "proxies/:name", title: "proxy", show: proxy },
    { path: "connections", title: "nav.connections", nav: true, show: connections },
    { path: "logins", title: "nav.logins", nav: true, show: logins },
    { path: "bans", title: "nav.bans", nav: true, show: bans },
  ],
});
