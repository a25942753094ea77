// The chargers: tiles while they are few, rows that open where they are many, grouped by GX.

import {Plot, spark} from "./chart.js";
import {facts, keyed, make, makeSvg, say, sayNamed, sayParts, set, show} from "./dom.js";
import {ago, counted, energy, local, power, powerParts, total, volts} from "./words.js";

export const MOST_TILES = 12;
const TILE_SERIES = 360;
const parts = new WeakMap(); // The nodes within a tile, a row or a group, by its own node.

const isTroubled = charger => charger.trouble !== "";
export const isKnown = charger => charger.gx.live && charger.power_w !== null;
const rank = charger => (isTroubled(charger) ? 0 : 1);

// Everything about the chargers of `doc`; `days` tells of each what the history knows.
export function showChargers(doc, chargers, days, filter) {
  const isMany = chargers.length > MOST_TILES;
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = charger => words.every(word => charger.text.includes(word));
  const found = words.length ? chargers.filter(fits) : chargers;
  const groups = doc.gx.map(gx => ({gx, chargers: found.filter(charger => charger.gx === gx)
    .sort((a, b) => rank(a) - rank(b))}))
    .filter(group => group.chargers.length || !words.length)
    .sort((a, b) => groupRank(a) - groupRank(b));
  show(document.getElementById("filter"), isMany || doc.gx.length > 3);
  show(document.getElementById("none"), words.length > 0 && !found.length);
  const host = document.getElementById("groups");
  const kind = isMany ? "rows" : "tiles";
  if (host.className !== kind) {
    host.replaceChildren();
    host.className = kind;
  }
  const isOne = doc.gx.length === 1;
  keyed(host, groups, group => group.gx.portal_id, group => makeGroup(group, isOne || !isMany),
    (node, group) => {
      updateGroup(node, group, doc, isOne, words.length > 0);
      const nodes = parts.get(node);
      const isAlone = chargers.length === 1;
      nodes.fill = () => keyed(nodes.list, group.chargers, charger => charger.key,
        isMany ? makeRow : makeTile,
        (each, charger) => (isMany ? updateRow : updateTile)(each, charger, doc, days, isAlone));
      if (node.open) nodes.fill(); // What nobody sees is not made.
    });
}

const groupRank = ({gx, chargers}) => (gx.well === false || chargers.some(isTroubled) ? 0 : 1);

function makeGroup(group, isOpen) {
  const nodes = {
    lamp: make("span", "lamp"), name: make("span", "name"), says: make("span", "says faint"),
    power: make("span", "sum"), list: make("ul", "list"), isTouched: false,
  };
  nodes.lamp.setAttribute("aria-hidden", "true");
  const head = make("summary", "", nodes.lamp, make("h3", "", nodes.name), nodes.says, nodes.power);
  const node = make("details", "group", head, nodes.list);
  node.open = isOpen || groupRank(group) === 0;
  nodes.wasTroubled = groupRank(group) === 0;
  head.addEventListener("click", () => { nodes.isTouched = true; });
  node.addEventListener("toggle", () => node.open && nodes.fill());
  parts.set(node, nodes);
  return node;
}

function updateGroup(node, {gx, chargers}, doc, isOne, isFiltered) {
  const nodes = parts.get(node);
  const isBad = groupRank({gx, chargers}) === 0;
  if (isFiltered && !nodes.wasOpen) nodes.wasOpen = node.open ? "open" : "closed";
  if (isFiltered) node.open = true;
  else if (nodes.wasOpen) {
    node.open = nodes.wasOpen === "open";
    nodes.wasOpen = "";
  } else if (isBad && !nodes.wasTroubled && !nodes.isTouched) node.open = true;
  nodes.wasTroubled = isBad;
  set(node, "data-tone", gx.well === false ? "bad" : isBad ? "look" : gx.well ? "good" : "wait");
  node.classList.toggle("only", isOne);
  sayNamed(nodes.name, gx.name === gx.portal_id || isOne ? `GX ${gx.name}` : gx.name, doc.names);
  const all = gx.chargers; // Whatever the filter leaves of them.
  const live = all.filter(charger => isKnown(charger) && charger.power_w);
  const producing = all.filter(charger => charger.mood === "producing" && isKnown(charger)).length;
  const problem = isOne ? undefined : gx.problems[0]?.text.replace(`${gx.name}: `, "");
  say(nodes.says, [
    problem ?? (all.length ? `${producing} of ${all.length} producing` : gx.remark || "no charger"),
    `heard ${ago(gx.heard, doc.now)}`,
    gx.stored === null ? "" : `stored ${ago(gx.stored, doc.now)}`,
    gx.waiting > 1 && !problem ? `${counted(gx.waiting, "measurement")} waiting` : "",
  ].filter(Boolean).join(" · "));
  say(nodes.power, live.length ? power(live.reduce((sum, each) => sum + each.power_w, 0)) : "");
}

// --- a charger ---

const WORDS = {left_out: "left out", lost: "lost"};
const stateOf = charger =>
  !charger.gx.live ? "the GX is not heard" : isTroubled(charger) && WORDS[charger.mood] || charger.state;

const toneOf = charger => (!charger.gx.live ? "unheard" : isTroubled(charger) ? "look" : charger.mood);

function makeDetails() {
  return {
    who: make("p", "who faint"), why: make("p", "why"), fix: make("p", "fix"),
    trackers: make("ul", "trackers"), facts: make("dl", "facts"), plotHost: make("div"),
  };
}

function updateDetails(nodes, charger, doc, days, isAlone) {
  const day = days.get(charger.serial);
  const isLive = charger.gx.live;
  show(nodes.who, charger.product !== null && charger.product !== charger.name);
  say(nodes.who, charger.product ?? "");
  const doubts = charger.remarks.filter(remark => !charger.trouble.includes(remark));
  const why = [charger.trouble || charger.omission, ...doubts].filter(Boolean).join("; ");
  show(nodes.why, isLive && why !== "");
  say(nodes.why, local(why, doc));
  show(nodes.fix, isLive && charger.fix !== "");
  say(nodes.fix, charger.fix ? `To fix it: ${charger.fix}` : "");
  const trackers = isLive && charger.trackers.length ? charger.trackers : [];
  show(nodes.trackers, trackers.length > 0);
  keyed(nodes.trackers, trackers, tracker => tracker.name,
    () => make("li", "", make("span", "name"), make("span"), make("span")),
    (node, tracker) => {
      const [name, voltage, watts] = node.children;
      say(name, tracker.name);
      say(voltage, volts(tracker.voltage_v));
      say(watts, power(tracker.power_w));
    });
  facts(nodes.facts, [
    ["serial", charger.serial ?? "not told"],
    ["today", day ? energy(day.today) + day.since : "unknown"],
    ["total", total(charger.total_kwh)],
    ["heard", ago(charger.heard, doc.now)],
    ["at the backend", charger.stored === null && charger.result === null ? "nothing sent yet"
      : charger.stored === null ? "not stored" : ago(charger.stored, doc.now)],
    ["last answer", charger.result_reason ? `${charger.result}: ${charger.result_reason}` : null],
  ]);
  show(nodes.plotHost, !isAlone && Boolean(day));
  if (isAlone || !day) return;
  nodes.plot ??= new Plot(nodes.plotHost, `Power of ${charger.name}`, true);
  nodes.plot.update({...day.grid, layers: [{name: charger.name, values: day.values.slice(-TILE_SERIES)}]});
}

function makeTile() {
  const nodes = {...makeDetails(), name: make("h4", "name"), chip: make("span", "chip"),
    power: make("p", "power figure")};
  const node = make("li", "card tile", make("div", "bar", nodes.name, nodes.chip), nodes.who,
    nodes.power, nodes.why, nodes.fix, nodes.trackers, nodes.plotHost, nodes.facts);
  parts.set(node, nodes);
  return node;
}

function updateHead(node, nodes, charger) {
  set(node, "data-serial", charger.serial ?? "");
  set(node, "data-tone", toneOf(charger));
  say(nodes.name, charger.name);
  say(nodes.chip, stateOf(charger));
  sayParts(nodes.power, isKnown(charger) ? powerParts(charger.power_w) : null);
}

function updateTile(node, charger, doc, days, isAlone) {
  updateHead(node, parts.get(node), charger);
  updateDetails(parts.get(node), charger, doc, days, isAlone);
}

function makeRow() {
  const nodes = {...makeDetails(), name: make("span", "name"), chip: make("span", "chip"),
    power: make("span", "power"), today: make("span", "today"),
    spark: makeSvg("svg", {class: "spark", "aria-hidden": "true"}), inside: make("div", "inside")};
  nodes.inside.append(nodes.who, nodes.why, nodes.fix, nodes.plotHost, nodes.trackers, nodes.facts);
  const details = make("details", "row", make("summary", "", nodes.name, nodes.chip, nodes.spark,
    nodes.power, nodes.today), nodes.inside);
  const node = make("li", "", details);
  nodes.details = details;
  details.addEventListener("toggle", () => details.open && nodes.fill?.());
  parts.set(node, nodes);
  return node;
}

function updateRow(node, charger, doc, days) {
  const nodes = parts.get(node);
  updateHead(node, nodes, charger);
  const day = days.get(charger.serial);
  say(nodes.today, day ? `today ${energy(day.today)}` : "");
  nodes.fill = () => updateDetails(nodes, charger, doc, days, false);
  if (nodes.details.open) nodes.fill();
  if (day && nodes.drawn !== day.values) {
    nodes.drawn = day.values;
    spark(nodes.spark, day.values);
  }
}
