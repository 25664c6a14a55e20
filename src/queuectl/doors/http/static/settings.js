// Settings: what each means, what it is, what it would be by itself. And where this queue lives.

import { patch } from './api.js';
import { h } from './dom.js';
import { live } from './live.js';
import { card, facts, heading, table } from './parts.js';
import { View } from './view.js';

const shown = (value) => (value === null ? '' : Array.isArray(value) ? value.join(', ') : String(value));

class Settings extends View {
	asks = 'config';

	start() {
		this.on(live, 'status', () => this.settings && !this.querySelector('.typed') && this.redraw());
		this.keep('nothing');
	}

	draw() {
		const { store, store_id: id, version } = live.status ?? {};
		const actions = live.readOnly ? 'none: this page only reads' : 'allowed';
		return [heading('Settings'), h('section.card', table(this.columns, this.settings)),
			card('This queue', facts([['Store', store], ['Store id', id], ['Version', version], ['Actions', actions]]))];
	}

	columns = [
		['Setting', (one) => (shown(one.value) === shown(one.default) ? one.name : h('b', one.name))],
		['Value', (one) => this.value(one)],
		['Default', (one) => shown(one.default)],
		['Meaning', (one) => one.meaning],
	];

	/** Typing shows the button that saves. */
	value({ name, value }) {
		const typed = ({ target }) => target.form.classList.toggle('typed', target.value !== shown(value));
		return h('form.row.setting', { onsubmit: (event) => this.save(event, name) },
			h('input', { 'aria-label': name, value: shown(value), readonly: live.readOnly, autocomplete: 'off', spellcheck: 'false', oninput: typed }),
			h('button.primary', { type: 'submit' }, 'Save'));
	}

	async save(event, name) {
		event.preventDefault();
		const input = event.target.querySelector('input');
		if (!(await this.act(() => patch('config', { [name]: input.value }), `${name} is set`))) input.focus();
	}
}

customElements.define('q-settings', Settings);
