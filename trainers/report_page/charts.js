"use strict";
// Charts drawn by hand: lines with bands, stacked shares, stacked bars; one cursor for all of them.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; texts become text nodes, so nothing that a model wrote is ever markup. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") node.style.cssText = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function s(tag, attributes = {}, text = null) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== null) node.textContent = text;
  return node;
}

function format(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 10000) return Math.round(value).toLocaleString("en-US");
  if (size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(size < 1 ? 3 : 4)));
}

function duration(seconds) {
  const total = Math.round(seconds), pad = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(total / 3600), minutes = Math.floor(total / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(total % 60)}` : `${minutes}:${pad(total % 60)}`;
}

const tip = document.getElementById("tip");
function showTip(content, x, y) {
  tip.replaceChildren(content);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, x + 16 + box.width > innerWidth ? x - box.width - 14 : x + 16)}px`;
  tip.style.top = `${Math.max(8, Math.min(y + 14, innerHeight - box.height - 8))}px`;
}
function hideTip() { tip.hidden = true; }

function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) {
    found.push(Math.abs(value) < step * 1e-9 ? 0 : Number(value.toPrecision(12)));
  }
  return found;
}

const cursors = [];  // one per chart: shows the cursor at a step, or hides it
let boundaries = []; // stages: {name, from} in global steps

/**
 * A chart as a card.
 * spec: title, hint, wide, kind ("line" | "stack" | "bars"), zero (include 0), range [low, high], domain [first, last],
 * series: [{name, color, points: [[x, y, low?, high?], ...], marks}]
 */
function chart(spec) {
  const series = spec.series.filter((one) => one.points.some((point) => point[1] !== null));
  if (!series.length) return null;
  const values = series.map((one) => h("b", {}, format(one.points.at(-1)[1])));
  const legend = h("div", { class: "legend" }, series.map((one, index) =>
    h("span", {}, h("i", { style: `background:${one.color}` }), one.name, values[index])));
  const holder = h("div");
  const card = h("div", { class: `card chart${spec.wide ? " wide" : ""}` },
    h("h3", {}, spec.title), spec.hint ? h("p", { class: "hint" }, spec.hint) : null, legend, holder);
  const steps = [...new Set(series.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
  const lookup = series.map((one) => new Map(one.points.map((point) => [point[0], point])));
  let drawn = null;

  function draw() {
    const width = Math.max(260, holder.clientWidth || 390), height = spec.wide ? 260 : 170;
    drawn = drawChart(spec, series, steps, lookup, width, height);
    holder.replaceChildren(drawn.svg);
    const move = (event) => {
      const box = drawn.svg.getBoundingClientRect();
      const at = drawn.invert(((event.clientX - box.left) / box.width) * width);
      const step = steps.reduce((best, one) => (Math.abs(one - at) < Math.abs(best - at) ? one : best), steps[0]);
      cursors.forEach((cursor) => cursor(step));
      showTip(tipFor(step), event.clientX, event.clientY);
    };
    drawn.svg.addEventListener("pointermove", move);
    drawn.svg.addEventListener("pointerdown", move);
    drawn.svg.addEventListener("pointerleave", () => { cursors.forEach((cursor) => cursor(null)); hideTip(); });
  }

  function tipFor(step) {
    const stage = boundaries.findLast((one) => one.from <= step);
    const rows = series.map((one, index) => [one, lookup[index].get(step)]).filter(([, point]) => point && point[1] !== null);
    return h("div", {}, h("div", { class: "head" }, `step ${step}${stage ? ` · ${stage.name}` : ""}`),
      h("table", {}, rows.map(([one, point]) => h("tr", {},
        h("td", {}, h("span", { class: "swatch", style: `background:${one.color}` }), one.name),
        h("td", {}, format(point[1]) + (point.length > 3 && point[2] !== null ? ` [${format(point[2])}, ${format(point[3])}]` : ""))))));
  }

  cursors.push((step) => {
    if (drawn) drawn.cursor(step);
    series.forEach((one, index) => {
      const point = step === null ? one.points.at(-1) : lookup[index].get(step);
      if (point) values[index].textContent = format(point[1]);
    });
  });
  const fit = () => { if (!drawn || Math.abs(drawn.width - holder.clientWidth) > 1) draw(); };
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(holder);
  return card;
}

function extent(spec, series, steps, lookup) {
  if (spec.range) return spec.range;
  if (spec.kind && spec.kind !== "line") {
    const sums = steps.map((step) => lookup.reduce((sum, points) => sum + (points.get(step)?.[1] ?? 0), 0));
    return [0, Math.max(...sums) * 1.04 || 1];
  }
  const all = series.flatMap((one) => one.points.flatMap((point) => point.slice(1))).filter((value) => value !== null);
  let low = all.reduce((a, b) => Math.min(a, b)), high = all.reduce((a, b) => Math.max(a, b));
  if (spec.zero) { low = Math.min(0, low); high = Math.max(0, high); }
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [spec.zero && low === 0 ? 0 : low - room, high + room];
}

function drawChart(spec, series, steps, lookup, width, height) {
  const [low, high] = extent(spec, series, steps, lookup);
  const marks = ticks(low, high, spec.wide ? 5 : 4), labels = marks.map(format);
  const left = Math.max(...labels.map((label) => label.length)) * 6.4 + 10, right = 10, top = 14, bottom = 22;
  const [first, last] = spec.domain ?? [steps[0], steps.at(-1) === steps[0] ? steps[0] + 1 : steps.at(-1)];
  const pad = spec.kind === "bars" ? (width - left - right) / steps.length / 2 : 0;
  const x = (step) => left + pad + ((step - first) / (last - first)) * (width - left - right - 2 * pad);
  const y = (value) => top + (1 - (value - low) / (high - low)) * (height - top - bottom);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": spec.title });
  marks.forEach((mark, index) => {
    svg.append(s("line", { class: "gridline", x1: left, x2: width - right, y1: y(mark), y2: y(mark) }),
      s("text", { x: left - 6, y: y(mark) + 4, "text-anchor": "end" }, labels[index]));
  });
  for (const mark of ticks(first, last, Math.max(3, Math.floor(width / 75))).filter(Number.isInteger)) {
    svg.append(s("text", { x: x(mark), y: height - 6, "text-anchor": "middle" }, String(mark)));
  }
  for (const stage of boundaries.slice(1)) {
    if (stage.from <= first || stage.from > last) continue;
    const at = x(stage.from - 0.5);
    svg.append(s("line", { class: "boundary", x1: at, x2: at, y1: top - 8, y2: height - bottom }),
      s("text", { x: at + 4, y: top - 3 }, stage.name));
  }
  if (spec.kind === "stack") drawStack(svg, series, steps, lookup, x, y);
  else if (spec.kind === "bars") drawBars(svg, series, steps, lookup, x, y, Math.max(1, (2 * pad) * 0.82));
  else series.forEach((one) => drawLine(svg, one, x, y));
  svg.append(s("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  const line = s("line", { class: "cursor", y1: top, y2: height - bottom, visibility: "hidden" });
  svg.append(line);
  return {
    svg, width,
    invert: (at) => first + ((at - left - pad) / (width - left - right - 2 * pad)) * (last - first),
    cursor: (step) => {
      const inside = step !== null && step >= first && step <= last;
      line.setAttribute("visibility", inside ? "visible" : "hidden");
      if (inside) { line.setAttribute("x1", x(step)); line.setAttribute("x2", x(step)); }
    },
  };
}

function drawLine(svg, one, x, y) {
  const points = one.points.filter((point) => point[1] !== null);
  const banded = points.filter((point) => point.length > 3 && point[2] !== null);
  if (banded.length > 1) {
    const edge = banded.map((point) => `${x(point[0])},${y(point[3])}`).concat(
      banded.toReversed().map((point) => `${x(point[0])},${y(point[2])}`));
    svg.append(s("polygon", { points: edge.join(" "), fill: one.color, opacity: 0.15 }));
  }
  const few = points.length < 30 && one.marks;
  if (few) banded.forEach((point) => svg.append(s("line",
    { x1: x(point[0]), x2: x(point[0]), y1: y(point[2]), y2: y(point[3]), stroke: one.color, "stroke-width": 1.5, opacity: 0.6 })));
  svg.append(s("polyline", { points: points.map((point) => `${x(point[0])},${y(point[1])}`).join(" "), fill: "none",
    stroke: one.color, "stroke-width": 1.8, "stroke-linejoin": "round", "stroke-linecap": "round" }));
  if (few || points.length === 1) points.forEach((point) => svg.append(s("circle",
    { cx: x(point[0]), cy: y(point[1]), r: 3.6, fill: one.color, stroke: "var(--card)", "stroke-width": 1.5 })));
}

function drawStack(svg, series, steps, lookup, x, y) {
  let floor = steps.map(() => 0);
  series.forEach((one, index) => {
    const roof = steps.map((step, place) => floor[place] + (lookup[index].get(step)?.[1] ?? 0));
    const edge = steps.map((step, place) => `${x(step)},${y(roof[place])}`).concat(
      steps.map((step, place) => `${x(step)},${y(floor[place])}`).reverse());
    svg.append(s("polygon", { points: edge.join(" "), fill: one.color, opacity: 0.82 }));
    floor = roof;
  });
}

function drawBars(svg, series, steps, lookup, x, y, width) {
  steps.forEach((step) => {
    let floor = 0;
    series.forEach((one, index) => {
      const value = lookup[index].get(step)?.[1] ?? 0;
      if (value > 0) svg.append(s("rect", { x: x(step) - width / 2, width, y: y(floor + value),
        height: Math.max(0.5, y(floor) - y(floor + value)), fill: one.color, opacity: 0.9 }));
      floor += value;
    });
  });
}
