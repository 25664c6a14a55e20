// Elements made by calls, never from text: whatever a job is called or has written arrives as a text node.

const PROPERTIES = new Set(['value', 'checked', 'indeterminate', 'selected']);
const SVG = 'http://www.w3.org/2000/svg';

/** h('a.chip', {href: '#/'}, 'text', child, …): an element. Falsy children are left out, functions become listeners. */
export function h(kind, ...rest) {
  const [tag, ...classes] = kind.split('.');
  const made = document.createElement(tag);
  if (tag === 'button') made.type = 'button';
  if (classes.length) made.className = classes.join(' ');
  const given = rest[0]?.constructor === Object;
  return filled(made, given ? rest[0] : {}, given ? rest.slice(1) : rest);
}

export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(made, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (typeof value === 'function') made.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) made[name] = value;
    else if (typeof value === 'boolean') made.toggleAttribute(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Writes only what has changed, so that nothing selected, focused or read aloud is disturbed. */
export function say(node, text) {
  const wanted = text === null || text === undefined ? '' : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
  return node;
}

export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const wanted = value === true ? '' : String(value);
    if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
  }
  return node;
}

export function show(node, visible) {
  if (node.hidden === Boolean(visible)) node.hidden = !visible;
  return node;
}

export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat(2).filter(Boolean));
  return parent;
}

const kept = new WeakMap();

/**
 * Makes the children of `parent` follow a list: a node stays the same node as long as its key is in the list.
 * `make(item)` gives a node with a method `show(item)`.
 */
export function follow(parent, items, keyOf, make) {
  const before = kept.get(parent) ?? new Map();
  const after = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const node = before.get(key) ?? make(item);
    node.show(item);
    after.set(key, node);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const [key, node] of before) if (!after.has(key)) node.remove();
  kept.set(parent, after);
}

/** A node that `follow` can keep: its children are made once, `show` changes them. */
export function row(node, showing) {
  node.show = showing;
  return node;
}

/** The base of all views: what is listened to ends with the element. */
export class View extends HTMLElement {
  params = new URLSearchParams();

  connectedCallback() {
    this.life = new AbortController();
    this.start();
  }

  disconnectedCallback() {
    this.life.abort();
  }

  on(target, name, listener) {
    target.addEventListener(name, listener, { signal: this.life.signal });
  }

  /** Runs `work` now and hands what goes wrong to the reader; answers that come after the view has gone are dropped. */
  async load(work) {
    try {
      await work();
    } catch (problem) {
      if (this.isConnected && problem.name !== 'AbortError') this.failed(problem);
    }
  }

  failed(problem) {
    document.dispatchEvent(new CustomEvent('problem', { detail: problem }));
  }
}

/** Calls at most once per `pause` ms, the last call never lost. */
export function calm(work, pause) {
  let timer = 0;
  let last = -Infinity;
  return () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      last = performance.now();
      work();
    }, Math.max(0, last + pause - performance.now()));
  };
}
