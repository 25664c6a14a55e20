// Queues: depth, age, limits, pause; and the limits that hang on keys, such as the target of a call.

import { get, put, remove } from './api.js';
import { calm, follow, h, row, say, show, View } from './dom.js';
import { live } from './live.js';
import { ask, cells, complain, field, table, tell } from './parts.js';
import { limitWords, QUEUE_FULL, queueRow } from './queue_row.js';
import { visible } from './words.js';

const KEYS = ['Key', 'Limits', '>'];

class Queues extends View {
  start() {
    this.rows = h('tbody');
    this.keys = h('tbody');
    this.noKeys = h('p.soft', null, 'No key has a limit. A key is a name that jobs share: enqueue --limit-key, or the target of a call.');
    this.keyTable = table(KEYS, this.keys);
    this.append(h('h1', null, 'Queues'),
      h('section.card', null, table(QUEUE_FULL, this.rows, 'two')),
      h('section.card', null, h('div.head', null, h('h2', null, 'Limits by key'),
        h('button.writes', { type: 'button', onclick: () => this.changeKey({ key: '' }) }, 'Set a limit')), this.noKeys, this.keyTable));
    const again = calm(() => this.load(() => this.refresh()), 500);
    for (const name of ['status', 'jobs', 'tick']) this.on(live, name, again);
    this.load(() => this.refresh());
  }

  async refresh() {
    const [{ queues }, { limits }] = await Promise.all([get('queues'), get('limits')]);
    follow(this.rows, queues, (one) => one.queue, () => queueRow(QUEUE_FULL, () => this.refresh()));
    follow(this.keys, limits, (one) => one.key, () => this.keyRow());
    show(this.noKeys, !limits.length);
    show(this.keyTable, limits.length);
  }

  keyRow() {
    const made = cells(KEYS);
    const [name, words, acts] = made;
    const node = h('tr', null, made);
    acts.append(h('button.link.writes', { type: 'button', onclick: () => this.changeKey(node.limit) }, 'Change'), ' ',
      h('button.link.writes', { type: 'button', onclick: () => this.removeKey(node.limit) }, 'Remove'));
    return row(node, (limit) => {
      node.limit = limit;
      say(name, visible(limit.key));
      say(words, limitWords(limit));
    });
  }

  async changeKey(limit) {
    const body = h('div', null, field('Key', h('input', { name: 'key', value: limit.key, required: true, readonly: Boolean(limit.key) })),
      field('At once', h('input', { type: 'number', name: 'parallel', min: 1, value: limit.parallel ?? '', placeholder: 'no limit' })),
      field('Rate', h('input', { name: 'rate', value: limit.rate ?? '', placeholder: 'no limit' }), 'How many may start in a time: 10/s, 90/m, 500/h.'));
    const given = await ask({ title: limit.key ? `Limit of ${limit.key}` : 'A limit for a key', body, go: 'Set' });
    if (!given) return;
    await this.changed(() => put(`limits/${encodeURIComponent(given.key)}`, { parallel: given.parallel === '' ? null : Number(given.parallel), rate: given.rate || null }), `Key ${given.key} has its limit`);
  }

  async removeKey(limit) {
    await this.changed(() => remove(`limits/${encodeURIComponent(limit.key)}`), `Key ${limit.key} has no limit any more`);
  }

  async changed(work, done) {
    try {
      await work();
      tell(done);
      await this.refresh();
    } catch (problem) {
      complain(problem);
    }
  }
}

customElements.define('q-queues', Queues);
