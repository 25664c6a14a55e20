// Dead letters by reason: what fails most stands first; one, some or all are tried again.

import { actOn, actOnMany } from './actions.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { heading, jobLink, link, nothing, time } from './parts.js';
import { View } from './view.js';
import { count, many, oneLine, reasonOf } from './words.js';

class Dead extends View {
	asks = 'dead';

	draw() {
		const { groups, total } = this;
		if (!total) return [heading('Dead letters'), nothing('Nothing is dead. Jobs come here when they have failed as often as they may.')];
		return [
			heading('Dead letters', h('span.soft', `${many(total, 'job')}, ${many(groups.length, 'reason')}`),
				h('button.primary.writes', { onclick: () => this.retry({ state: 'dead' }) }, icon('retry'), `Retry all ${count(total)}`)),
			groups.map((group) => this.group(group, reasonOf(group))),
		];
	}

	group({ reason, exit_code: code, count: n, newest }, title) {
		const where = { state: 'dead', reason: reason ?? 'none', ...(code === null ? {} : { exit_code: code }) };
		return h('section.card.group', { key: title, 'data-wanted': title === this.params.get('reason') },
			h('div.head', h('h2', icon('dead'), title), h('b', `${count(n)} ×`)),
			newest && h('div.line', h('span.soft', 'newest'), jobLink(newest.id), h('code.cut', oneLine(newest.command)),
				n > 1 && link('Retry this one', () => this.act(() => actOn(newest, 'retry'))), time(newest.updated_at)),
			h('div.row', h('button.writes', { onclick: () => this.retry(where, ` that ended with ${title}`) }, icon('retry'), `Retry ${n === 1 ? 'it' : `all ${count(n)}`}`),
				h('a.button', { href: `#/jobs?${new URLSearchParams(where)}` }, 'Choose among them')));
	}

	retry(where, what) {
		return this.act(() => actOnMany({ where }, 'retry', what));
	}
}

customElements.define('q-dead', Dead);
