// Terminal output as text with styles: colours are kept, everything else that a terminal would obey is dropped.

import { visible } from './words.js';

const SEQUENCE = /\u001b(?:\[([0-9;:<=>?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[PX^_][^\u001b]*\u001b\\|[ -/]*[0-~])/g;
const UNFINISHED = /\u001b(?:\[[0-9;:<=>?]*[ -/]*|[\]PX^_][^\u0007\u001b]{0,4000}\u001b?|[ -/]*)?$/;
// What each code makes of the style, which is the properties of an element; `inverse` is none and is settled last.
const SWITCHES = {
	1: { fontWeight: 'bold' }, 2: { opacity: '.7' }, 3: { fontStyle: 'italic' }, 4: { textDecoration: 'underline' }, 7: { inverse: true },
	9: { textDecoration: 'line-through' }, 22: { fontWeight: '', opacity: '' }, 23: { fontStyle: '' }, 24: { textDecoration: '' },
	27: { inverse: false }, 29: { textDecoration: '' }, 39: { color: '' }, 49: { backgroundColor: '' },
};
const THEME = ['black', 'dead', 'completed', 'failed', 'accent', 'magenta', 'cyan', 'white'];

/** A line as a terminal leaves it: what a carriage return goes back over is written over; backspaces take away. */
function settled(text) {
	if (!/[\r\b]/.test(text)) return text;
	return text.replace(/\r+\n/g, '\n').replace(/\r+$/, '').replace(/[^\n]*\r(?=[^\n])/g, '').replace(/[^\b\n]\x08/g, '');
}

/** The colour of a number from 0 to 255: the first sixteen are the theme's, the others are what every terminal agrees on. */
function colour(n) {
	if (n < 16) return `var(--${THEME[n % 8]})`;
	if (n > 231) return `rgb(${Array(3).fill(8 + (n - 232) * 10)})`;
	const part = (size) => [0, 95, 135, 175, 215, 255][Math.floor((n - 16) / size) % 6];
	return `rgb(${[part(36), part(6), part(1)]})`;
}

/** Turns pieces of output into parts {text, style}, style null for plain text; what a piece breaks off waits for the next. */
export class Ansi {
	style = null;
	rest = '';

	parts(piece) {
		let text = this.rest + piece;
		this.rest = UNFINISHED.exec(text)?.[0] ?? '';
		text = text.slice(0, text.length - this.rest.length);
		const found = [];
		const put = (part) => part && found.push({ text: visible(settled(part)), style: this.style });
		let at = 0;
		for (const match of text.matchAll(SEQUENCE)) {
			put(text.slice(at, match.index));
			at = match.index + match[0].length;
			if (match[2] === 'm') this.style = changed(this.style, match[1].split(/[;:]/).map(Number));
		}
		put(text.slice(at));
		return found;
	}
}

function changed(before, codes) {
	let style = { ...before };
	while (codes.length) {
		const code = codes.shift();
		const place = code < 40 || (code >= 90 && code < 100) ? 'color' : 'backgroundColor';
		if (!code) style = {};
		else if (code in SWITCHES) Object.assign(style, SWITCHES[code]);
		else if (code === 38 || code === 48) style[place] = extended(codes);
		else if ((code >= 30 && code < 48) || (code >= 90 && code < 108)) style[place] = colour(code % 10);
	}
	return Object.values(style).some(Boolean) ? style : null;
}

function extended(codes) {
	const kind = codes.shift();
	if (kind === 5) return colour(Math.min(255, codes.shift() || 0));
	return kind === 2 ? `rgb(${codes.splice(0, 3).map((n) => Math.min(255, n || 0))})` : '';
}

/** A node of text, whatever that holds; its looks are set as properties, never as the text of a style. */
export function node(text, style) {
	if (!style) return document.createTextNode(text);
	const made = document.createElement('span');
	made.textContent = text;
	const { inverse, color, backgroundColor: ground, ...looks } = style;
	Object.assign(made.style, looks, inverse ? { color: ground || 'var(--term)', backgroundColor: color || 'var(--ink)' }
		: { color: color || '', backgroundColor: softened(ground) });
	return made;
}

/** A colour of the theme is too strong to stand behind text: it is mixed with the ground. */
const softened = (ground) => (ground?.startsWith('var') ? `color-mix(in srgb, ${ground} 22%, var(--term))` : ground || '');
