// Queues: depth, age, limits, pause; and the limits that hang on keys, such as the target of a call.

import { get, put, remove } from './api.js';
import { calm, follow, h, row, say, show, View } from './dom.js';
import { live } from './live.js';
import { cells, complain, field, table, tell } from './parts.js';
import { askLimits, limitWords, QUEUE_FULL, queueRow } from './queue_row.js';
import { visible } from './words.js';

const KEYS = ['Key', 'Limits', '>'];

class Queues extends View {
  start() {
    this.rows = h('tbody');
    this.keys = h('tbody');
    this.noKeys = h('p.soft', 'No key has a limit. A key is a name that jobs share: enqueue --limit-key, or the target of a call.');
    this.keyTable = table(KEYS, this.keys);
    this.append(h('h1', 'Queues'),
      h('section.card', table(QUEUE_FULL, this.rows, 'two')),
      h('section.card', h('div.head', h('h2', 'Limits by key'),
        h('button.writes', { onclick: () => this.changeKey({ key: '' }) }, 'Set a limit')), this.noKeys, this.keyTable));
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
    const node = h('tr', made);
    acts.append(h('button.link.writes', { onclick: () => this.changeKey(node.limit) }, 'Change'), ' ',
      h('button.link.writes', { onclick: () => this.removeKey(node.limit) }, 'Remove'));
    return row(node, (limit) => {
      node.limit = limit;
      say(name, visible(limit.key));
      say(words, limitWords(limit));
    });
  }

  async changeKey(limit) {
    const name = field('Key', h('input', { name: 'key', value: limit.key, required: true, readonly: Boolean(limit.key) }));
    const given = await askLimits(limit.key ? `Limit of ${limit.key}` : 'A limit for a key', limit, name);
    if (!given) return;
    const { key, ...limits } = given;
    await this.changed(() => put(`limits/${encodeURIComponent(key)}`, limits), `Key ${key} has its limit`);
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
