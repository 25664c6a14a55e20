// Queues: depth, age, limits, pause; and the limits that hang on keys, such as the target of a call.

import { path, put, remove } from './api.js';
import { h } from './dom.js';
import { heading, link, table } from './parts.js';
import { askLimits, limitWords, queueColumns } from './queue_table.js';
import { View } from './view.js';

class Queues extends View {
	asks = ['queues', 'limits'];

	start() {
		this.keep('status jobs tick', 500);
	}

	draw() {
		return [heading('Queues'), h('section.card', table(queueColumns(this), this.queues, ({ queue }) => queue, 'two')),
			h('section.card', h('div.head', h('h2', 'Limits by key'), h('button.writes', { onclick: () => this.limit({ key: '' }) }, 'Set a limit')),
				this.limits.length ? table(this.columns, this.limits, ({ key }) => key)
					: h('p.soft', 'No key has a limit. A key is a name that jobs share: enqueue --limit-key, or the target of a call.'))];
	}

	columns = [
		['Key', ({ key }) => key],
		['Limits', limitWords],
		['>', (one) => [link('Change', () => this.limit(one)), link('Remove', () => this.unlimit(one))]],
	];

	async limit(limit) {
		const name = ['key', 'Key', '', { value: limit.key, readonly: Boolean(limit.key) }];
		const given = await askLimits(limit.key ? `Limit of ${limit.key}` : 'A limit for a key', limit, name);
		if (!given) return;
		const { key, ...limits } = given;
		await this.act(() => put(path`limits/${key}`, limits), `Key ${key} has its limit`);
	}

	unlimit({ key }) {
		return this.act(() => remove(path`limits/${key}`), `Key ${key} has no limit any more`);
	}
}

customElements.define('q-queues', Queues);
