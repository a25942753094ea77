// Draws plots of power, and tells the values under a finger, the pointer or the arrow keys.

import {make, makeSvg, say, set, show} from "./dom.js";
import {areaPath, largest, linePath, scale, stacked, summed, ticks, timeTicks} from "./plot.js";
import {clock, power} from "./words.js";

const REM = parseFloat(getComputedStyle(document.documentElement).fontSize);
const BELOW = 1.4 * REM; // Room for the clock times, in CSS pixels.
const ABOVE = 0.6 * REM;
const BESIDE = 3.4 * REM; // Room for the power.
export const MOST_LAYERS = 8;
const MOST_TOLD = 9;

// A plot in `host`. `label` says of what; with `isSmall` it has fewer marks.
export class Plot {
  constructor(host, label, isSmall) {
    this.label = label;
    this.isSmall = isSmall;
    this.data = null;
    this.svg = makeSvg("svg", {"aria-hidden": "true"});
    this.tip = make("div", "tip");
    this.tip.hidden = true;
    this.box = make("div", isSmall ? "plot small" : "plot", this.svg, this.tip);
    this.most = make("p", "most faint");
    host.append(this.box, this.most);
    for (const [name, value] of [["tabindex", 0], ["role", "slider"], ["aria-label", label],
      ["aria-valuemin", 0], ["aria-valuenow", 0]]) this.box.setAttribute(name, value);
    this.box.addEventListener("pointermove", event => this.point(event));
    this.box.addEventListener("pointerdown", event => this.point(event));
    this.box.addEventListener("pointerleave", () => this.leave());
    this.box.addEventListener("blur", () => this.leave());
    this.box.addEventListener("keydown", event => this.press(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  // `layers` are [{name, values}], the lowest first; `live` is their sum at `now`.
  update(data) {
    this.data = data;
    this.draw();
  }

  draw() {
    const width = Math.round(this.box.clientWidth);
    const height = Math.round(this.box.clientHeight);
    if (!this.data || width < 60) return;
    const {layers, span, ends, now} = this.data;
    const sum = summed(layers.map(layer => layer.values));
    const begin = sum.findIndex(value => value !== null);
    show(this.box, begin >= 0);
    if (begin < 0) return say(this.most, "The plot begins with the first measurement.");
    const peak = largest(sum);
    const top = Math.max(1, peak.value);
    const from = ends - (sum.length - begin) * span;
    const x = scale([from, Math.max(now, from + span)], [BESIDE, width - 1]);
    const y = scale([0, top], [height - BELOW, ABOVE]);
    const at = n => ends - (sum.length - n) * span;
    const middle = n => x(Math.min((at(n) + Math.min(at(n + 1), now)) / 2, now));
    const edge = n => x(Math.max(from, Math.min(at(n), now)));
    this.box.dataset.layers = layers.length;
    this.found = {sum, begin, from, at, middle, y, width, height};
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(
      ...this.axes(top, x, y, from, now, width, height),
      ...stacked(layers.map(layer => layer.values)).map(({lower, upper}, n) =>
        makeSvg("path", {class: `area c${n}`, d: areaPath(lower, upper, middle, y, edge)})),
      makeSvg("path", {class: "line", d: linePath(sum, middle, y, edge)}),
      this.cross = makeSvg("g", {class: "cross"}));
    say(this.most, `Most: ${power(peak.value)} at ${clock(at(peak.place) + span / 2, now)}`);
    set(this.box, "aria-valuemax", sum.length - 1 - begin);
    this.tell(this.place ?? sum.length - 1, this.place !== undefined);
  }

  axes(top, x, y, from, now, width, height) {
    const found = [];
    for (const value of ticks(top, this.isSmall ? 3 : 5)) {
      const line = y(value).toFixed(1);
      found.push(makeSvg("path", {class: value ? "grid" : "ground", d: `M${BESIDE},${line}H${width}`}));
      const label = makeSvg("text", {x: BESIDE - 8, y: +line + REM / 4, "text-anchor": "end"});
      label.textContent = value === 0 ? "0" : power(value).replace(/\.0+(?=\D|$)|(\.\d*?)0+(?=\D|$)/, "$1");
      found.push(label);
    }
    const most = Math.max(1, Math.floor((width - BESIDE) / (4 * REM)));
    const offset = -new Date(now * 1000).getTimezoneOffset() * 60;
    for (const t of timeTicks(from, now, Math.min(most, this.isSmall ? 4 : 12), offset)) {
      const place = x(t);
      found.push(makeSvg("path", {class: "tick", d: `M${place.toFixed(1)},${height - BELOW}v4`}));
      if (place < BESIDE + REM || place > width - 1.2 * REM) continue;
      const label = makeSvg("text", {x: place.toFixed(1), y: height - 4, "text-anchor": "middle"});
      label.textContent = clock(t);
      found.push(label);
    }
    return found;
  }

  // The values at one place, with a mark if somebody points at it.
  tell(wanted, isPointed) {
    const {sum, begin, at, middle, y, width, height} = this.found;
    const {layers, span, now} = this.data;
    const place = Math.min(Math.max(wanted, begin), sum.length - 1);
    const time = clock(at(place) + span / 2, now);
    const value = sum[place] === null ? "nothing known" : power(sum[place]);
    set(this.box, "aria-valuenow", place - begin);
    set(this.box, "aria-valuetext", `${time}: ${value}`);
    show(this.tip, isPointed);
    this.cross.replaceChildren();
    if (!isPointed) return;
    const left = middle(place);
    this.cross.append(makeSvg("path", {d: `M${left.toFixed(1)},${ABOVE}V${height - BELOW}`}));
    if (sum[place] !== null) {
      this.cross.append(makeSvg("circle", {cx: left.toFixed(1), cy: y(sum[place]).toFixed(1), r: 4}));
    }
    const rows = layers.length < 2 ? [] : layers.map((layer, n) => ({
      name: layer.name, n, value: layer.values[layer.values.length - sum.length + place] ?? null,
    })).filter(row => row.value !== null).sort((a, b) => b.value - a.value).slice(0, MOST_TOLD);
    this.tip.replaceChildren(make("p", "", make("span", "faint", time), make("b", "", value)),
      ...rows.map(row => make("p", "", make("i", `key c${row.n}`), make("span", "name", row.name),
        make("span", "", power(row.value)))));
    const half = this.tip.offsetWidth / 2;
    const centre = Math.min(Math.max(left, half + 2), Math.max(width - half - 2, half + 2));
    this.tip.style.setProperty("left", `${Math.round(centre - half)}px`);
  }

  point(event) {
    if (!this.found) return;
    const {sum, begin, middle} = this.found;
    const left = event.clientX - this.box.getBoundingClientRect().left;
    let best = begin;
    for (let n = begin; n < sum.length; n += 1) {
      if (Math.abs(middle(n) - left) < Math.abs(middle(best) - left)) best = n;
    }
    this.place = best;
    this.tell(best, true);
  }

  press(event) {
    const steps = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10,
      PageDown: -10, Home: -Infinity, End: Infinity};
    const step = steps[event.key];
    if (!this.found || (step === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    if (step === undefined) return this.leave();
    const {sum, begin} = this.found;
    this.place = Math.min(Math.max((this.place ?? sum.length - 1) + step, begin), sum.length - 1);
    this.tell(this.place, true);
  }

  leave() {
    this.place = undefined;
    if (this.found) this.tell(this.found.sum.length - 1, false);
  }
}

// A plot without marks, as large as a word.
export function spark(svg, values) {
  const known = values.findIndex(value => value !== null);
  const top = largest(values)?.value ?? 0;
  if (known < 0) return svg.replaceChildren();
  const x = scale([known, values.length], [0, 100]);
  const y = scale([0, Math.max(1, top)], [23, 2]);
  const middle = n => x(n + 0.5);
  const ground = values.map(value => (value === null ? null : 0));
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(
    makeSvg("path", {class: "area c0", d: areaPath(ground, values, middle, y, x)}),
    makeSvg("path", {class: "line", d: linePath(values, middle, y, x)}));
}
