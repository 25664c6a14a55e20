// Schedules: what is added again and again, by which expression, and when next.

import { path, post, remove } from './api.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { ask, askFor, heading, jobLink, link, nothing, table, time, toggle } from './parts.js';
import { View } from './view.js';
import { count, oneLine } from './words.js';

class Schedules extends View {
	asks = 'schedules';

	draw() {
		const none = nothing('Nothing is added again and again.', h('code.command', "queuectl schedule add nightly '30 2 * * *' -- ./backup.sh"));
		return [heading('Schedules', h('button.writes', { onclick: () => this.add() }, icon('plus'), 'New schedule')),
			h('section.card', this.schedules.length ? table(this.columns, this.schedules) : none)];
	}

	columns = [
		['Schedule', ({ name }) => name],
		['When', ({ cron, zone }) => `${cron} (${zone ?? 'UTC'})`],
		['Next', (one) => time(one.paused ? null : one.next_at)],
		['Command', ({ command }) => h('code', oneLine(command))],
		['Last job', (one) => one.last_job && jobLink(one.last_job)],
		['>Jobs', ({ jobs }) => count(jobs)],
		['>Goes on', (one) => toggle(`${one.name} goes on`, !one.paused, () => this.ask(one, one.paused ? 'resume' : 'pause'))],
		['>', (one) => [link('Run now', () => this.ask(one, 'run')), link('Remove', () => this.remove(one))]],
	];

	ask({ name }, word) {
		return this.act(() => post(path`schedules/${name}/${word}`), `Schedule ${name}: ${{ run: 'runs now', pause: 'paused', resume: 'goes on' }[word]}`);
	}

	async remove({ name }) {
		if (!(await ask({ title: `Remove schedule ${name}?`, text: 'The jobs it has added stay.', go: 'Remove', tone: 'dead' }))) return;
		await this.act(() => remove(path`schedules/${name}`), `Schedule ${name} is removed`);
	}

	async add() {
		const given = await askFor('A new schedule', 'Add', ['name', 'Name'],
			['cron', 'When', 'Minute, hour, day, month, day of the week; or @daily and the like.', { placeholder: '30 2 * * *' }],
			['zone', 'Time zone', '', { required: false, placeholder: 'the server’s' }], ['command', 'Command', '', { rows: 2 }]);
		if (!given) return;
		const { name, cron, zone, command } = given;
		await this.act(() => post('schedules', { name, cron, ...(zone && { zone }), job: { command } }), `Schedule ${name} is added`);
	}
}

customElements.define('q-schedules', Schedules);
