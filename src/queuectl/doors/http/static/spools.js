// Spools: folders of packets that become jobs, strictly in order; which packet comes next, and what keeps it.

import { path, post, remove } from './api.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { ask, askFor, heading, jobLink, link, mark, nothing, table } from './parts.js';
import { View } from './view.js';
import { count } from './words.js';

const ASKS = {
	skip: ({ name, next }) => [`Skip packet ${next} of ${name}?`, 'It will not run; the next one comes. This cannot be undone.', 'Skip it'],
	detach: ({ name }) => [`Detach ${name}?`, 'The folder and its packets stay as they are.', 'Detach'],
};

class Spools extends View {
	asks = 'spools';

	draw() {
		const none = nothing('No folder of packets is attached.', h('code.command', 'queuectl spool attach FOLDER -- PROGRAM'));
		return [heading('Spools', h('button.writes', { onclick: () => this.attach() }, icon('plus'), 'Attach a folder')),
			h('section.card', this.spools.length ? table(this.columns, this.spools) : none)];
	}

	columns = [
		['Spool', ({ name }) => name],
		['Folder', ({ host, folder }) => [host, host && ':', folder]],
		['Queue', ({ queue }) => queue],
		['>Next packet', ({ next }) => count(next)],
		['State', ({ is, stopped, here, next, job }) => {
			const shape = stopped || here && next === null ? 'dead' : job ? 'processing' : 'pending';
			return mark(shape, shape, is.join('; '));
		}],
		['Job', ({ job }) => job && jobLink(job)],
		['>', (one) => [one.stopped && this.does(one, 'retry', 'Try again'), one.here && (one.stopped || !one.job) && this.does(one, 'skip', 'Skip'),
			!one.detaching && this.does(one, 'detach', 'Detach')]],
	];

	does = (spool, what, label) => link(label, async () => {
		const [title, text, go] = ASKS[what]?.(spool) ?? [];
		if (title && !(await ask({ title, text, go, tone: 'dead' }))) return;
		await this.act(() => (what === 'detach' ? remove(path`spools/${spool.name}`) : post(path`spools/${spool.name}/${what}`)), `Spool ${spool.name}: done`);
	});

	async attach() {
		const given = await askFor('Attach a folder of packets', 'Attach',
			['folder', 'Folder', 'On the server; fspl queue-init makes one.', { placeholder: '/srv/spool' }],
			['command', 'Command', 'The program and its arguments, one a line; the packet is its standard input.', { rows: 2 }],
			['name', 'Name', '', { required: false, placeholder: 'the folder’s' }], ['queue', 'Queue', '', { required: false, placeholder: 'default' }]);
		if (!given) return;
		const asked = Object.entries({ ...given, command: given.command.split('\n').filter(Boolean) }).filter(([, value]) => value.length);
		await this.act(() => post('spools', Object.fromEntries(asked)), 'Attached');
	}
}

customElements.define('q-spools', Spools);
