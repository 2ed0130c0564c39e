// The four formats of the configuration: how their lines look, and where in the settings a cursor is.

const TOKENS = {
  toml: /(?<comment>#.*$)|(?<string>"(?:\\.|[^"\\])*"?|'[^']*'?)|(?<section>^\s*\[+[^\]#]*\]+)|(?<key>^\s*[\w."'-]+(?=\s*=))|(?<value>\b(?:true|false)\b|[-+]?\b\d[\d_.:TZ+-]*)/g,
  ini: /(?<comment>^\s*[#;].*$)|(?<section>^\s*\[[^\]]*\])|(?<key>^\s*[^=\s]+(?=\s*=))|(?<value>\b(?:true|false)\b|\b\d+\b)/g,
  yaml: /(?<comment>(?:^|\s)#.*$)|(?<key>(?:^|[\s-])[\w."'-]+(?=\s*:(?:\s|$)))|(?<string>"(?:\\.|[^"\\])*"?|'[^']*'?)|(?<value>\b(?:true|false|null)\b|\b\d[\d.]*\b)/g,
  json: /(?<key>"(?:\\.|[^"\\])*"(?=\s*:))|(?<string>"(?:\\.|[^"\\])*"?)|(?<value>\b(?:true|false|null)\b|-?\b\d[\d.eE+-]*)/g,
};

/** A line as [class, text] pieces; a class is empty where there is nothing to show. */
export function pieces(format, line) {
  const found = [];
  let end = 0;
  for (const match of line.matchAll(TOKENS[format] ?? TOKENS.toml)) {
    if (match.index > end) found.push(["", line.slice(end, match.index)]);
    const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
    found.push([kind, match[0]]);
    end = match.index + match[0].length;
  }
  if (end < line.length) found.push(["", line.slice(end)]);
  return found;
}

/**
 * Where a cursor is: {path, types, word, from, value} - the tables around it, the `type` of each, what was
 * typed of a key (or of the value of `value`) since the offset `from`. Null where nothing is to be completed.
 */
export function place(format, text, cursor) {
  const before = text.slice(0, cursor);
  const start = before.lastIndexOf("\n") + 1;
  const line = before.slice(start);
  if (format === "toml") return inToml(text, before, line, start);
  if (format === "yaml") return inYaml(before, line, start);
  if (format === "json") return inJson(before);
  return null;
}

const HEADER = /^\s*\[+\s*([\w.\s-]+?)\s*\]+\s*(?:#.*)?$/;
const TYPE = /^\s*(?:"type"\s*:|-?\s*type\s*:|type\s*=)\s*["']?([\w-]+)/;

function inToml(text, before, line, start) {
  const lines = text.split("\n");
  const row = before.split("\n").length - 1;
  let path = [];
  // The types of the tables above: that of `[[proxies]]` counts below `[proxies.plugin]`, too.
  const types = new Map();
  let top = -1;
  for (let i = row; i >= 0; i -= 1) {
    const header = i === row ? null : HEADER.exec(lines[i]);
    if (!header) continue;
    const found = header[1].split(".").map((part) => part.trim());
    if (path.length === 0) {
      path = found;
      types.set(path.length, typeFrom(lines, i + 1));
      top = i;
    }
    if (found.length < path.length && found.every((part, n) => part === path[n])) {
      types.set(found.length, typeFrom(lines, i + 1));
      top = i;
    }
    if (lines[i].trimStart().startsWith("[[") && found[0] === path[0]) break;
  }
  if (top === -1) path = [];
  const section = /^\s*\[+([\w.]*)$/.exec(line);
  if (section) return { path: [], types, word: section[1], from: start + line.length - section[1].length, section: true };
  const key = /^\s*([\w.-]*)$/.exec(line);
  if (key) return { path, types, word: key[1], from: start + line.length - key[1].length, dotted: true };
  const value = /^\s*([\w.-]+)\s*=\s*(?:.*[[,]\s*)?(["']?[\w.-]*)$/.exec(line);
  if (value) return { path, types, word: value[2].replace(/^["']/, ""), from: start + line.length - value[2].length, value: value[1].split("."), quote: '"', rest: text.slice(before.length) };
  return null;
}

/** The value of `type` between a header and the next. */
function typeFrom(lines, from) {
  for (let i = from; i < lines.length && !HEADER.test(lines[i]); i += 1) {
    const found = TYPE.exec(lines[i]);
    if (found) return found[1];
  }
  return undefined;
}

function inYaml(before, line, start) {
  const lines = before.split("\n");
  const depthOf = (of) => /^[\s-]*/.exec(of)[0].length;
  let depth = depthOf(line);
  const path = [];
  const types = new Map();
  let type;
  for (let i = lines.length - 2; i >= 0; i -= 1) {
    if (/^\s*(#.*)?$/.test(lines[i])) continue;
    const here = depthOf(lines[i]);
    if (here === depth) type ??= TYPE.exec(lines[i])?.[1];
    const opens = /^[\s-]*([\w-]+):\s*$/.exec(lines[i]);
    if (here < depth) {
      if (opens) {
        path.unshift(opens[1]);
        types.set(-path.length, type);
        type = undefined;
      }
      depth = here;
    }
  }
  const byDepth = new Map([...types].map(([back, found]) => [path.length + back + 1, found]));
  const key = /^[\s-]*([\w-]*)$/.exec(line);
  if (key) return { path, types: byDepth, word: key[1], from: start + line.length - key[1].length };
  const value = /^[\s-]*([\w-]+):\s+(["']?[\w.-]*)$/.exec(line);
  if (value) return { path, types: byDepth, word: value[2].replace(/^["']/, ""), from: start + line.length - value[2].length, value: [value[1]], quote: "" };
  return null;
}

function inJson(before) {
  const open = [];
  const types = new Map();
  let last = null;
  let key = null;
  for (const match of before.matchAll(/"((?:\\.|[^"\\])*)"(\s*:)?|[{}[\],]/g)) {
    if (match[2]) key = match[1];
    else if (match[1] !== undefined) {
      if (key === "type") types.set(open.filter((of) => of.key).length, match[1]);
      last = match;
    } else if (match[0] === "{" || match[0] === "[") {
      open.push({ key });
      key = null;
    } else if (match[0] === "}" || match[0] === "]") open.pop();
    else key = null;
  }
  const path = open.map((of) => of.key).filter(Boolean);
  const typed = /"([\w.-]*)$/.exec(before);
  if (!typed || last?.index === typed.index) return null;
  const from = before.length - typed[1].length;
  if (key) return { path, types, word: typed[1], from: from - 1, value: [key], quote: '"' };
  return { path, types, word: typed[1], from, quote: '"' };
}
