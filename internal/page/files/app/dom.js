// Elements, made and changed. What comes from outside is only ever text.

const svgNamespace = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === 'on') {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? '' : value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// el returns an element. A child that is a string becomes a text node.
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), attributes, children);
}

const texts = new WeakMap();

// text sets the text of a node, unless it has it already: an update of what has not
// changed costs the browser nothing.
export function text(node, value) {
  if (texts.get(node) === value) return;
  texts.set(node, value);
  node.textContent = value;
}

// attr sets an attribute, or removes it if value is null.
export function attr(node, name, value) {
  if (value === null) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== value) {
    node.setAttribute(name, value);
  }
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

// keep has a parent hold one node for each item, in their order: nodes of items that are
// still there stay the same. make returns a node, and update is called with each.
export function keep(parent, items, key, make, update) {
  const kept = (parent.keptNodes ??= new Map());
  const seen = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    if (seen.has(id)) continue;
    seen.add(id);
    let node = kept.get(id);
    if (!node) kept.set(id, (node = make(item)));
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const [id, node] of kept) {
    if (seen.has(id)) continue;
    node.remove();
    kept.delete(id);
  }
}
