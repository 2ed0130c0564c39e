// Requests to the program that served this page.

import { t } from "./i18n.js";

/** Until an answer is given up, in milliseconds. */
const PATIENCE = 30_000;

/** An answer that is none. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    /** 0: nobody answered. */
    this.status = status;
  }
}

/** The address of `path`; relative, so that it holds behind a prefix. */
export function address(path, query) {
  const url = new URL(`../${path}`, document.baseURI);
  // Where they stood in the address of the page; the browser knows them by now.
  url.username = url.password = "";
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url.href;
}

/** Asks, and returns the answer's JSON, or its text where it has another type. */
export async function ask(method, path, { query, body, signal } = {}) {
  const patience = AbortSignal.timeout(PATIENCE);
  const headers = {};
  if (typeof body === "string") headers["Content-Type"] = "text/plain; charset=utf-8";
  else if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  let text;
  try {
    answer = await fetch(address(path, query), {
      method,
      headers,
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      cache: "no-store",
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, t(patience.aborted ? "error.slow" : "error.away"));
  }
  let value = text;
  if ((answer.headers.get("Content-Type") ?? "").includes("json")) {
    try { value = JSON.parse(text); } catch { throw new ApiError(answer.status, t("error.garbled")); }
  }
  if (answer.ok) return value;
  const said = value?.Msg ?? value?.msg ?? value?.error ?? (typeof value === "string" ? value.trim() : "");
  throw new ApiError(answer.status, said || t("error.status", { status: String(answer.status) }));
}

export const get = (path, options) => ask("GET", path, options);
export const post = (path, options) => ask("POST", path, options);
export const put = (path, options) => ask("PUT", path, options);
export const remove = (path, options) => ask("DELETE", path, options);

/** A part of a path. */
export const part = (text) => encodeURIComponent(text);
