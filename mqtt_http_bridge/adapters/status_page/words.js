// What numbers and times are called in front of people. Pure: values in, texts out.

const THIN = "\u202f"; // Keeps a number and its unit in one line.

// A number with three digits that count, and no more after the point than `most`.
function digits(value, most = 2) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return value.toFixed(Math.min(most, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2));
}

// [number, unit] in the largest unit that fits; null where nothing is known.
function scaled(value, units, least = 0) {
  if (value === null || value === undefined) return null;
  let n = least;
  let size = value;
  while (n + 1 < units.length && Math.abs(size) >= 999.5) {
    size /= 1000;
    n += 1;
  }
  return [digits(size, n === 0 && Math.abs(size) >= 100 ? 0 : n === 0 ? 1 : 2), units[n]];
}

const text = parts => (parts === null ? "unknown" : parts[0] + THIN + parts[1]);

export const powerParts = w => scaled(w, ["W", "kW", "MW", "GW"]);
export const power = w => text(powerParts(w));
export const energyParts = wh =>
  wh !== null && Math.abs(wh) < 10 ? [wh.toFixed(0), "Wh"] : scaled(wh, ["Wh", "kWh", "MWh", "GWh"]);
export const energy = wh => text(energyParts(wh));
export const bytes = n => text(n < 1000 ? [String(n), "B"] : scaled(n, ["B", "kB", "MB", "GB"]));
export const volts = v => text(v === null ? null : [v.toFixed(1), "V"]);

// A total as chargers tell it: to the hundredth of a kWh until it is long.
export function total(kwh) {
  if (kwh === null) return "unknown";
  return kwh >= 10000 ? energy(kwh * 1000) : kwh.toFixed(kwh >= 1000 ? 1 : 2) + THIN + "kWh";
}

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return s + THIN + "s";
  if (s < 7200) return Math.round(s / 60) + THIN + "min";
  if (s < 172800) return Math.round(s / 3600) + THIN + "h";
  return Math.round(s / 86400) + " days";
}

export const ago = (then, now) => (then === null ? "never" : span(now - then) + " ago");

export const counted = (count, one, many = one + "s") =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const two = n => String(n).padStart(2, "0");
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// A time of the day on the clock of who reads; with the day where that is another one than `now`'s.
export function clock(t, now = t) {
  const at = new Date(t * 1000);
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (midnight(t) === midnight(now)) return time;
  return `${DAYS[at.getDay()]} ${at.getDate()} ${MONTHS[at.getMonth()]} ${time}`;
}

// A text in which each of `times`, by its spelling, is on the clock of who reads.
export const local = (text, {times, now}) => Object.entries(times)
  .reduce((all, [said, t]) => all.replaceAll(said, clock(t, now)), text);

// The begin of the day in which `t` is, in Unix seconds.
export const midnight = t => new Date(t * 1000).setHours(0, 0, 0, 0) / 1000;
