// The small things that pages share: times that age, states, tables, copying, saying something, asking something.

import { path } from './api.js';
import { h, say } from './dom.js';
import { icon, standing } from './icons.js';
import { live } from './live.js';
import { ago, oneLine, when } from './words.js';

/** A time that keeps itself right: `3 min ago`, the exact one on hover. */
class Ago extends HTMLElement {
	set at(iso) {
		this.iso = iso;
		this.title = iso ? `${when(iso)} (${iso})` : '';
		this.tick();
	}

	tick() {
		say(this, this.iso ? ago(this.iso) : '–');
	}
}
customElements.define('q-ago', Ago);
setInterval(() => document.querySelectorAll('q-ago').forEach((one) => one.tick()), 1000);

export const time = (iso) => h('q-ago', { at: iso ?? '' });

export const mark = (shape, tone, text) => h('span.state', { 'data-tone': tone }, icon(shape), h('span', text));

/** The state of a job: shape, word, colour. */
export function stateMark(job) {
	const { word, shape, tone } = standing(job);
	return mark(shape, tone, word);
}

export const jobAddress = (id) => path`#/job/${id}`;

export const jobLink = (id) => h('a.cut', { href: jobAddress(id) }, id);

/** Jobs, a line each: where it leads, what it is, a time of it. */
export const jobLines = (jobs, at) => h('ul.list', jobs.map((job) =>
	h('li.line', { key: job.id }, jobLink(job.id), h('code.cut', oneLine(job.command)), time(job[at]))));

export const card = (title, ...content) => h('section.card', h('h2', title), ...content);

/** The head of a page: its name, what is known of it, what can be done. */
export const heading = (title, ...more) => h('div.row.title', h('h1', title), h('span.grow'), ...more);

/**
 * A table of items. A column is its title and what it shows of an item; titles that begin with > are of numbers, the first
 * column names the row. On a narrow screen rows are stacks.
 */
export function table(columns, items, keyOf = ({ name }) => name, kind = '') {
	const of = (title) => ({ class: title[0] === '>' ? 'n' : null });
	const named = (title) => ({ ...of(title), 'data-name': title.replace('>', '') });
	const head = columns.map(([title]) => h('th', { scope: 'col', ...of(title) }, title.replace('>', '') || h('span.unseen', 'Actions')));
	const row = (item) => h('tr', { key: keyOf(item) }, columns.map(([title, shows], i) =>
		(i ? h('td', named(title), shows(item)) : h('th', { scope: 'row', ...named(title) }, shows(item)))));
	return h('div.scroll', h('table', { class: `stack ${kind}` }, h('thead', h('tr', head)), h('tbody', items.map(row))));
}

/** Names and values; a value that is not there is left out with its name. */
export const facts = (rows) => h('dl.facts', rows.filter(([, value]) => value || value === 0)
	.map(([name, value]) => h('div', { key: name }, h('dt', name), h('dd', value instanceof Node ? value : value))));

export async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
		tell('Copied');
	} catch {
		// Clipboards need a secure page; over plain HTTP from another machine the text is offered for copying by hand.
		await ask({ title: 'Copy this', body: h('textarea', { readonly: true, rows: 4, value: text, 'aria-label': 'text to copy' }) });
	}
}

/** Says something once; read aloud, gone after a while. */
export function tell(text, tone = 'good') {
	const box = document.getElementById('said');
	const note = h('p.note', { 'data-tone': tone }, icon(tone === 'bad' ? 'warning' : 'completed'), h('span', text),
		h('button.quiet', { 'aria-label': 'dismiss', onclick: () => note.remove() }, icon('cancel')));
	box.append(note);
	while (box.children.length > 3) box.firstElementChild.remove();
	setTimeout(() => note.remove(), tone === 'bad' ? 12_000 : 5000);
}

export const complain = (problem) => tell(problem.line ?? problem.message, 'bad');

/** A question in a dialog, or without `go` only something to see. Resolves to the form's values, or null when it was closed. */
export function ask({ title, text, body, go, tone = 'accent' }) {
	return new Promise((resolve) => {
		const form = h('form', { method: 'dialog' }, h('h2', { id: 'asked' }, title), text && h('p', text), body,
			h('div.row.end', h('button', { onclick: () => dialog.close() }, go ? 'Leave it' : 'Close'),
				go && h('button.primary', { type: 'submit', value: 'go', 'data-tone': tone }, go)));
		const dialog = h('dialog', { 'aria-labelledby': 'asked' }, form);
		dialog.addEventListener('close', () => {
			resolve(dialog.returnValue === 'go' ? Object.fromEntries(new FormData(form)) : null);
			dialog.remove();
		});
		document.body.append(dialog);
		dialog.showModal();
	});
}

export function field(label, input, hint) {
	const id = `f${(field.made = (field.made ?? 0) + 1)}`;
	input.id = id;
	if (hint) input.setAttribute('aria-describedby', `${id}h`);
	return h('div.field', h('label', { for: id }, label), input, hint && h('p.hint', { id: `${id}h` }, hint));
}

/** A question with fields: [name, label, hint, attributes], with `rows` one of several lines. Required unless it says otherwise. */
export const askFor = (title, go, ...fields) => ask({ title, go, body: h('div', fields.map(([name, label, hint, props]) =>
	field(label, h(props?.rows ? 'textarea' : 'input', { name, required: true, ...props }), hint))) });

export const nothing = (text, ...more) => h('div.nothing', h('p', text), ...more);

/** Small text that acts; where actions are not allowed, `otherwise`. */
export const link = (label, work, otherwise = '') => (live.readOnly ? otherwise : h('button.link', { onclick: work }, label));

/** A switch that shows what is, and asks for what should be; where nothing may be changed, a word. */
export const toggle = (label, on, change) => (live.readOnly ? (on ? 'yes' : 'no')
	: h('input', { type: 'checkbox', role: 'switch', 'aria-label': label, checked: on, onclick: (event) => { event.preventDefault(); change(); } }));

export const choices = (options) => options.map(([value, text]) => h('option', { key: value, value }, text));

export const select = (label, options, value, change) =>
	h('select', { 'aria-label': label, value, onchange: (event) => change(event.target.value) }, choices(options));

