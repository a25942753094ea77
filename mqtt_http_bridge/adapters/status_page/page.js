// The page of one service: asks it every two seconds, and shows what has changed.

import {MOST_LAYERS, Plot} from "./chart.js";
import {isKnown, showChargers} from "./chargers.js";
import {facts, keyed, make, say, sayNamed, sayParts, set, show} from "./dom.js";
import {fitted, gained, largest, merged, summed} from "./plot.js";
import {ago, bytes, clock, counted, energyParts, local, midnight, power, powerParts, span} from "./words.js";

const EVERY_MS = 2000;
const PATIENCE_MS = 8000;
const SHARE = 10; // A service that takes long to answer is asked so many times less often.
const MOST_STACKED = 24; // Chargers of which some have a colour of their own.
const LATE_S = 300; // So much after midnight a day is still told of as whole.
const $ = id => document.getElementById(id);

let doc = null; // What status.json told last,
let answered = null; // and when.
let past = null; // What history.json told, and all that came later.
let days = new Map(); // By serial: the values of a plot, and the energy of the day.
let plot = null;

// --- asking ---

async function ask(name) {
  const response = await fetch(name, {signal: AbortSignal.timeout(PATIENCE_MS)});
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.json();
}

async function refresh() {
  const began = performance.now();
  try {
    const [found] = await Promise.all([ask("status.json"), past ?? loadPast()]);
    if (isPastOld(found)) await refreshPast(found);
    doc = found;
    answered = Date.now();
    const chargers = reckon();
    document.body.classList.remove("stale");
    showVerdict(chargers);
    showAll(chargers);
    if (!performance.getEntriesByName("shown").length) performance.mark("shown");
  } catch (error) {
    const isOurs = doc && answered && !(error instanceof TypeError || error instanceof DOMException);
    if (isOurs) console.error(error);
    showGone(isOurs);
  }
  const wait = Math.max(EVERY_MS, SHARE * (performance.now() - began));
  if (document.hidden) document.addEventListener("visibilitychange", refresh, {once: true});
  else setTimeout(refresh, wait);
}

const newest = found => Math.max(0, ...found.gx.map(gx => gx.measured ?? 0));

// Something was measured since, and long enough ago to show in a plot.
function isPastOld(found) {
  if (past.asked === undefined) Object.assign(past, {asked: found.now, measured: newest(found)});
  if (found.now < past.asked) return true;
  return newest(found) > past.measured && found.now - past.asked >= Math.min(30, past.span_s / 2);
}

async function loadPast() {
  past = await ask("history.json");
}

// Asks for what is new, or for all if that is not enough.
async function refreshPast(found) {
  const newer = await ask("history-recent.json");
  if (isEnough(newer)) {
    const shift = (newer.ends - past.ends) / newer.span_s;
    const quarters = (newer.quarters_end - past.quarters_end) / newer.quarter_s;
    for (const [serial, each] of Object.entries(newer.chargers)) {
      const known = past.chargers[serial];
      past.chargers[serial] = known ? {...each,
        power_w: merged(known.power_w, each.power_w, shift, past.slots),
        gains_wh: merged(known.gains_wh, each.gains_wh, quarters, past.quarters),
      } : each;
    }
    for (const serial of Object.keys(past.chargers)) {
      if (!(serial in newer.chargers)) delete past.chargers[serial];
    }
    Object.assign(past, {ends: newer.ends, quarters_end: newer.quarters_end});
  } else {
    await loadPast();
  }
  Object.assign(past, {asked: found.now, measured: newest(found)});
}

function isEnough(newer) {
  const spans = (newer.ends - past.ends) / newer.span_s;
  return newer.span_s === past.span_s && newer.since === past.since && spans >= 0 &&
    spans < newer.recent_slots;
}

// --- reckoning ---

function reckon() {
  const morning = midnight(doc.now);
  const chargers = doc.gx.flatMap(gx => gx.chargers.map(charger => Object.assign(charger, {
    gx, key: `${gx.portal_id}/${charger.id}`,
    text: [charger.name, charger.serial, charger.product, charger.state, charger.mood, charger.id,
      gx.name, gx.portal_id].join(" ").toLowerCase(),
  })));
  // A charger that lives on PV power alone leaves the bus at night.
  const heard = chargers.filter(charger => charger.gx.live);
  doc.isNight = heard.some(charger => charger.mood === "asleep") &&
    heard.every(charger => ["asleep", "ignored", "lost"].includes(charger.mood));
  for (const charger of chargers) {
    if (doc.isNight && charger.mood === "lost") Object.assign(charger, {trouble: "", fix: ""});
  }
  // Latin names need no care.
  doc.names = [...new Set([...doc.gx, ...chargers].map(each => each.name))]
    .filter(name => /[^\0-\u058f]/.test(name)).sort((a, b) => b.length - a.length);
  const now = new Map(chargers.map(charger => [charger.serial, charger]));
  const known = Object.entries(past.chargers);
  const length = Math.max(0, ...known.map(([, each]) => each.power_w.length));
  const grid = {span: past.span_s, ends: past.ends, now: doc.now};
  days = new Map(known.map(([serial, each]) => {
    const more = ((now.get(serial)?.total_kwh ?? each.total_kwh) - each.total_kwh) * 1000;
    const isLate = each.since > morning + LATE_S;
    return [serial, {
      grid,
      values: days.get(serial)?.from === each.power_w ? days.get(serial).values
        : fitted(each.power_w, length),
      from: each.power_w,
      today: gained(each.gains_wh, past.quarters_end, past.quarter_s, morning) +
        Math.max(0, more || 0),
      since: isLate ? ` since ${clock(each.since)}` : "",
    }];
  }));
  return chargers;
}

// The layers of the plant: the chargers that yield the most, and the others as one. Where there are
// too many to tell apart, the GX devices; where there are too many of those, the whole.
function layers(chargers) {
  const names = new Map(chargers.map(charger => [charger.serial, charger.name]));
  const all = [...days].map(([serial, day]) => ({
    name: names.get(serial) ?? serial, values: day.values,
    weight: day.values.reduce((sum, value) => sum + (value ?? 0), 0),
  })).sort((a, b) => b.weight - a.weight);
  if (all.length <= MOST_LAYERS) return all;
  if (all.length > MOST_STACKED) {
    const bySerial = found => found.map(each => days.get(each.serial)?.values).filter(Boolean);
    if (doc.gx.length > MOST_LAYERS || doc.gx.length < 2) {
      return [{name: "all chargers", values: summed(all.map(layer => layer.values))}];
    }
    return doc.gx.map(gx => ({name: gx.name, values: summed(bySerial(gx.chargers))}));
  }
  const others = all.slice(MOST_LAYERS - 1);
  const sum = summed(others.map(layer => layer.values));
  return [...all.slice(0, MOST_LAYERS - 1), {name: `${others.length} others`, values: sum}];
}

// --- showing ---

function showAll(chargers) {
  for (const id of ["figures", "behind"]) show($(id), true);
  show($("chargers"), doc.gx.length > 0);
  say($("about"), `version ${doc.version} · up for ${doc.up_for}`);
  showFigures(chargers);
  showTold($("problems"), doc.problems);
  showTold($("notes"), doc.notes);
  show($("trouble"), doc.problems.length + doc.notes.length > 0);
  showPlant(chargers);
  showChargers(doc, chargers, days, $("filter").value);
  showBackend();
  showOutbox();
  showChanges();
}

function verdict(chargers) {
  const heard = chargers.filter(charger => charger.gx.live);
  if (doc.over) return ["wait", "The recording is over", `It stays as it was at the end, at ${clock(doc.now)}.`];
  if (!doc.well && doc.starting) return ["wait", "Starting …", "The service has just started."];
  if (!doc.well) {
    const count = doc.problems.length;
    return ["bad", count === 1 ? "Not well: one thing is wrong" : `Not well: ${count} things are wrong`,
      "What to do about it is said below. What is measured meanwhile is kept."];
  }
  const stored = "Every GX is heard, measured and stored";
  if (doc.notes.length) return ["look", ...doc.heading];
  if (doc.isNight) return ["night", "All is well", "No sun: every charger is asleep."];
  const lost = heard.filter(charger => charger.mood === "lost").length;
  const isTroubled = heard.some(charger => charger.trouble);
  if (lost || isTroubled) {
    return ["look", "All is stored, but look at this",
      `${stored}; ${lost ? `${counted(lost, "charger")} lost` : "see the chargers below"}.`];
  }
  if (!chargers.length) return ["good", "All is well", "There is no charger to report."];
  return ["good", "All is well", `${stored}.`];
}

function showVerdict(chargers) {
  const [tone, text, more] = verdict(chargers);
  set($("hero"), "data-tone", tone);
  say($("verdict"), text);
  say($("verdict-more"), more);
  document.title = tone === "bad" ? "Not well – mqtt-http-bridge" : "mqtt-http-bridge";
}

function showFigures(chargers) {
  const known = chargers.filter(isKnown);
  const sum = known.length ? known.reduce((all, charger) => all + charger.power_w, 0) : null;
  sayParts($("power"), powerParts(sum));
  const unknown = chargers.filter(c => c.mood !== "lost" && c.mood !== "asleep").length -
    known.filter(c => c.mood !== "lost" && c.mood !== "asleep").length;
  const all = summed([...days.values()].map(day => day.values));
  const peak = largest(all);
  const peaked = peak && past.ends - (all.length - peak.place - 0.5) * past.span_s;
  say($("power-more"), unknown > 0 ? `${counted(unknown, "charger")} not known`
    : peak && sum !== null && peak.value > sum ? `most ${power(peak.value)} at ${clock(peaked, doc.now)}` : "");
  const whole = [...days.values()].reduce((all, day) => all + day.today, 0);
  sayParts($("today"), days.size ? energyParts(whole) : null);
  const isLate = past.since !== null && past.since > midnight(doc.now) + LATE_S;
  say($("today-more"), !days.size ? "" : isLate ? `since ${clock(past.since)}` : "since midnight");
  showCounts(chargers);
  const stored = Math.max(...doc.gx.map(gx => gx.stored ?? 0), 0) || null;
  say($("stored"), stored === null ? "not yet" : ago(stored, doc.now));
  const isLate2 = doc.gx.some(gx => gx.well === false);
  say($("stored-more"), stored === null ? "since the start" : isLate2 ? "see below" : "at the backend");
  say($("waiting"), doc.outbox.waiting.toLocaleString("en"));
  const oldest = Math.max(0, ...doc.gx.map(gx => gx.owed_age_s));
  say($("waiting-more"), doc.outbox.waiting ? `the oldest for ${span(oldest)}`
    : parkedWords() || "nothing is owed");
}

const MOODS = [["producing", "producing"], ["idle", "idle"], ["asleep", "asleep"], ["lost", "lost"],
  ["left_out", "left out"], ["settling", "starting"], ["ignored", "ignored"]];

function showCounts(chargers) {
  const heard = chargers.filter(charger => charger.gx.live);
  const counts = MOODS.map(([mood, word]) => [heard.filter(c => c.mood === mood).length, word])
    .concat([[chargers.length - heard.length, "not heard"]]).filter(([count]) => count);
  const [first, ...others] = counts;
  if (!first) say($("counts"), "none");
  else sayParts($("counts"), [String(first[0]), first[1]]);
  const rest = others.map(([count, word]) => `${count} ${word}`).join(" · ");
  say($("counts-more"), rest || (doc.gx.length > 1 ? `of ${doc.gx.length} GX devices` : ""));
}

function showTold(list, told) {
  keyed(list, told, each => `${each.kind} ${each.subject} ${each.fix} ${each.text.replace(/\d+/g, "#")}`,
    () => make("li", "card", make("p", "subject"), make("p", "text"), make("p", "fix")),
    (node, each) => {
      const [subject, text, fix] = node.children;
      show(subject, each.subject !== "");
      say(subject, each.subject);
      sayNamed(text, local(each.text, doc), doc.names);
      say(fix, `To fix it: ${each.fix}`);
    });
}

function showPlant(chargers) {
  show($("plant"), days.size > 0);
  if (!days.size) return;
  plot ??= new Plot($("plant-plot"), "Power of all chargers", false);
  const found = layers(chargers);
  plot.update({span: past.span_s, ends: past.ends, now: doc.now, layers: found});
  keyed($("legend"), found.length > 1 ? found : [], layer => layer.name,
    () => make("li", "", make("i", "key"), make("span", "name")),
    (node, layer) => {
      node.firstElementChild.className = `key c${found.indexOf(layer)}`;
      say(node.lastElementChild, layer.name);
    });
}

function showBackend() {
  const {backend} = doc;
  const isOwing = doc.problems.some(each => ["not_stored", "parked", "owed_for_long"].includes(each.kind));
  const isGood = backend.taking && !isOwing && doc.well;
  say($("backend-says"), backend.answered === null ? "nothing sent yet"
    : !backend.taking ? "takes nothing" : isOwing ? "answers, and has not stored all" : "stores measurements");
  $("backend-says").className = isGood ? "good" : "";
  show($("backend-reason"), backend.reason !== "");
  say($("backend-reason"), backend.reason);
  facts($("backend").querySelector("dl"), [
    ["last answer", backend.status === null ? "none" : `HTTP ${backend.status}`],
    ["tried", ago(backend.answered, doc.now)],
    ...Object.entries(backend.posts).map(([result, count]) =>
      [`POSTs ${result === "partly" ? "stored in part" : result}`, count.toLocaleString("en")]),
    ["measurements made", doc.measurements.toLocaleString("en")],
  ]);
}

function parkedWords() {
  const count = doc.outbox.parked_devices;
  return count ? `reports of ${counted(count, "charger")} are parked` : "";
}

function showOutbox() {
  const {outbox} = doc;
  say($("outbox-says"), outbox.fault || (outbox.waiting ? `${counted(outbox.waiting, "measurement")} waiting`
    : parkedWords() || "empty: nothing waits"));
  facts($("outbox").querySelector("dl"), [
    ["in memory only", outbox.in_memory || null],
    ["oldest", outbox.oldest && clock(outbox.oldest, doc.now)],
    ["size", bytes(outbox.bytes)],
    ["room for", outbox.hours_of_room === null ? null : span(outbox.hours_of_room * 3600)],
    ["damaged files", outbox.damaged || null],
    ...outbox.parked.map(each => [`parked of ${each.serial}`, `${counted(each.count, "report")}: ${each.reason}`]),
    ...outbox.lost.map(each => [each.until ? `given up until ${clock(each.until, doc.now)}` : "given up",
      `${counted(each.count, "measurement")}: ${each.reason}`]),
  ]);
}

function showChanges() {
  keyed($("changes").querySelector("ol"), [...doc.changes].reverse(), each => each.at + each.text,
    () => make("li", "", make("time"), make("p")),
    (node, each) => {
      const [time, text] = node.children;
      const said = doc.gx.length === 1 ? each.text.replace(`${doc.gx[0].name}: `, "") : each.text;
      set(node, "data-tone", each.tone);
      set(time, "datetime", new Date(each.at * 1000).toISOString());
      say(time, clock(each.at, doc.now));
      const often = each.count > 1 ? ` (${each.count} times since ${clock(each.first, doc.now)})` : "";
      sayNamed(text, local(said, doc) + often, doc.names);
    });
  show($("changes"), doc.changes.length > 0);
}

function showGone(isOurs) {
  if (doc && !isOurs) { // What is shown grows older.
    doc.told ??= doc.now;
    doc.now = doc.told + (Date.now() - answered) / 1000;
    showAll(reckon());
  }
  document.body.classList.add("stale");
  set($("hero"), "data-tone", "bad");
  const since = answered === null ? "" : ` since ${clock(answered / 1000, Date.now() / 1000)}`;
  say($("verdict"), "No answer");
  say($("verdict-more"), `The service has not answered${since}: what is shown is old. Is it running?`);
  document.title = "No answer – mqtt-http-bridge";
}

$("filter").addEventListener("input", () => doc && showChargers(doc, reckon(), days, $("filter").value));
refresh();
