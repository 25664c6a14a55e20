// Elements made by calls, never from text: whatever a job is called or has written arrives as a text node, with what is
// invisible or turns text around made visible. `fill` changes
// only what differs from what is there, so that focus, selection and what somebody types stay.

import { sleep } from './api.js';
import { visible } from './words.js';

const PROPERTIES = new Set(['value', 'checked', 'indeterminate', 'at', 'drawn']);
const SVG = 'http://www.w3.org/2000/svg';

/** h('a.chip', {href: '#/'}, 'text', child, …): an element. Functions listen, a `key` names it, what is falsy is left out. */
export function h(kind, ...children) {
	const [tag, ...classes] = kind.split('.');
	const made = document.createElement(tag);
	if (tag === 'button') made.type = 'button';
	if (classes.length) made.className = classes.join(' ');
	return filled(made, children[0]?.constructor === Object ? children.shift() : {}, children);
}

export const svg = (tag, props, ...children) => filled(document.createElementNS(SVG, tag), props, children);

function filled(made, props, children) {
	made.append(...nodes(children));
	made.given = {};
	for (const [name, value] of Object.entries(props)) {
		if (value === null || value === undefined || value === false && !PROPERTIES.has(name)) continue;
		if (name === 'key') made.key = value;
		else if (typeof value === 'function' || PROPERTIES.has(name)) made[name] = made.given[name] = value;
		else made.setAttribute(name, value === true ? '' : value);
	}
	return made;
}

/** What is left out keeps its place as an empty text, so that its neighbours stay the nodes they are. */
const nodes = (children) => children.flat(3).map((one) => (one instanceof Node ? one : document.createTextNode(one || one === 0 ? visible(one) : '')));

/** Makes `parent` hold these children. A node stays when the wanted one is of its kind and has its key, or its place. */
export function fill(parent, ...children) {
	const made = nodes(children);
	const keys = new Set(made.map((wanted) => wanted.key));
	for (const node of [...parent.childNodes]) if (!keys.has(node.key)) node.remove(); // first, or those below were moved, and lost the focus
	const named = new Map([...parent.childNodes].map((node) => [node.key, node]));
	let place = parent.firstChild;
	for (const wanted of made) {
		let node = wanted.key === undefined ? place : named.get(wanted.key);
		if (node?.nodeName === wanted.nodeName && node.key === wanted.key) become(node, wanted);
		else node = wanted;
		if (node === place) place = place.nextSibling;
		else parent.insertBefore(node, place);
	}
	while (place) {
		const next = place.nextSibling;
		place.remove();
		place = next;
	}
	return parent;
}

function become(node, wanted) {
	if (node.nodeType === Node.TEXT_NODE) {
		if (node.data !== wanted.data) node.data = wanted.data;
		return;
	}
	for (const { name } of [...node.attributes]) if (!wanted.hasAttribute(name)) node.removeAttribute(name);
	for (const { name, value } of wanted.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
	if (!node.nodeName.includes('-')) fill(node, ...wanted.childNodes); // what custom elements hold is their own
	for (const [name, value] of Object.entries(wanted.given)) if (node.given?.[name] !== value) node[name] = value;
	node.given = wanted.given;
}

export function say(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

/** Calls at most once per `pause` ms and never twice at a time, the last call never lost; what takes long, less often. */
export function calm(work, pause) {
	let planned = false;
	let last = Promise.resolve();
	return () => {
		if (planned) return;
		planned = true;
		last = last.then(async () => {
			planned = false;
			const began = performance.now();
			await work();
			await sleep(Math.max(pause, Math.min(3 * (performance.now() - began), 5000)));
		});
	};
}
