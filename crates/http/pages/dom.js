// Elements from code. Text is only ever text: nothing here takes markup.

/** An element: `h("a", {class: "x", href: "#", onclick: f}, "text", child)`. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The same in SVG. */
export function svg(tag, props, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What is not seen, or turns around what is: controls, bidirectional overrides, zero width, tags.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** `text` of a stranger, with what cannot be seen in it made visible. */
export function shown(text) {
  return String(text ?? "").replace(UNSEEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A name that a stranger chose: isolated from what is around it, cut where it is long, whole in its title. */
export function name(text, href) {
  const plain = shown(text);
  const inside = h("bdi", null, plain);
  return href === undefined
    ? h("span", { class: "name", title: plain }, inside)
    : h("a", { class: "name", title: plain, href }, inside);
}

/** Sets the text of an element, unless it has it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;

/** An id that no other element has. */
export function newId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}
