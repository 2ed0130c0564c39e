// The configuration file: edited, checked as one types, saved, tried.

import { heading } from "./common/app.js";
import { ask, get, post, put } from "./common/api.js";
import { agreed, alarm, notice, show } from "./common/dialog.js";
import { h, newId, name, setText } from "./common/dom.js";
import { duration } from "./common/format.js";
import { t } from "./common/i18n.js";
import { editor } from "./editor.js";
import { loadSchema } from "./schema.js";
import { tell } from "./messages.js";

/** What was typed and not saved, while another page is looked at. */
let draft = null;

addEventListener("beforeunload", (event) => { if (draft !== null) event.preventDefault(); });

export function config(view) {
  const place = h("div", { class: "stacked" }, h("p", { class: "muted", role: "status" }, t("loading")));
  const path = h("span", { class: "muted mono path" });
  const load = async () => {
    try {
      const [text, schema] = await Promise.all([get("api/config", { signal: view.signal }), loadSchema(view.signal)]);
      place.replaceChildren(...form(view, text, schema, path));
    } catch (error) {
      if (view.signal.aborted) return;
      place.replaceChildren(h("div", { class: "card trouble", role: "alert" }, h("b", null, t("config.none")), h("span", null, error.message),
        h("button", { type: "button", onclick: load }, t("retry"))));
    }
  };
  load();
  view.live.listen(({ last }) => last?.config.path && path.textContent !== last.config.path && path.replaceChildren(name(last.config.path)), view.signal);
  return [heading(t("nav.config"), path), place];
}

function form(view, saved, schema, path) {
  const format = view.live.last?.config.path?.match(/\.(toml|ini|ya?ml|json)$/)?.[1]?.replace("yml", "yaml") ?? guess(saved);
  const changed = h("span", { class: "muted", role: "status" });
  const mark = (text) => {
    draft = text === saved ? null : text;
    setText(changed, draft === null ? "" : t("config.changed"));
    undo.disabled = draft === null;
  };
  const edit = editor({
    label: t("config.text"),
    text: draft ?? saved,
    format,
    schema,
    signal: view.signal,
    verify: async (text, signal) => (await ask("POST", "api/verify", { body: text, signal })).problems,
    changed: mark,
  });
  const trying = h("input", { type: "checkbox", id: newId("trial"), checked: true });
  const seconds = h("input", { type: "number", min: "5", max: "3600", value: "60", class: "short", "aria-label": t("config.seconds") });
  const buttons = [];
  const during = async (work) => {
    for (const button of buttons) button.disabled = true;
    try { await work(); } finally {
      for (const button of buttons) button.disabled = false;
      mark(edit.text());
    }
  };
  const refused = (title, error) => show({
    title,
    body: tell(h("p", { class: "mono" }), error.message),
    buttons: [{ text: t("close"), value: "", kind: "main", focus: true }],
  });
  const save = async () => {
    const text = edit.text();
    const errors = edit.errors();
    if (errors > 0 && !await agreed({
      title: t("config.anyway.ask"),
      body: h("p", null, `${t("config.errors", { n: errors })}. ${t("config.anyway.what")}`),
      action: t("config.anyway"),
    })) return false;
    try { await put("api/config", { body: text }); } catch (error) {
      await refused(t("config.refused"), error);
      return false;
    }
    saved = text;
    draft = null;
    return true;
  };
  const apply = () => during(async () => {
    if (!await save()) return;
    const confirm = trying.checked ? Math.max(5, Number(seconds.value) || 60) : undefined;
    let answer;
    try { answer = await post("api/reload", { query: { confirm, strictConfig: true } }); } catch (error) {
      await refused(t("config.kept"), error);
      return;
    }
    if (confirm === undefined) notice(t("config.applied"));
    if (answer.restart?.length > 0) notice(t("config.restart", { keys: answer.restart.join(", ") }));
  });
  const undo = h("button", {
    type: "button",
    disabled: draft === null,
    onclick: async () => {
      if (!await agreed({ title: t("config.undo.ask"), body: h("p", null, t("config.undo.what")), action: t("config.undo") })) return;
      try { saved = await get("api/config", { signal: view.signal }); } catch (error) { return alarm(error.message); }
      edit.setText(saved);
      mark(saved);
    },
  }, t("config.undo"));
  buttons.push(
    h("button", { type: "button", class: "main", onclick: apply }, t("config.save")),
    h("button", { type: "button", onclick: () => during(async () => { if (await save()) notice(t("config.saved")); }) }, t("config.only")),
  );
  mark(edit.text());
  return [
    edit.element,
    h("div", { class: "save" }, buttons, undo, changed,
      h("span", { class: "trial" }, trying, h("label", { for: trying.id }, t("config.trial")), seconds, t("config.seconds"))),
  ];
}

/** The format of a text whose name does not tell. */
function guess(text) {
  if (text.trimStart().startsWith("{")) return "json";
  return /^\s*\[common\]/m.test(text) ? "ini" : "toml";
}

/** Above all pages, while new settings wait to be confirmed: how long, and the button. */
export function trial(place, live, signal) {
  const left = h("b", { class: "num", role: "timer" });
  const keep = h("button", {
    type: "button",
    class: "main",
    onclick: async () => {
      keep.disabled = true;
      try {
        await post("api/confirm");
        kept = true;
        notice(t("trial.kept"));
      } catch (error) {
        alarm(error.message);
      }
      keep.disabled = false;
    },
  }, t("trial.keep"));
  const banner = h("div", { class: "banner warn" }, h("span", { role: "alert" }), left, keep);
  let until = null;
  let kept = false;
  live.listen(({ last, state }) => {
    if (state !== "live") return;
    const now = last.config.confirmUntil;
    if (now !== null && until === null) {
      kept = false;
      place.replaceChildren(banner);
      setText(banner.firstChild, t("trial.runs"));
    }
    if (now === null && until !== null) {
      place.replaceChildren();
      if (!kept && last.now >= until - 1_500) alarm(t("trial.over"));
    }
    until = now;
    if (now !== null) setText(left, t("trial.left", { time: duration(Math.max(0, now - last.now)) }));
  }, signal);
}
