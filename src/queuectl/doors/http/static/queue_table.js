// Queues as a table: how deep, how old, how fast each may run, and the switch that pauses it.

import { patch, path } from './api.js';
import { h } from './dom.js';
import { askFor, link, toggle } from './parts.js';
import { about, brief } from './words.js';

const address = ({ queue }) => path`#/jobs?queue=${queue}`;
const counted = (state) => (one) => h('a', { href: `${address(one)}&state=${state}`, 'data-zero': !one[state] }, brief(one[state] ?? 0));

/** The columns of all queues on a page; `short` for where they stand among other things. */
export function queueColumns(page, short = false) {
	const change = ({ queue }, wish, done) => page.act(() => patch(path`queues/${queue}`, wish), `Queue ${queue} ${done}`);
	const limit = async (one) => {
		const limits = await askLimits(`Limits of queue ${one.queue}`, one);
		if (limits) await change(one, limits, 'has its limits');
	};
	const columns = [
		['Queue', (one) => [h('a', { href: address(one) }, one.queue), ' ', one.paused && h('span.chip', { 'data-tone': 'failed' }, 'paused')]],
		['>Pending', counted('pending')],
		['>Running', counted('processing')],
		['>Failed', counted('failed')],
		['>Dead', counted('dead'), 'long'],
		['>Completed', counted('completed'), 'long'],
		['>Oldest', ({ oldest_waiting_seconds: oldest }) => (oldest === null ? '–' : about(oldest))],
		['Limits', (one) => link(limitWords(one), () => limit(one), limitWords(one)), 'long'],
		['>Served', (one) => toggle(`${one.queue} is served`, !one.paused,
			() => change(one, { paused: !one.paused }, one.paused ? 'is served again' : 'is paused; what runs goes on'))],
	];
	return short ? columns.filter(([, , where]) => where !== 'long') : columns;
}

export const limitWords = ({ parallel, rate }) => [parallel && `${parallel} at once`, rate].filter(Boolean).join(', ') || 'none';

/** Asks for limits, of a queue or of a key: {parallel, rate}, what else `more` asks for, or null. */
export async function askLimits(title, { parallel, rate }, ...more) {
	const free = (value) => ({ value: value ?? '', placeholder: 'no limit', required: false });
	const given = await askFor(title, 'Set', ...more, ['parallel', 'At once', '', { type: 'number', min: 1, ...free(parallel) }],
		['rate', 'Rate', 'How many may start in a time: 10/s, 90/m, 500/h.', free(rate)]);
	return given && { ...given, parallel: given.parallel === '' ? null : Number(given.parallel), rate: given.rate || null };
}
