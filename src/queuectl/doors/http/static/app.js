// The frame: which page the address means, the keys that work everywhere, and how fresh what is shown is.

import { fill, h, say } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { ask, complain } from './parts.js';
import { verdict } from './verdict.js';
import { brief, when } from './words.js';

// The address after # holds the whole view: #/jobs?state=dead&q=ffmpeg. Each page is an element in a module of its name.
const PAGES = {
	'': { title: 'Overview', view: 'overview', key: 'o' },
	jobs: { title: 'Jobs', key: 'j' },
	dead: { title: 'Dead letters', key: 'd' },
	workers: { title: 'Workers', key: 'w' },
	queues: { title: 'Queues', key: 'q' },
	spools: { title: 'Spools', key: 's' },
	schedules: { title: 'Schedules', key: 'c' },
	settings: { title: 'Settings', key: 'e' },
	job: { title: 'Job' },
	add: { title: 'New job' },
};
const KEYS = {
	'/': 'search jobs', 'j k': 'next and previous row', Enter: 'open the row', x: 'choose the row', n: 'new job',
	Esc: 'leave a field, forget the choice', '?': 'this list',
	...Object.fromEntries(Object.values(PAGES).filter(({ key }) => key).map(({ key, title }) => [`g ${key}`, title.toLowerCase()])),
};
const MODES = { live: 'Live', polling: 'Every 5 s', connecting: 'Connecting' };
const SECOND_KEY_MS = 1000;

const byId = (id) => document.getElementById(id);
const links = document.querySelectorAll('#nav a');
const main = byId('main');
const root = document.documentElement;
let current = {}; // name and view of the page
let going = false; // after g, for a second

// --- pages

function asked() {
	const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
	const [name, ...rest] = path.split('/');
	const params = new URLSearchParams(query);
	if (rest.length) params.set('id', decoded(rest.join('/')));
	return { name: name in PAGES ? name : '', params };
}

function decoded(text) {
	try { return decodeURIComponent(text); } catch { return text; }
}

async function open() {
	const { name, params } = asked();
	const { title, view: file = name } = PAGES[name];
	const id = params.get('id');
	current.wanted = name;
	const load = () => import(`./${file}.js`);
	await load().catch(load).catch(() => complain(new Error('this page could not be loaded: reload it')));
	if (current.wanted !== name) return;
	if (current.name === name && current.view.update && current.view.params.get('id') === id) {
		current.view.update(params);
		return;
	}
	const first = !current.view;
	const view = document.createElement(`q-${file}`);
	view.params = params;
	current = { name, view, wanted: name };
	main.replaceChildren(view);
	for (const link of links) {
		const here = link.getAttribute('href') === `#/${name === 'job' ? 'jobs' : name}`;
		if (here) link.setAttribute('aria-current', 'page');
		else link.removeAttribute('aria-current');
	}
	root.dataset.page = id ? `${title} ${id}` : title;
	showVerdict();
	if (!first && !view.contains(document.activeElement)) main.focus({ preventScroll: true });
	scrollTo(0, 0);
}

// --- keys

function pressed(event) {
	if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
	const field = event.target.closest('input, textarea, select');
	if (field && field.type !== 'checkbox') {
		if (event.key === 'Escape') field.blur();
	} else if (keysAreOn() && (goes(event.key) || current.view?.key?.(event))) event.preventDefault();
}

function goes(key) {
	if (going) {
		going = false;
		const page = Object.keys(PAGES).find((name) => PAGES[name].key === key);
		if (page !== undefined) location.hash = `#/${page}`;
	} else if (key === '?') showHelp();
	else if (key === 'n' && !live.readOnly) location.hash = '#/add';
	else if (key === '/' && current.name !== 'jobs' && current.name !== 'job') location.hash = '#/jobs?find=1';
	else if (key === 'g') {
		going = true;
		setTimeout(() => { going = false; }, SECOND_KEY_MS);
	} else return false;
	return true;
}

const keysAreOn = () => remembered('queuectl.keys') !== 'off';

async function showHelp() {
	const rows = Object.entries(KEYS).map(([keys, what]) => [h('dt', keys.split(' ').map((key) => h('kbd', key))), h('dd', what)]);
	const change = ({ target }) => remember('queuectl.keys', target.checked ? 'on' : 'off');
	const box = h('input', { type: 'checkbox', checked: keysAreOn(), onchange: change });
	await ask({ title: 'Keyboard', body: h('div', h('dl.keys', rows), h('label.row', box, 'Single keys do this')) });
}

// --- theme, and what this browser remembers

function remembered(name) {
	try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
	try { localStorage.setItem(name, value); } catch { /* without storage it holds until the page is left */ }
}

function changeTheme() {
	const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
	root.dataset.theme = dark ? 'light' : 'dark';
	remember('queuectl.theme', root.dataset.theme);
}

// --- how fresh, how well

function showMode() {
	byId('mode').dataset.mode = live.mode;
	say(byId('mode'), MODES[live.mode] ?? `Stale since ${when(new Date(live.heardAt))}`);
	root.classList.toggle('stale', live.mode === 'stale');
	showVerdict();
	if (live.mode === 'locked') location.reload(); // the server's own page asks who one is
}

function showVerdict() {
	const { tone, shape, title, text, href } = verdict(live.status, live.mode);
	const node = byId('verdict');
	Object.assign(node.dataset, { tone });
	Object.assign(node, { title: text, href: href ?? '#/' });
	fill(node, shape ? icon(shape) : h('i'), h('span', title));
	document.title = `${{ bad: '✖ ', warn: '⚠ ' }[tone] ?? ''}${root.dataset.page ?? 'queuectl'} · queuectl`;
	root.classList.toggle('read-only', live.readOnly);
	say(document.querySelector('#nav b'), live.status?.dead ? brief(live.status.dead) : '');
}

// --- begin

for (const link of links) {
	const name = link.getAttribute('href').slice(2);
	link.prepend(icon(PAGES[name].view ?? name));
}
byId('add').prepend(icon('plus'));
byId('help').append(icon('help'));
byId('theme').append(icon('theme'));
byId('help').onclick = showHelp;
byId('theme').onclick = changeTheme;
byId('skip').onclick = (event) => {
	event.preventDefault();
	main.focus();
};
document.addEventListener('keydown', pressed);
addEventListener('hashchange', open);
live.addEventListener('mode', showMode);
live.addEventListener('status', showVerdict);
live.begin();
open();
