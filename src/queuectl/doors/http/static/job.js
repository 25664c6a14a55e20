// A job: what it is, why it waits or how it ended, all it did, its output as it is written, what can be done about it.

import './log.js';
import { ACTIONS, actOn, asCommand } from './actions.js';
import { get, jobPath, path, post } from './api.js';
import { fill, h } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { card, copy, facts, jobAddress, jobLines, mark, nothing, stateMark, table, time } from './parts.js';
import { View } from './view.js';
import { reasonOf, size, took, when } from './words.js';

const WHY_MS = 10_000; // why it waits, and since when it runs, changes without a change of the job

const RUNS = [
	['Run', ({ run }) => run],
	['Ended with', (run) => {
		if (!run.ended_at) return mark('processing', 'processing', 'still runs');
		const shape = run.exit_code === 0 && !run.reason ? 'completed' : 'dead';
		return mark(shape, shape, reasonOf(run));
	}],
	['Started', (run) => when(run.started_at)],
	['>Took', (run) => run.ended_at && took((Date.parse(run.ended_at) - Date.parse(run.started_at)) / 1000)],
	['>Processor', (run) => run.cpu_seconds !== null && took(run.cpu_seconds)],
	['>Memory', (run) => run.memory_max_bytes > 0 && size(run.memory_max_bytes)],
	['>Worker', (run) => run.worker],
];

const HISTORY = [
	['What', ({ event, stage }) => `${event} → ${stage}`],
	['Run', ({ run }) => run || ''],
	['By', ({ by }) => by],
	['Note', ({ note }) => note],
	['>When', (entry) => time(entry.at)],
];

const at = (iso) => iso && when(iso);
const seconds = (s) => s !== null && took(s);
const led = (name, value) => value && h('a', { href: path`#/jobs?${name}=${value}` }, value);

const known = (job) => [
	['Added', at(job.created_at)],
	['Not before', at(job.next_run_at ?? job.run_at)],
	['Started', at(job.started_at)],
	['Ended', at(job.finished_at)],
	['Took', seconds(job.duration_seconds)],
	['Exit status', job.exit_code],
	['Reason', job.reason],
	['Runs charged', `${job.attempts} of at most ${job.max_retries + 1}`],
	['Interrupted', job.interruptions || null],
	['Queue', led('queue', job.queue)],
	['Priority', job.priority],
	['Time limit', job.timeout === 0 ? 'none' : seconds(job.timeout)],
	['Label', led('label', job.label)],
	['Key', job.key],
	['Limited by', job.limit_key],
	['Needs', job.where.join(', ')],
	['Folder', job.cwd],
	['Log file', job.log_file],
];

class JobView extends View {
	get id() {
		return this.params.get('id');
	}

	start() {
		const again = this.keep('tick', 250);
		this.on(live, 'jobs', ({ detail }) => detail.some(({ id }) => id === this.id) && again());
		this.every(WHY_MS, () => this.job && !this.job.finished_at && this.load(() => this.explain()));
	}

	failed(problem) {
		if (problem.status === 404) fill(this, nothing(`There is no job ${this.id}.`, h('a', { href: '#/jobs' }, 'All jobs')));
		else super.failed(problem);
	}

	async read() {
		const parts = ['', '/attempts', '/history', '/dependants'].map((rest) => get(jobPath(this.id, rest)));
		[this.job, { attempts: this.runs }, { history: this.history }, { dependants: this.dependants }] = await Promise.all([...parts, this.explain()]);
	}

	async explain() {
		this.reasons = (await get(jobPath(this.id, '/explain'))).reasons;
	}

	redraw() {
		super.redraw();
		if (this.job) this.querySelector('q-log')?.follow(this.job, this.runs.map(({ run }) => run));
	}

	draw() {
		const { job } = this;
		if (!job) return null;
		return [
			h('div.row.title', stateMark(job), h('h1', `Job ${job.id}`), job.label && h('span.chip', job.label),
				h('span.grow'), h('div.row.writes', this.buttons(job))),
			h('section.card', h('div.row.top', h('code.command', job.command),
				h('button', { onclick: () => copy(asCommand(job)) }, icon('copy'), 'Copy as command')),
			h('ul.why', { 'aria-label': 'Why' }, this.reasons.map((text) => h('li', text)))),
			h('div.grid.wide', h('section.card.log', h('h2', 'Output'), h('q-log')), card('Facts', facts(known(job)))),
			this.runs.length > 0 && card('Runs', table(RUNS, [...this.runs].reverse(), ({ run }) => run, 'two')),
			h('div', { class: this.dependants.length > 0 && 'grid' }, card('History', table(HISTORY, [...this.history].reverse(), (entry) => entry.at + entry.event)),
				this.dependants.length > 0 && card('What waits for it', jobLines(this.dependants, 'updated_at'))),
		];
	}

	buttons(job) {
		const names = Object.keys(ACTIONS).filter((name) => ACTIONS[name].allows(job));
		const form = (how, text) => h('a.button', { key: how, href: path`#/add?${how}=${job.id}` }, icon('edit'), text);
		return [
			names.map((name) => h('button', { key: name, class: ACTIONS[name].main && 'primary', onclick: () => this.does(name) }, icon(name), ACTIONS[name].label)),
			(job.state === 'pending' || job.state === 'failed') && form('edit', 'Edit'),
			h('button', { key: 'again', onclick: () => this.again() }, icon('release'), 'Run again'),
			!job.function && form('from', 'Edit and run again'),
		];
	}

	does(name) {
		return this.act(async () => {
			if ((await actOn(this.job, name)) === false) return false;
			if (name === 'delete') location.hash = '#/jobs';
			return true;
		});
	}

	again() {
		return this.act(async () => { location.hash = jobAddress((await post(jobPath(this.id, '/rerun'))).id); }, `Job ${this.id} is added again`);
	}
}

customElements.define('q-job', JobView);
