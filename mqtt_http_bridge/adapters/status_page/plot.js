// Scales, ticks and paths of plots. Pure: numbers in, numbers and texts out; no page is known here.
//
// A series is a list of values over equal spans, the last of which ends at `ends`; null: not known.

const TIME_STEPS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200];

// The round numbers from 0 to `top`, `most` of them at most beside the 0.
export function ticks(top, most) {
  if (!(top > 0)) return [0];
  const size = 10 ** Math.floor(Math.log10(top / most));
  const step = [1, 2, 5, 10].map(n => n * size).find(each => top / each <= most);
  return Array.from({length: Math.floor(top / step + 1e-9) + 1}, (_, n) => n * step);
}

// The round times between two, `most` at most; `offset` is how far local time is ahead of UTC.
export function timeTicks(from, to, most, offset) {
  const step = TIME_STEPS.find(each => (to - from) / each <= most) ?? 86400;
  const found = [];
  for (let t = Math.ceil((from + offset) / step) * step - offset; t <= to; t += step) found.push(t);
  return found;
}

// A straight way from one range to another.
export function scale([from, to], [low, high]) {
  const factor = to === from ? 0 : (high - low) / (to - from);
  return value => low + (value - from) * factor;
}

// The stretches of a series in which all is known, as [first, last].
export function runs(values) {
  const found = [];
  values.forEach((value, n) => {
    if (value === null) return;
    if (n > 0 && found.length && found[found.length - 1][1] === n - 1) {
      found[found.length - 1][1] = n;
    } else {
      found.push([n, n]);
    }
  });
  return found;
}

// The series padded or cut at its begin to `length`.
export function fitted(values, length) {
  if (values.length >= length) return values.slice(values.length - length);
  return [...Array(length - values.length).fill(null), ...values];
}

// Appends what a newer series has to an older one that ended `shift` spans earlier.
export function merged(values, newer, shift, most) {
  const all = [...values, ...Array(shift).fill(null)];
  newer.forEach((value, n) => {
    const place = all.length - newer.length + n;
    if (place >= 0) all[place] = value;
  });
  return all.slice(-most);
}

// Each series on top of those before: [{lower, upper}], null where nothing of any is known. One that
// is not known beside others takes no room: what is drawn is the sum of those that are known.
export function stacked(all) {
  let sums = summed(all).map(value => (value === null ? null : 0));
  return all.map(values => {
    const lower = sums;
    const each = fitted(values, sums.length);
    sums = sums.map((sum, n) => (sum === null ? null : sum + Math.max(0, each[n] ?? 0)));
    return {lower, upper: sums};
  });
}

// The sum of all at each time; null where none is known.
export function summed(all) {
  const length = Math.max(0, ...all.map(values => values.length));
  const each = all.map(values => fitted(values, length));
  return Array.from({length}, (_, n) => each.reduce(
    (sum, values) => (values[n] === null ? sum : (sum ?? 0) + values[n]), null));
}

const point = (x, y) => `${x.toFixed(1)},${y.toFixed(1)}`;

// The corners of one stretch: it begins and ends with its spans, and goes through their middles.
function corners([first, last], values, x, y, edge) {
  const found = [point(edge(first), y(values[first]))];
  for (let n = first; n <= last; n += 1) found.push(point(x(n), y(values[n])));
  found.push(point(edge(last + 1), y(values[last])));
  return found;
}

// An SVG path along the values. `x` gives the middle of a span, `edge` its begin.
export function linePath(values, x, y, edge) {
  return runs(values).map(run => "M" + corners(run, values, x, y, edge).join("L")).join("");
}

// An SVG path around what is between two lines.
export function areaPath(lower, upper, x, y, edge) {
  return runs(upper).map(run => {
    const back = corners(run, lower, x, y, edge).reverse();
    return `M${corners(run, upper, x, y, edge).join("L")}L${back.join("L")}Z`;
  }).join("");
}

// The largest of a series: {value, place}, or null where nothing is known.
export function largest(values) {
  let found = null;
  values.forEach((value, place) => {
    if (value !== null && (found === null || value > found.value)) found = {value, place};
  });
  return found;
}

// The energy of the quarters that begin at `since` or later; they end at `end`, each `quarter` long.
export function gained(gains, end, quarter, since) {
  return gains.reduce((sum, gain, n) => {
    const begins = end - (gains.length - n) * quarter;
    return begins >= since && gain !== null ? sum + gain : sum;
  }, 0);
}
