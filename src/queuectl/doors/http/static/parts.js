// The small things that all views share: times that age, states, copying, saying something, asking something.

import { fill, h, mark, row, say } from './dom.js';
import { icon, standing } from './icons.js';
import { ago, oneLine, visible, when } from './words.js';

/** A time that keeps itself right: `3 min ago`, the exact one on hover. */
class Ago extends HTMLElement {
  static shown = new Set();

  connectedCallback() {
    Ago.shown.add(this);
    this.tick();
  }

  disconnectedCallback() {
    Ago.shown.delete(this);
  }

  set at(iso) {
    if (this.iso === iso) return;
    this.iso = iso;
    this.title = iso ? `${when(iso)} (${iso})` : '';
    this.tick();
  }

  tick() {
    say(this, this.iso ? ago(this.iso) : '–');
  }
}
customElements.define('q-ago', Ago);
setInterval(() => Ago.shown.forEach((one) => one.tick()), 1000);

export function time(iso) {
  const made = h('q-ago');
  made.at = iso;
  return made;
}

/** The state of a job: shape, word, colour. `show(job)` changes it. */
export function stateMark() {
  const node = h('span.state');
  node.show = (job) => {
    const { word, shape, tone } = standing(job);
    if (node.dataset.word === word) return node;
    node.dataset.word = word;
    node.dataset.tone = tone;
    return fill(node, icon(shape), h('span', word));
  };
  return node;
}

export const jobAddress = (id) => `#/job/${encodeURIComponent(id)}`;

/** A job on one line of a list: where it leads, what it is, a time of it. */
export const jobLine = (at) => () => {
  const link = h('a');
  const command = h('code.cut');
  const age = time(null);
  return row(h('li.line', link, command, age), (job) => {
    mark(say(link, visible(job.id)), 'href', jobAddress(job.id));
    say(command, oneLine(job.command));
    age.at = at(job);
  });
};

export const card = (title, ...content) => h('section.card', h('h2', title), ...content);

/** A table with its head; columns whose title begins with > hold numbers. On a narrow screen its rows are stacks. */
export function table(titles, body, kind = '') {
  return h('div.scroll', h('table', { class: `stack ${kind}` }, h('thead', h('tr', titles.map((title) =>
    h('th', { scope: 'col', class: title[0] === '>' ? 'n' : null }, title.replace('>', '') || h('span.unseen', 'Actions'))))), body));
}

/** The cells of a row of such a table: the first names it. */
export function cells(titles) {
  const named = (title) => ({ class: title[0] === '>' ? 'n' : null, 'data-name': title.replace('>', '') });
  return titles.map((title, i) => (i ? h('td', named(title)) : h('th', { scope: 'row', ...named(title) })));
}

export function copyButton(text, label) {
  return h('button.quiet', { title: label, 'aria-label': label, onclick: () => copy(text(), label) }, icon('copy'));
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell('Copied');
  } catch {
    // Clipboards need a secure page; over plain HTTP from another machine the text is offered for copying by hand.
    await ask({ title: 'Copy this', body: h('textarea', { readonly: true, rows: 4, value: text, 'aria-label': 'text to copy' }), go: 'Done' });
  }
}

/** Says something once; read aloud by screen readers, gone after a while. */
export function tell(text, tone = 'good') {
  const box = document.getElementById('said');
  const note = h('p.note', { 'data-tone': tone }, icon(tone === 'bad' ? 'warning' : 'completed'), h('span', text),
    h('button.quiet', { 'aria-label': 'dismiss', onclick: () => note.remove() }, icon('cancel')));
  box.append(note);
  while (box.children.length > 3) box.firstElementChild.remove();
  setTimeout(() => note.remove(), tone === 'bad' ? 12_000 : 5000);
}

export function complain(problem) {
  tell(problem.line ?? problem.message, 'bad');
}

/** A question in a dialog. Resolves to the form's values, or null when it was closed. */
export function ask({ title, text, body, go, tone = 'accent' }) {
  return new Promise((resolve) => {
    const form = h('form', { method: 'dialog' },
      h('h2', { id: 'asked' }, title), text && h('p', text), body,
      h('div.row.end',
        h('button', { onclick: () => dialog.close() }, go === 'Done' ? 'Close' : 'Leave it'),
        go !== 'Done' && h('button.primary', { type: 'submit', value: 'go', 'data-tone': tone }, go)));
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

export function nothing(text, ...more) {
  return h('div.nothing', h('p', text), ...more);
}

/** A switch that shows what is, and asks for what should be. */
export function toggle(label, pressed, change) {
  return h('button.switch', { role: 'switch', 'aria-checked': String(pressed), 'aria-label': label, onclick: change }, h('i'));
}

export function choices(options, chosen) {
  return options.map(([value, text]) => h('option', { value, selected: value === chosen }, text));
}
