// How numbers, sizes and times are written.

import { locale, t } from "./i18n.js";

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** Bytes, 1024-based as in frp. Three digits, so that the width hardly changes. */
export function bytes(count) {
  let value = Math.max(0, Number(count) || 0);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function rate(perSecond) {
  return `${bytes(perSecond)}/s`;
}

export function number(value) {
  return (Number(value) || 0).toLocaleString(locale());
}

/** Milliseconds of a round trip. */
export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return `${value < 10 ? Number(value).toFixed(1) : Math.round(value)} ms`;
}

/** A length of time in its two largest units. */
export function duration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [
    [Math.floor(seconds / 86400), "time.d"],
    [Math.floor(seconds / 3600) % 24, "time.h"],
    [Math.floor(seconds / 60) % 60, "time.m"],
    [seconds % 60, "time.s"],
  ];
  const from = parts.findIndex(([count]) => count > 0);
  if (from === -1 || from === 3) return t("time.s", { n: seconds });
  const [large, small] = [parts[from], parts[from + 1]];
  const whole = t(large[1], { n: large[0] });
  return small[0] === 0 ? whole : `${whole} ${t(small[1], { n: small[0] })}`;
}

const two = (n) => String(n).padStart(2, "0");

/** Day and time, here. */
export function moment(ms) {
  if (!ms) return "–";
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(ms)}`;
}

/** Time of day, here. */
export function clock(ms) {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A day in short; `text` is YYYY-MM-DD. */
export function day(text) {
  const [year, month, date] = String(text).split("-").map(Number);
  const weekday = new Date(year, month - 1, date).toLocaleDateString(locale(), { weekday: "short" });
  return `${weekday} ${two(month)}-${two(date)}`;
}
