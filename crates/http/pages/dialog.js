// What is asked before something is done, and what is said after.

import { h, newId } from "./dom.js";
import { t } from "./i18n.js";

/** How long a message stays, in milliseconds; an error stays until it is closed. */
const STAY = 6_000;
const MOST_NOTICES = 4;

/** Shows a dialog until it is closed; returns the value that it was closed with ("" by Escape). */
export function show({ title, body, buttons }) {
  const id = newId("dialog");
  const dialog = h("dialog", { "aria-labelledby": id, class: "dialog" },
    h("h2", { id }, title),
    h("div", { class: "dialog-body" }, body),
    h("div", { class: "dialog-buttons" }, buttons.map((button) => h("button", {
      type: "button",
      class: button.kind ?? "",
      autofocus: button.focus,
      onclick: () => dialog.close(button.value),
    }, button.text))));
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const value = dialog.returnValue;
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(value);
    }, { once: true });
  });
}

/** Whether somebody who was asked agrees. */
export async function agreed({ title, body, action }) {
  const value = await show({
    title,
    body,
    buttons: [
      { text: t("cancel"), value: "", focus: true },
      { text: action, value: "yes", kind: "danger" },
    ],
  });
  return value === "yes";
}

/** The place where messages appear: read out, and never in the way. */
export const notices = h("div", { class: "notices", role: "status", "aria-live": "polite" });
export const alerts = h("div", { class: "notices", role: "alert" });

/** Says that something happened. */
export function notice(text) {
  put(notices, text, "");
}

/** Says that something failed. */
export function alarm(text) {
  put(alerts, text, "bad");
}

function put(place, text, kind) {
  const message = h("div", { class: `notice ${kind}` },
    h("span", null, text),
    h("button", { type: "button", class: "plain", "aria-label": t("close"), onclick: () => message.remove() }, "×"));
  place.append(message);
  while (place.children.length > MOST_NOTICES) place.firstChild.remove();
  if (kind !== "bad") setTimeout(() => message.remove(), STAY);
}
