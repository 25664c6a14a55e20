// Jobs as rows that are walked with j and k, opened with Enter and chosen with x; by mouse the same. On a narrow screen the
// same cells become two lines.

import { path } from './api.js';
import { h } from './dom.js';
import { jobAddress, stateMark, time } from './parts.js';
import { oneLine, took, visible } from './words.js';

const COLUMNS = [['State'], ['Job'], ['Queue', 'far'], ['Priority', 'n far'], ['Runs', 'n far'], ['Took', 'n far'], ['Changed', 'n']];

export class JobTable {
	jobs = [];
	chosen = new Map(); // number of a chosen job → its id
	at = null; // number of the job that the keys are at
	whole = false; // every job of the filter is chosen, not only what is on the page

	constructor({ open, changed }) {
		Object.assign(this, { open, changed });
	}

	get inUse() {
		return this.chosen.size > 0 || this.at !== null;
	}

	/** What is no longer on the page is no longer chosen, so that nobody acts on the unseen. */
	shows(jobs) {
		const shown = new Set(jobs.map(({ number }) => number));
		for (const number of this.chosen.keys()) if (!shown.has(number)) this.chosen.delete(number);
		if (!shown.has(this.at)) this.at = null;
		this.jobs = jobs;
	}

	choose(jobs, yes) {
		for (const { number, id } of jobs) {
			if (yes) this.chosen.set(number, id);
			else this.chosen.delete(number);
		}
		this.chooseWhole(false);
	}

	chooseWhole(yes) {
		this.whole = yes;
		this.changed();
	}

	forget() {
		this.chosen.clear();
		this.at = null;
		this.chooseWhole(false);
	}

	draw() {
		const { size } = this.chosen;
		const all = h('input.writes', { type: 'checkbox', 'aria-label': 'Choose all on this page', checked: size > 0 && size === this.jobs.length,
			indeterminate: size > 0 && size < this.jobs.length, onchange: ({ target }) => this.choose(this.jobs, target.checked) });
		const head = COLUMNS.map(([title, kind]) => h('th', { scope: 'col', class: kind }, title));
		return h('div.scroll', h('table.jobs', h('thead', h('tr', h('th.choose', all), head)), h('tbody', this.jobs.map((job) => this.row(job)))));
	}

	row(job) {
		const { number, id } = job;
		const chosen = this.chosen.has(number);
		const box = h('input', { type: 'checkbox', 'aria-label': `choose job ${id}`, checked: chosen, onchange: ({ target }) => this.choose([job], target.checked) });
		return h('tr', { key: number, 'data-chosen': chosen, 'data-at': number === this.at, onclick: (event) => this.clicked(id, event) },
			h('td.choose', h('label.writes', box)),
			h('td', stateMark(job)),
			h('td.job', h('div', h('a.id', { href: jobAddress(id) }, id), job.label && h('a.chip', { href: path`#/jobs?label=${job.label}` }, job.label),
				h('code.cut', { title: visible(job.command) }, oneLine(job.command)))),
			h('td.far', job.queue),
			h('td.n.far', job.priority || ''),
			h('td.n.far', job.run ? `${job.attempts}${job.max_retries ? ` / ${job.max_retries + 1}` : ''}` : ''),
			h('td.n.far', job.state === 'processing' || job.duration_seconds === null ? '' : took(job.duration_seconds)),
			h('td.n', time(job.updated_at)));
	}

	clicked(id, event) {
		if (event.target.closest('a, button, input, label') || getSelection().toString()) return;
		if (!(event.ctrlKey || event.metaKey || event.shiftKey)) this.open(id);
	}

	key({ key, target }, page) {
		const i = this.jobs.findIndex(({ number }) => number === this.at);
		const step = { j: 1, k: -1 }[key];
		if (step) this.move(Math.max(0, Math.min(this.jobs.length - 1, i < 0 ? 0 : i + step)), page);
		else if (key === 'Enter' && i >= 0 && !target.closest('a, button')) this.open(this.jobs[i].id);
		else if (key === 'x' && i >= 0) this.choose([this.jobs[i]], !this.chosen.has(this.at));
		else if (key === 'Escape') this.forget();
		else return false;
		return true;
	}

	/** The focus goes along, so that a screen reader reads the row and Tab goes on from it. */
	move(i, page) {
		if (!this.jobs[i]) return;
		this.at = this.jobs[i].number;
		this.changed();
		const row = page.querySelector('tr[data-at]');
		row.querySelector('a').focus({ preventScroll: true });
		row.scrollIntoView({ block: 'nearest' });
	}
}
