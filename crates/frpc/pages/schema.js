// What the schema of the configuration says about a place in it.

import { get } from "./common/api.js";

let loading = null;

/** The schema; fetched once. */
export function loadSchema() {
  loading ??= get("api/schema").catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

/** A schema with its references followed. */
export function whole(root, schema) {
  let found = schema ?? {};
  for (const inner of found.allOf ?? []) found = { ...whole(root, inner), ...found };
  if (!found.$ref) return found;
  const target = found.$ref.replace(/^#\//, "").split("/").reduce((at, key) => at?.[key], root);
  return { ...whole(root, target), ...found };
}

/** The type that one of several forms is for. */
export const typeOf = (form) => form.properties?.type?.const;

/** The properties of a table; of all of its forms, or of the one for `type`. */
export function properties(root, schema, type) {
  const of = whole(root, schema);
  if (!of.oneOf) return of.properties ?? {};
  const forms = of.oneOf.map((form) => whole(root, form));
  const wanted = forms.filter((form) => typeOf(form) === type);
  const merged = Object.assign({}, ...(wanted.length > 0 ? wanted : forms).map((form) => form.properties));
  const types = forms.map(typeOf).filter(Boolean);
  return types.length > 0 ? { ...merged, type: { ...merged.type, const: undefined, enum: types } } : merged;
}

/** What stands at `path`; `typeAt(depth)` is the `type` that the table at that depth has. */
export function at(root, path, typeAt) {
  let here = root;
  for (let depth = 0; depth < path.length; depth += 1) {
    here = whole(root, properties(root, here, typeAt(depth))[path[depth]]);
    if (here.items) here = whole(root, here.items);
  }
  return here;
}

/** Keys below a table with dots, down to the values: [{key, schema}]. */
export function keysBelow(root, schema, type, depth = 4) {
  const found = [];
  for (const [key, inner] of Object.entries(properties(root, schema, type))) {
    const of = whole(root, inner);
    const below = properties(root, of, undefined);
    if (of.items?.oneOf || (of.items && whole(root, of.items).properties)) continue;
    if (depth > 0 && Object.keys(below).length > 0) {
      for (const deeper of keysBelow(root, of, undefined, depth - 1)) found.push({ ...deeper, key: `${key}.${deeper.key}` });
    } else found.push({ key, schema: of });
  }
  return found;
}

/** The values that one can choose from. */
export function choices(of) {
  if (of.enum) return of.enum.filter((value) => value !== "");
  if (of.type === "boolean") return [true, false];
  return of.const === undefined ? [] : [of.const];
}
