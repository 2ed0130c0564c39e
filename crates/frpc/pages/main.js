// The pages of frpc: which there are, and what stands above each.

import { run } from "./common/app.js";
import { addTexts } from "./common/i18n.js";
import { config, trial } from "./config.js";
import { connections } from "./connections.js";
import { status } from "./status.js";
import { editEntry, newEntry, store } from "./store.js";
import { texts } from "./text.js";

addTexts(texts);

run({
  program: "frpc",
  pages: [
    { path: "status", title: "nav.status", nav: true, show: status },
    { path: "connections", title: "nav.connections", nav: true, show: connections },
    { path: "config", title: "nav.config", nav: true, show: config },
    { path: "store", title: "nav.store", nav: true, show: store },
    { path: "store/:kind/new", title: "nav.store", show: newEntry },
    { path: "store/:kind/edit/:name", title: "nav.store", show: editEntry },
  ],
  banner: trial,
});
