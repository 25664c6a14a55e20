// What can be done to jobs: which action, for which of them, what it is called on the command line, what to ask first.

import { jobPath, post, remove } from './api.js';
import { ask, askFor, tell } from './parts.js';
import { count, many, quoted } from './words.js';

const waits = (job) => job.state === 'pending' || job.state === 'failed';
const held = (job) => waits(job) && job.waiting_for === 'release';
const ended = (job) => ['completed', 'dead', 'cancelled'].includes(job.state);

export const ACTIONS = {
	retry: {
		label: 'Retry', done: 'asked to run again', main: true,
		allows: (job) => job.state === 'dead' || job.state === 'cancelled' || (job.state === 'failed' && job.waiting_for === 'time'),
	},
	release: { label: 'Release', done: 'released', main: true, allows: held },
	hold: { label: 'Hold', done: 'held', allows: (job) => waits(job) && !held(job) },
	cancel: {
		label: 'Cancel', done: 'cancelled', tone: 'dead', allows: (job) => waits(job) || job.state === 'processing',
		asks: (job) => job.state === 'processing' && 'It is running. The whole tree of its processes is asked to end, and killed after its grace.',
	},
	priority: { label: 'Priority', done: 'given another priority', allows: () => false },
	delete: {
		label: 'Delete', done: 'deleted', tone: 'dead', allows: ended,
		asks: () => 'Logs and history go too. This cannot be undone.',
	},
};

/** Does it to one job, after asking where that is due. False when it was not wanted. */
export async function actOn(job, name) {
	const { label, done, tone, asks } = ACTIONS[name];
	const text = asks?.(job);
	if (text && !(await ask({ title: `${label} job ${job.id}?`, text, go: label, tone }))) return false;
	await (name === 'delete' ? remove(jobPath(job.id)) : post(jobPath(job.id, `/${name}`)));
	tell(`Job ${job.id} ${done}`);
}

/** Does it to many: tells how many it would touch, asks, does, tells how many it touched. `which`: {ids} or {where}. */
export async function actOnMany(which, name, what = '') {
	const { label, done, tone, asks } = ACTIONS[name];
	const wish = { action: name, ...which };
	if (name === 'priority' && (wish.value = await askPriority()) === null) return false;
	const { matched, changed } = await through({ ...wish, dry_run: true });
	if (!changed) {
		tell(`None of ${matched === 1 ? 'this job' : `these ${many(matched, 'job')}`} can be ${done}`, 'bad');
		return false;
	}
	const passed = matched !== changed && `Of ${many(matched, 'job')} chosen, ${count(changed)} allow it; the others stay as they are.`;
	const text = [passed, asks?.({})].filter(Boolean).join(' ');
	if (!(await ask({ title: `${label} ${many(changed, 'job')}${what}?`, text, go: `${label} ${count(changed)}`, tone }))) return false;
	const sum = await through(wish, (n) => tell(`${label}: ${count(n)} of ${many(changed, 'job')} so far`));
	tell(`${many(sum.changed, 'job')} ${done}`);
}

/** However many jobs there are, a request does some seconds' worth and says where the next begins. */
async function through(wish, told) {
	const sum = { matched: 0, changed: 0 };
	for (let after; after !== null;) {
		const done = await post('jobs/actions', { ...wish, after });
		for (const name in sum) sum[name] += done[name];
		after = done.next;
		if (after !== null) told?.(sum.changed);
	}
	return sum;
}

async function askPriority() {
	const given = await askFor('Which priority?', 'Next',
		['priority', 'Priority', 'Larger numbers run first; 0 is the default.', { type: 'number', value: '0', step: '1' }]);
	return given && Number(given.priority);
}

/** The command line that adds this job again. */
export function asCommand(job) {
	const options = { queue: job.queue === 'default' ? null : job.queue, priority: job.priority || null,
		'max-retries': job.max_retries, timeout: job.timeout, label: job.label, cwd: job.cwd };
	const given = Object.entries(options).filter(([, value]) => value !== null).map(([name, value]) => ` --${name} ${quoted(value)}`);
	const { call, function: task } = job;
	const other = call ?? (task && { function: task.name, args: task.args, kwargs: task.kwargs });
	const work = job.argv ? ` -- ${job.argv.map(quoted).join(' ')}` : other ? ` ${quoted(JSON.stringify(other))}` : ` --command ${quoted(job.command)}`;
	return `queuectl enqueue${given.join('')}${work}`;
}
