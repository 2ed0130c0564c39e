// Charts: lines of the last ten minutes on a canvas, bars of a week in SVG.

import { h, svg } from "./dom.js";
import { t } from "./i18n.js";
import { duration, rate } from "./format.js";
import { SAMPLES } from "./live.js";

/**
 * A chart of live samples. `lines`: [{key, label, color (a class), area}], `format` writes a value,
 * `describe(last, top)` says in words what is drawn; `base` is that of the values' units.
 */
export function lineChart({ title, lines, format, base = 1024, describe, live, signal }) {
  const canvas = h("canvas", { role: "img", tabindex: "0", "aria-label": title });
  const values = lines.map(() => h("b", { class: "num" }, "–"));
  const swatches = lines.map((line) => h("i", { class: `swatch ${line.color}` }));
  const hint = h("p", { class: "chart-hint muted" }, t("chart.waiting"));
  const when = h("span", { class: "muted" }, t("chart.minutes"));
  const figure = h("section", { class: "card chart" },
    h("div", { class: "card-head" }, h("h2", null, title), when,
      h("ul", { class: "legend" }, lines.map((line, i) => h("li", null, swatches[i], `${line.label} `, values[i])))),
    h("div", { class: "canvas" }, canvas, hint));
  let pointed = -1;
  let queued = 0;
  let described = 0;

  const draw = () => {
    queued = 0;
    const samples = live.samples;
    const { width, height } = canvas.getBoundingClientRect();
    if (width === 0) return;
    const scale = devicePixelRatio || 1;
    const [w, tall] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== w || canvas.height !== tall) [canvas.width, canvas.height] = [w, tall];
    const g = canvas.getContext("2d");
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, height);
    const style = getComputedStyle(figure);
    const muted = getComputedStyle(when).color;
    g.font = `11px ${style.fontFamily}`;
    const box = { left: 8, right: width - 64, top: 10, bottom: height - 20 };
    const top = nice(samples.reduce((most, s) => Math.max(most, ...(s ? lines.map((l) => s[l.key]) : [0])), 0), base);
    const x = (i) => box.right - ((samples.length - 1 - i) / (SAMPLES - 1)) * (box.right - box.left);
    const y = (value) => box.bottom - (value / top) * (box.bottom - box.top);
    // The grid.
    g.strokeStyle = muted;
    g.fillStyle = muted;
    g.lineWidth = 1;
    g.textBaseline = "middle";
    g.textAlign = "left";
    for (const share of [0, 0.5, 1]) {
      const at = Math.round(y(top * share)) + 0.5;
      g.globalAlpha = 0.25;
      g.beginPath();
      g.moveTo(box.left, at);
      g.lineTo(box.right, at);
      g.stroke();
      g.globalAlpha = 1;
      g.fillText(format(top * share), box.right + 6, at);
    }
    g.textBaseline = "alphabetic";
    g.fillText(t("ago", { time: duration(SAMPLES * 1000) }), box.left, height - 5);
    g.textAlign = "right";
    g.fillText(t("chart.now"), box.right, height - 5);
    // The lines.
    lines.forEach((line, n) => {
      g.strokeStyle = getComputedStyle(swatches[n]).color;
      g.fillStyle = g.strokeStyle;
      g.lineWidth = 1.5;
      g.lineJoin = "round";
      for (const [from, to] of runs(samples)) {
        g.beginPath();
        for (let i = from; i < to; i += 1) g.lineTo(x(i), y(samples[i][line.key]));
        g.stroke();
        g.lineTo(x(to - 1), box.bottom);
        g.lineTo(x(from), box.bottom);
        g.globalAlpha = 0.12;
        g.fill();
        g.globalAlpha = 1;
      }
    });
    const at = samples[pointed] ? pointed : -1;
    if (at >= 0) {
      g.strokeStyle = muted;
      g.beginPath();
      g.moveTo(Math.round(x(at)) + 0.5, box.top);
      g.lineTo(Math.round(x(at)) + 0.5, box.bottom);
      g.stroke();
    }
    const last = samples.at(-1) ?? null;
    const picked = at >= 0 ? samples[at] : last;
    lines.forEach((line, n) => { values[n].textContent = picked ? format(picked[line.key]) : "–"; });
    when.textContent = at >= 0
      ? t("ago", { time: duration((samples.length - 1 - at) * 1000) })
      : t("chart.minutes");
    hint.hidden = samples.length > 0;
    // Read when somebody comes to it; not each second.
    if (last && Date.now() - described > 5_000) {
      described = Date.now();
      canvas.setAttribute("aria-label", describe(last, Math.max(...samples.map((s) => (s ? Math.max(...lines.map((l) => s[l.key])) : 0)))));
    }
  };
  const soon = () => { queued ||= requestAnimationFrame(draw); };
  const point = (event) => {
    const { left, width } = canvas.getBoundingClientRect();
    const share = (event.clientX - left - 8) / Math.max(1, width - 72);
    const at = live.samples.length - 1 - Math.round((1 - share) * (SAMPLES - 1));
    pointed = at >= 0 && at < live.samples.length ? at : -1;
    soon();
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", () => { pointed = -1; soon(); });
  canvas.addEventListener("blur", () => { pointed = -1; soon(); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60 }[event.key];
    if (!step) return;
    event.preventDefault();
    const count = live.samples.length;
    pointed = Math.min(count - 1, Math.max(0, (pointed < 0 ? count - 1 : pointed) + step));
    soon();
  });
  const sizes = new ResizeObserver(soon);
  sizes.observe(canvas);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", soon, { signal });
  document.addEventListener("themechange", soon, { signal });
  live.listen(soon, signal);
  signal.addEventListener("abort", () => {
    sizes.disconnect();
    cancelAnimationFrame(queued);
  }, { once: true });
  return figure;
}

/** From where to where there are samples without a gap. */
function runs(samples) {
  const found = [];
  let from = -1;
  for (let i = 0; i <= samples.length; i += 1) {
    if (samples[i]) {
      if (from < 0) from = i;
    } else if (from >= 0) {
      found.push([from, i]);
      from = -1;
    }
  }
  return found;
}

/** A round number that is not below `most`; at least 4, so that an idle chart has a scale. */
function nice(most, base) {
  const wanted = Math.max(most, 4);
  const unit = wanted < base ? 1 : base ** Math.floor(Math.log(wanted) / Math.log(base));
  const power = unit * 10 ** Math.floor(Math.log10(wanted / unit));
  for (const factor of [1, 2, 4, 5, 10]) if (factor * power >= wanted) return Math.round(factor * power / unit) >= 1000 ? unit * base : factor * power;
  return unit * base;
}

/** The traffic of the last minutes, each way. */
export function trafficChart(view) {
  return lineChart({
    title: t("chart.traffic"),
    lines: [
      { key: "in", label: t("chart.in"), color: "in" },
      { key: "out", label: t("chart.out"), color: "out" },
    ],
    format: rate,
    describe: (last, top) => t("chart.traffic.now", { in: rate(last.in), out: rate(last.out), top: rate(top) }),
    ...view,
  });
}

/** Bars of days: [{label, in, out}]; their numbers are to stand in a table beside them. */
export function dayBars({ label, days, format }) {
  const [width, height, floor] = [560, 150, 126];
  const top = nice(Math.max(0, ...days.map((d) => Math.max(d.in, d.out))), 1024);
  const each = width / Math.max(1, days.length);
  const bar = (day, i, key, shift) => {
    const tall = Math.max(day[key] > 0 ? 1.5 : 0, (day[key] / top) * (floor - 14));
    return svg("rect", {
      class: `bar ${key}`, x: i * each + each / 2 + shift, y: floor - tall, width: Math.min(22, each / 3), height: tall, rx: 2,
    }, svg("title", null, `${day.label}: ${format(day[key])}`));
  };
  const thick = Math.min(22, each / 3);
  return svg("svg", { class: "bars", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("line", { class: "axis", x1: 0, x2: width, y1: floor + 0.5, y2: floor + 0.5 }),
    ...days.flatMap((day, i) => [
      bar(day, i, "in", -thick - 1),
      bar(day, i, "out", 1),
      (() => {
        const text = svg("text", { x: i * each + each / 2, y: height - 7, "text-anchor": "middle" });
        text.textContent = day.label;
        return text;
      })(),
    ]));
}
