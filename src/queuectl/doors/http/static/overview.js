// The overview: is all well, how much is done and how fast, what waits and for how long, what went wrong lately.

import './chart.js';
import { get, path } from './api.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { live } from './live.js';
import { card, facts, jobLines, table, time } from './parts.js';
import { queueColumns } from './queue_table.js';
import { verdict } from './verdict.js';
import { View } from './view.js';
import { STATES, brief, count, many, oneLine, reasonOf, short, took } from './words.js';

const SPANS = { hour: 'Hour', day: 'Day', week: 'Week' };
const LINES = 5; // of each list
const QUEUES = 8;

class Overview extends View {
	asks = ['queues', 'workers', `schedule?limit=${LINES}`, `dead?limit=${LINES}`];

	start() {
		this.span = this.params.get('span') in SPANS ? this.params.get('span') : 'hour';
		this.keep('jobs tick workers', 1000);
		this.again = this.keep('jobs tick', 5000, () => this.readSeries());
		this.every(60_000, this.again);
		this.on(live, 'status mode', () => this.redraw());
	}

	update(params) {
		this.params = params;
		this.span = params.get('span') ?? 'hour';
		this.load(() => this.readSeries());
	}

	async readSeries() {
		const { points, step_s: step, duration_percentiles: took_, wait_percentiles: waited, one_in: oneIn } = await get('series', { span: this.span });
		const values = (name) => points.map((point) => point[name]);
		const [good, bad] = ['completed', 'failed'].map((name) => values(name).reduce((all, n) => all + n, 0));
		const times = points.map(({ at }) => Date.parse(at));
		const three = (all) => ['p50', 'p90', 'p99'].map((name) => short(all[name])).join(' · ');
		this.figures = [['Waited p50 · 90 · 99', three(waited)], ['Took p50 · 90 · 99', three(took_)],
			['Runs ended · failed', `${brief(good + bad)} · ${brief(bad)}`],
			['Runs that succeeded', good + bad ? `${((good / (good + bad)) * 100).toFixed(bad && bad < good / 100 ? 2 : 1)} %` : '–']];
		this.rate = {
			times, bars: true, format: brief,
			summary: `Last ${this.span}, each bar ${took(step)}: ${count(good)} completed, ${count(bad)} runs failed`,
			series: [{ name: 'completed', values: values('completed') }, { name: 'failed', values: values('failed') }],
		};
		this.times = {
			times, format: short,
			summary: `Medians${oneIn > 1 ? ` of every ${count(oneIn)}th run` : ''}: took (solid), waited (dashed)`,
			series: [{ name: 'took', values: values('duration_p50_s') }, { name: 'waited', values: values('wait_p50_s') }],
		};
	}

	/** Nothing until all is known, or known to be missing: what is seen never moves. */
	draw() {
		const { status, mode } = live;
		if (!status || !this.queues || !this.rate) return mode === 'stale' && !this.rate && [this.banner(mode)];
		const spans = Object.entries(SPANS).map(([name, label]) =>
			h('a.button', { href: name === 'hour' ? '#/' : `#/?span=${name}`, 'aria-current': name === this.span && 'true' }, label));
		return [
			h('h1.unseen', 'Overview'), this.banner(mode, status),
			h('ul.tiles', { 'aria-label': 'Jobs by state' }, STATES.map((state) => tile(state, status[state]))),
			h('div.grid.wide',
				headed('Throughput', h('div.spans', { role: 'group', 'aria-label': 'Span of the charts' }, spans), h('q-chart', { tall: 300, drawn: this.rate })),
				card('Waiting and running times', h('q-chart', { drawn: this.times }), facts(this.figures))),
			h('div.grid',
				headed('Queues', more('#/queues', 'All queues'), table(queueColumns(this, true), this.queues.slice(0, QUEUES), ({ queue }) => queue, 'two'),
					rest(this.queues.length - QUEUES, '#/queues')),
				headed('Running now', more('#/workers', 'Workers'), this.running())),
			h('div.grid',
				headed('Due next', more('#/schedules', 'Schedules'), this.jobs.length ? jobLines(this.jobs, 'next_run_at') : none('Nothing is scheduled.')),
				headed('What went wrong', more('#/dead', 'Dead letters'), this.groups.length ? h('ul.list', this.groups.map(groupLine)) : none('Nothing is dead.'))),
		];
	}

	banner(mode, status) {
		const { tone, title, text, shape, found } = verdict(status, mode);
		return h('section.banner', { 'aria-labelledby': 'well', 'data-tone': tone }, shape && icon(shape),
			h('div', h('h2', { id: 'well' }, title), found.length ? h('ul', found.map(finding)) : h('p', text)));
	}

	running() {
		const running = this.workers.flatMap((worker) => worker.running);
		const slots = this.workers.reduce((sum, worker) => sum + worker.slots, 0);
		if (running.length) return [jobLines(running.slice(0, LINES), 'since'), rest(running.length - LINES, '#/jobs?state=processing')];
		return none(slots ? `Nothing. ${many(slots, 'slot')} of ${many(this.workers.length, 'worker')} are free.` : 'No worker is running.');
	}
}

const headed = (title, aside, ...content) => h('section.card', h('div.head', h('h2', title), aside), content);
const more = (href, text) => h('a', { href }, text, ' ›');
const none = (text) => h('p.rest', text);
const rest = (n, href) => n > 0 && h('p.rest', h('a', { href }, `and ${many(n, 'more', 'more')}`));
const finding = ({ text, href, tone }) => h('li', { 'data-tone': tone }, h('a', { href }, text));
const tile = (state, n) => h('li', { 'data-tone': state, 'data-zero': !n },
	h('a', { href: `#/jobs?state=${state}` }, h('span', icon(state), state), h('b', { title: count(n) }, brief(n))));
const groupLine = (group) => h('li.line', { key: reasonOf(group) }, h('b', `${brief(group.count)} ×`),
	h('a.cut', { href: path`#/dead?reason=${reasonOf(group)}` }, reasonOf(group)),
	h('span.soft.cut', oneLine(group.newest?.command)), time(group.newest?.updated_at));

customElements.define('q-overview', Overview);
