// The frame: which page the address means, the keys that work everywhere, and how fresh what is shown is.

import { fill, h, mark, say } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { ask, complain } from './parts.js';
import { verdict } from './verdict.js';
import { brief, when } from './words.js';

// The address after # holds the whole view: #/jobs?state=dead&q=ffmpeg
const PAGES = {
  '': { title: 'Overview', view: 'overview', shape: 'overview', key: 'o' },
  jobs: { title: 'Jobs', view: 'jobs', shape: 'jobs', key: 'j' },
  dead: { title: 'Dead letters', view: 'dead', shape: 'dead', key: 'd' },
  workers: { title: 'Workers', view: 'workers', shape: 'workers', key: 'w' },
  queues: { title: 'Queues', view: 'queues', shape: 'queues', key: 'q' },
  spools: { title: 'Spools', view: 'spools', shape: 'spools', key: 's' },
  settings: { title: 'Settings', view: 'settings', shape: 'settings', key: 'e' },
  schedules: { title: 'Schedules', view: 'schedules', key: 'c' },
  job: { title: 'Job', view: 'job' },
  add: { title: 'New job', view: 'add' },
};
const KEYS = [
  ['/', 'search jobs'], ['j k', 'next and previous row'], ['Enter', 'open the row'], ['x', 'choose the row'],
  ['n', 'new job'], ['g o', 'overview'], ['g j', 'jobs'], ['g d', 'dead letters'], ['g w', 'workers'], ['g q', 'queues'],
  ['Esc', 'leave a field, forget the choice'], ['?', 'this list'],
];

const main = document.getElementById('main');
const root = document.documentElement;
let current = { name: null, view: null };
let going = false; // after g, for a second

// ------------------------------------------------------------ pages

function read() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  const known = name in PAGES ? name : '';
  const params = new URLSearchParams(query);
  if (rest.length) params.set('id', decoded(rest.join('/')));
  return { name: known, params };
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

async function open() {
  if (location.hash === '#main') return;
  const { name, params } = read();
  const page = PAGES[name];
  current.wanted = name;
  const load = () => import(`./${page.view}.js`);
  await load().catch(load).catch(() => complain(new Error('this page could not be loaded: reload it')));
  if (current.wanted !== name) return;
  const same = current.name === name && current.view?.update && params.get('id') === current.view.params.get('id');
  if (same) {
    current.view.update(params);
    return;
  }
  const first = current.name === null;
  const view = document.createElement(`q-${page.view}`);
  view.params = params;
  current = { name, view, wanted: name };
  fill(main, view);
  showPlace(name, params);
  if (!first && !view.contains(document.activeElement)) main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function showPlace(name, params) {
  for (const link of document.querySelectorAll('#nav a')) {
    const [, to] = link.getAttribute('href').split('/');
    mark(link, 'aria-current', to === name || (name === 'job' && to === 'jobs') ? 'page' : null);
  }
  const title = name === 'job' ? `Job ${params.get('id')}` : PAGES[name].title;
  root.dataset.page = title;
  showVerdict();
}

// ------------------------------------------------------------ keys

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const field = event.target.closest('input, textarea, select, [contenteditable]');
  if (field && field.type !== 'checkbox') {
    if (event.key === 'Escape') field.blur();
    return;
  }
  if (!keysAreOn()) return;
  if (going) {
    going = false;
    const page = Object.entries(PAGES).find(([, { key }]) => key === event.key);
    if (page) location.hash = `#/${page[0]}`;
    return;
  }
  if (handled(event.key)) event.preventDefault();
  else if (current.view?.key?.(event)) event.preventDefault();
}

function handled(key) {
  if (key === '?') showHelp();
  else if (key === 'n' && !live.readOnly) location.hash = '#/add';
  else if (key === '/' && current.name !== 'jobs' && current.name !== 'job') location.hash = '#/jobs?find=1';
  else if (key === 'g') {
    going = true;
    setTimeout(() => { going = false; }, 1000);
  } else return false;
  return true;
}

const keysAreOn = () => remembered('queuectl.keys') !== 'off';

async function showHelp() {
  const rows = KEYS.map(([key, what]) => [h('dt', ...key.split(' ').map((one) => h('kbd', one))), h('dd', what)]);
  const box = h('input', { type: 'checkbox', checked: keysAreOn(), onchange: () => remember('queuectl.keys', box.checked ? null : 'off') });
  await ask({ title: 'Keyboard', body: h('div', h('dl.keys', rows), h('label.check', box, 'Single keys do this')), go: 'Done' });
}

// ------------------------------------------------------------ theme, and what this browser remembers

function remembered(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

function remember(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch { /* without storage it holds until the page is left */ }
}

function changeTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  remember('queuectl.theme', root.dataset.theme);
}

// ------------------------------------------------------------ how fresh, how well

const MODES = { live: 'Live', polling: 'Every 5 s', connecting: 'Connecting', locked: 'Locked' };

function showMode() {
  const node = document.getElementById('mode');
  node.dataset.mode = live.mode;
  say(node, MODES[live.mode] ?? `Stale since ${when(new Date(live.heardAt))}`);
  root.classList.toggle('stale', live.mode === 'stale');
  showVerdict();
  if (live.mode === 'locked') showLocked();
}

function showVerdict() {
  const found = verdict(live.status, live.mode);
  const node = document.getElementById('verdict');
  if (node.dataset.said !== found.title + found.text) {
    node.dataset.said = found.title + found.text;
    node.dataset.tone = found.tone;
    const shape = { good: 'completed', warn: 'warning', bad: 'dead' }[found.tone];
    node.title = found.text;
    node.href = found.href ?? '#/';
    fill(node, shape ? icon(shape) : h('i'), h('span', found.title));
  }
  document.title = `${{ bad: '✖ ', warn: '⚠ ' }[found.tone] ?? ''}${root.dataset.page ?? 'queuectl'} · queuectl`;
  if (!live.status) return;
  root.classList.toggle('read-only', live.readOnly);
  const dead = document.querySelector('#nav a[href="#/dead"] b');
  say(dead, live.status.dead ? brief(live.status.dead) : '');
}

function showLocked() {
  fill(main, h('section.card.alone', h('h1', 'This queue is locked'),
    h('p', 'The server does not know who you are. Open the one-time link that ', h('code', 'queuectl serve'), ' or ',
      h('code', 'queuectl dashboard'), ' has printed, or make another one with ', h('code', 'queuectl token link'), '.')));
  current = { name: null, view: null };
}

// ------------------------------------------------------------ begin

function begin() {
  for (const link of document.querySelectorAll('#nav a')) {
    const page = PAGES[link.getAttribute('href').split('/')[1]];
    fill(link.querySelector('i'), icon(page.shape));
  }
  document.getElementById('add').prepend(icon('plus'));
  document.getElementById('help').append(icon('help'));
  document.getElementById('theme').append(icon('theme'));
  document.getElementById('help').addEventListener('click', showHelp);
  document.getElementById('theme').addEventListener('click', changeTheme);
  document.getElementById('skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  document.addEventListener('keydown', pressed);
  document.addEventListener('problem', (event) => complain(event.detail));
  addEventListener('hashchange', open);
  live.addEventListener('mode', showMode);
  live.addEventListener('status', showVerdict);
  live.begin();
  open();
}

begin();
