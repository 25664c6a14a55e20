// Workers: where they are, what their slots do since when, and ending them in three ways.

import { post } from './api.js';
import { h } from './dom.js';
import { ask, heading, jobLines, nothing, time } from './parts.js';
import { View } from './view.js';

const WAYS = {
	finish: ['Let it finish', 'It takes no new job and ends when those that run have ended.'],
	leave: ['Leave its jobs running', 'It ends now; its jobs run on and the next worker takes them over.'],
	now: ['End its jobs now', 'Its jobs are ended and wait for another worker.'],
};

class Workers extends View {
	asks = 'workers';

	start() {
		this.keep('workers jobs tick', 500);
	}

	draw() {
		const none = nothing('No worker is running, so nothing runs.', h('code.command', 'queuectl worker start --count 4'));
		return [heading('Workers'), this.workers.length ? this.workers.map((worker) => this.card(worker)) : none];
	}

	card({ id, host, pid, slots, queues, offers, running, stopping, started_at: since }) {
		const n = running.length;
		const tags = offers.filter((word) => word.startsWith('tag:')).map((word) => word.slice(4));
		return h('section.card', { key: id },
			h('div.head', h('h2', `Worker ${id}`), h('span.soft', `${host}, process ${pid}, since `, time(since)),
				stopping && h('span.chip', { 'data-tone': 'failed' }, `stopping: ${stopping}`), h('span.grow'),
				h('button.writes', { onclick: () => this.stop(id) }, 'Stop')),
			h('p', h('b', `${n} of ${slots}`), ` of its slots${offers.includes('call') ? ' for HTTP calls' : ''} are busy; it serves ${listed(queues) || 'all queues'}${tags.length ? `, tagged ${listed(tags)}` : ''}.`),
			h('progress', { max: slots, value: n, 'aria-label': 'busy slots' }),
			n ? jobLines(running, 'since') : h('p.soft', 'All its slots are free.'));
	}

	async stop(id) {
		const body = h('fieldset', h('legend.unseen', 'How'), Object.entries(WAYS).map(([how, [title, text]]) =>
			h('label.way', h('input', { type: 'radio', name: 'how', value: how, checked: how === 'finish' }), h('span', h('b', title), text))));
		const given = await ask({ title: `Stop worker ${id}?`, body, go: 'Stop it', tone: 'dead' });
		if (given) await this.act(() => post(`workers/${id}/stop`, given), `Worker ${id} was asked to stop`);
	}
}

const listed = (names) => (names ?? []).join(', ');

customElements.define('q-workers', Workers);
