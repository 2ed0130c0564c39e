// Forms from the schema of the configuration: what is needed first, the rest under "More". What is not filled
// in is left out, and what the form does not know stays as it was.

import { h, newId, shown } from "./common/dom.js";
import { t } from "./common/i18n.js";
import { inOurs } from "./about.js";
import { typeOf, whole } from "./schema.js";

/** What one fills in first, beside what is required. */
const MAIN = ["name", "type", "localIP", "localPort", "remotePort", "customDomains", "subdomain", "multiplexer", "serverName", "secretKey", "bindAddr", "bindPort"];
/** Without these an entry is of no use, whatever the schema says. */
const NEEDED = new Set(["name", "type", "serverName", "bindPort"]);

/**
 * The fields of an entry of one of `schema.oneOf`, for `value`. Returns {element, value()}; with `fixed` the
 * name and the type cannot be changed.
 */
export function entryForm(root, schema, value, fixed) {
  const forms = new Map(whole(root, schema).oneOf.map((form) => whole(root, form)).map((form) => [typeOf(form), form]));
  const first = h("div", { class: "fields" });
  const rest = h("div", { class: "fields" });
  const more = h("details", { class: "more" }, h("summary", null, t("more")), rest);
  let fields = [];
  const choose = (type) => {
    const form = forms.get(type) ?? forms.values().next().value;
    fields = Object.entries(form.properties)
      .filter(([key]) => key !== "type")
      .map(([key, of]) => field(root, key, of, value[key], NEEDED.has(key) || form.required?.includes(key), fixed && key === "name"));
    const main = (one) => MAIN.includes(one.key);
    const place = (one) => MAIN.indexOf(one.key);
    first.replaceChildren(...fields.filter(main).sort((a, b) => place(a) - place(b)).flatMap((one) => (one.key === "name" ? [one.element, kind] : [one.element])));
    rest.replaceChildren(...fields.filter((one) => !main(one)).sort((a, b) => a.group - b.group || (b.key === "plugin") - (a.key === "plugin")).map((one) => one.element));
  };
  const id = newId("type");
  const select = h("select", {
    id, required: true, disabled: fixed,
    onchange: () => {
      Object.assign(value, read());
      choose(select.value);
    },
  }, [...forms.keys()].map((type) => h("option", { value: type, selected: type === value.type }, type)));
  const kind = labelled(id, "type", forms.get(select.value)?.properties.type.description, select, true);
  const read = () => {
    const found = { ...value, type: select.value };
    for (const one of fields) {
      const filled = one.value();
      if (filled === undefined) delete found[one.key];
      else found[one.key] = filled;
    }
    return found;
  };
  choose(select.value);
  return { element: h("div", { class: "entry" }, first, more), value: read };
}

function labelled(id, key, about, input, needed) {
  const hint = newId("about");
  if (about) input.setAttribute("aria-describedby", hint);
  return h("div", { class: "field", "data-key": key },
    h("label", { for: id, class: "mono" }, key, needed && h("span", { class: "needed", "aria-hidden": "true" }, " *")),
    input,
    about && explained(about, hint));
}

function explained(about, id) {
  const [text, lang] = inOurs(about);
  return h("p", { class: "about muted", id, lang }, text);
}

/** One key: {key, element, value(), group}; a group is what stands below the single fields. */
function field(root, key, schema, value, needed, fixed) {
  const of = whole(root, schema);
  const id = newId("field");
  const usual = of.default === undefined ? undefined : t("form.usual", { value: String(of.default) });
  const simple = (input, read) => ({ key, group: 0, element: labelled(id, key, of.description, input, needed), value: read });
  if (of.oneOf) return { key, group: 1, ...oneOf(root, key, of, value) };
  if (of.properties) return { key, group: 1, ...table(root, key, of, value) };
  if (of.enum || of.const !== undefined) {
    const values = of.enum?.filter((one) => one !== "") ?? [of.const];
    const select = h("select", { id, required: needed },
      h("option", { value: "" }, usual ?? t("form.unset")),
      values.map((one) => h("option", { value: one, selected: one === value }, one)));
    return simple(select, () => select.value || undefined);
  }
  if (of.type === "boolean") {
    const select = h("select", { id },
      h("option", { value: "" }, t("form.usual", { value: t(of.default ? "yes" : "no") })),
      [true, false].map((one) => h("option", { value: String(one), selected: one === value }, t(one ? "yes" : "no"))));
    return simple(select, () => (select.value === "" ? undefined : select.value === "true"));
  }
  if (of.type === "integer" || of.type === "number") {
    const input = h("input", { id, type: "number", min: of.minimum, max: of.maximum, required: needed, placeholder: usual, value: value ?? "" });
    return simple(input, () => (input.value === "" ? undefined : Number(input.value)));
  }
  if (of.type === "array" && whole(root, of.items).properties) return { key, group: 1, ...rows(root, key, of, value) };
  if (of.type === "array") {
    const input = h("textarea", { id, rows: "2", required: needed, placeholder: t("form.lines"), spellcheck: "false", value: (value ?? []).join("\n") });
    return simple(input, () => {
      const found = input.value.split("\n").map((line) => line.trim()).filter(Boolean);
      return found.length > 0 ? found : undefined;
    });
  }
  if (of.type === "object") return { key, group: 1, ...map(key, of, value) };
  const input = h("input", { id, type: "text", required: needed, readonly: fixed, placeholder: usual, autocomplete: "off", spellcheck: "false", value: value ?? "" });
  return simple(input, () => (input.value === "" ? undefined : input.value));
}

function group(key, about, ...inside) {
  return h("fieldset", { class: "group" }, h("legend", { class: "mono" }, key), about && explained(about), inside);
}

const filled = (found) => (Object.keys(found).length > 0 ? found : undefined);

function table(root, key, of, value) {
  const fields = Object.entries(of.properties).map(([inner, schema]) => field(root, inner, schema, value?.[inner], false, false));
  fields.sort((a, b) => a.group - b.group);
  return { element: group(key, of.description, h("div", { class: "fields" }, fields.map((one) => one.element))), value: () => filled(gather(value, fields)) };
}

function gather(before, fields) {
  const found = { ...before };
  for (const one of fields) {
    const now = one.value();
    if (now === undefined) delete found[one.key];
    else found[one.key] = now;
  }
  return found;
}

/** A table with a form for each `type`, or none. */
function oneOf(root, key, of, value) {
  const forms = new Map(of.oneOf.map((form) => whole(root, form)).map((form) => [typeOf(form), form]));
  const id = newId("plugin");
  const place = h("div", { class: "fields" });
  let fields = [];
  const select = h("select", { id, onchange: () => choose() },
    h("option", { value: "" }, t("form.plugin.none")),
    [...forms.keys()].map((type) => h("option", { value: type, selected: type === value?.type }, type)));
  const choose = () => {
    const own = select.value === value?.type ? value : {};
    fields = Object.entries(forms.get(select.value)?.properties ?? {}).filter(([inner]) => inner !== "type")
      .map(([inner, schema]) => field(root, inner, schema, own[inner], false, false));
    fields.sort((a, b) => a.group - b.group);
    place.replaceChildren(...fields.map((one) => one.element));
  };
  choose();
  return {
    element: group(key, of.description, h("div", { class: "field" }, h("label", { for: id, class: "mono" }, "type"), select), place),
    value: () => (select.value === "" ? undefined : { ...gather(select.value === value?.type ? value : {}, fields), type: select.value }),
  };
}

/** Rows that can be added and taken away; `make(value)` gives {element, value()}. */
function growing(make, values) {
  const rows = [];
  const place = h("div", { class: "growing" });
  const add = (value) => {
    const row = make(value);
    const line = h("div", { class: "row" }, row.element, h("button", {
      type: "button",
      class: "small",
      onclick: () => {
        rows.splice(rows.indexOf(row), 1);
        line.remove();
        more.focus();
      },
    }, t("form.remove")));
    rows.push(row);
    place.append(line);
    return line;
  };
  const more = h("button", { type: "button", class: "small", onclick: () => add(undefined).querySelector("input").focus() }, t("form.add"));
  values.forEach(add);
  return { element: h("div", null, place, more), values: () => rows.map((row) => row.value()) };
}

const cell = (label, value) => h("input", { type: "text", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false", value: value ?? "" });

function map(key, of, value) {
  const rows = growing((pair) => {
    const [left, right] = [cell(`${key}: ${t("form.name")}`, pair?.[0]), cell(`${key}: ${t("form.value")}`, pair?.[1])];
    return { element: h("div", { class: "pair" }, left, right), value: () => [left.value.trim(), right.value] };
  }, Object.entries(value ?? {}));
  return {
    element: group(key, of.description, rows.element),
    value: () => filled(Object.fromEntries(rows.values().filter(([left]) => left !== ""))),
  };
}

function rows(root, key, of, value) {
  const inner = Object.keys(whole(root, of.items).properties);
  const all = growing((entry) => {
    const cells = inner.map((name) => cell(`${key}: ${name}`, entry?.[name]));
    return {
      element: h("div", { class: "pair" }, cells),
      value: () => filled({ ...entry, ...Object.fromEntries(cells.map((one, i) => [inner[i], one.value]).filter(([, text]) => text !== "")) }),
    };
  }, value ?? []);
  return {
    element: group(key, of.description, all.element),
    value: () => {
      const found = all.values().filter(Boolean);
      return found.length > 0 ? found : undefined;
    },
  };
}

/** In a few words what an entry does. */
export function summary(entry) {
  const domains = [...(entry.customDomains ?? []), ...(entry.subdomain ? [entry.subdomain] : [])].join(", ");
  const service = entry.plugin?.type ?? (entry.localPort ? `${entry.localIP || "127.0.0.1"}:${entry.localPort}` : "");
  if (entry.serverName) return shown(`${entry.bindAddr || "127.0.0.1"}:${entry.bindPort ?? ""} → ${entry.serverName}`);
  const outside = domains || (entry.remotePort === undefined ? "" : `:${entry.remotePort}`);
  return shown(outside ? `${outside} → ${service}` : service);
}
