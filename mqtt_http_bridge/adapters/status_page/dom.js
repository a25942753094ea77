// Nodes that are updated and not rebuilt: what stays the same is not touched, so that a selection,
// the focus and the place on the page stay. Texts of devices only ever become text.

export function make(tag, name = "", ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children.filter(child => child !== null));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSvg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

export function say(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

// A text in which names written from right to left do not turn what stands around them.
export function sayNamed(node, text, names) {
  if (node.textContent === text) return;
  let parts = [text];
  for (const name of names) {
    parts = parts.flatMap(part => part.nodeType ? part
      : part.split(name).flatMap((rest, n) => n ? [make("bdi", "", name), rest] : rest));
  }
  node.replaceChildren(...parts);
}

export function show(node, isShown) {
  if (node.hidden === isShown) node.hidden = !isShown;
}

export function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// [number, unit] as a large number with a small unit; null: unknown.
export function sayParts(node, parts) {
  if (!parts) return say(node, "unknown");
  if (node.childElementCount !== 2) node.replaceChildren(make("b"), "\u202f", make("span", "unit"));
  say(node.firstElementChild, parts[0]);
  say(node.lastElementChild, parts[1]);
}

// One node for each item, in their order; items may have the same key. `create` makes one for a new
// key, `update` fills it. Few nodes are moved: one that is moved loses the focus and the selection.
export function keyed(parent, items, key, create, update) {
  const known = new Map();
  for (const node of parent.children) {
    const alike = known.get(node.dataset.key);
    if (alike) alike.push(node);
    else known.set(node.dataset.key, [node]);
  }
  const nodes = items.map(item => known.get(String(key(item)))?.shift());
  for (const alike of known.values()) for (const node of alike) node.remove();
  let place = parent.firstElementChild;
  items.forEach((item, n) => {
    let node = nodes[n];
    if (!node) {
      node = create(item);
      node.dataset.key = String(key(item));
    }
    if (place && node === place.nextElementSibling) {
      parent.append(place);
      place = node;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  });
}

// A list of names and values.
export function facts(list, pairs) {
  keyed(list, pairs.filter(pair => pair[1] !== null), pair => pair[0],
    ([name]) => make("div", "", make("dt", "", name), make("dd")),
    (node, [, value]) => say(node.lastElementChild, value));
}
