// The table of jobs. The address holds the view: filters, search, order and page; what happens shows in place.

import { ACTIONS, actOnMany } from './actions.js';
import { get } from './api.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { JobTable } from './job_table.js';
import { live } from './live.js';
import { jobAddress, nothing, select } from './parts.js';
import { View } from './view.js';
import { STATES, brief, many, now, reasonOf } from './words.js';

const SORTS = [['newest', 'Newest first'], ['oldest', 'Oldest first'], ['updated', 'Last changed first'], ['priority', 'Next to start first']];
const SINCE = [['', 'Added any time'], ['1', 'Added in the last hour'], ['24', 'Added in the last day'], ['168', 'Added in the last week']];
const FILTERS = ['state', 'queue', 'label', 'q', 'since', 'reason', 'exit_code'];
const PAGE = 50;
const LOOK_FOR_MS = 1500;
const TYPING_MS = 250;
const WAITING_FOR = { later: 'time', held: 'release', blocked: 'jobs', ready: 'slot', claimed: 'slot' };

class Jobs extends View {
	jobs = null;
	back = []; // the cursors of the pages before this one
	looking = true; // for a view that is not shown yet
	missed = 0; // new jobs that wait to be shown, because somebody is at work here
	table = new JobTable({ open: (id) => { location.hash = jobAddress(id); }, changed: () => this.redraw() });

	start() {
		this.again = this.keep('tick');
		this.on(live, 'jobs', ({ detail }) => this.hear(detail));
		this.on(live, 'status', () => this.redraw());
	}

	// --- the address

	update(params) {
		const before = JSON.stringify(this.where);
		this.params = params;
		this.looking = before !== JSON.stringify(this.where);
		if (this.looking) this.table.forget();
		this.load();
	}

	get where() {
		return Object.fromEntries(FILTERS.map((name) => [name, this.params.get(name)]).filter(([, value]) => value));
	}

	/** The filter as the API is asked it: an age is a moment. */
	get wanted() {
		const { since, ...where } = this.where;
		return since ? { ...where, since: new Date(now() - since * 3_600_000).toISOString() } : where;
	}

	get states() {
		return (this.params.get('state') ?? '').split(',').filter(Boolean);
	}

	pick(state) {
		const { states } = this;
		this.go({ state: (states.includes(state) ? states.filter((one) => one !== state) : [...states, state]).join(',') });
	}

	typed() {
		clearTimeout(this.typing);
		this.typing = setTimeout(() => this.go({}, true), TYPING_MS);
	}

	/** Another view of the jobs: changes the address, and the address changes the page. */
	go(changes, replace = false) {
		clearTimeout(this.typing);
		const params = new URLSearchParams(location.hash.split('?')[1]);
		if (!('after' in changes)) this.back = [];
		for (const [name, value] of Object.entries({ find: '', after: '', q: this.search.value.trim(), ...changes })) {
			if (value) params.set(name, value);
			else params.delete(name);
		}
		const hash = `#/jobs${params.size ? `?${params}` : ''}`;
		if (hash === location.hash) return;
		if (!replace) location.hash = hash;
		else {
			history.replaceState(null, '', hash);
			this.update(params);
		}
	}

	turn(forward) {
		if (forward) this.back.push(this.params.get('after') ?? '');
		this.go({ after: forward ? this.cursor : this.back.pop() ?? '' });
	}

	// --- what is read

	/** A page of jobs. A search looks through so many jobs at a time; what it found so far is asked on from there, and shown at
	 * once where the view is another than before. */
	async read() {
		this.asked?.abort();
		const { signal } = this.asked = new AbortController();
		const ask = { ...this.wanted, sort: this.params.get('sort') };
		const page = String(this.params);
		const jobs = [];
		let next = this.params.get('after');
		const until = performance.now() + LOOK_FOR_MS;
		for (let over = false; !over;) {
			const found = await get('jobs', { ...ask, after: next, limit: PAGE - jobs.length }, signal);
			jobs.push(...found.jobs);
			next = found.next;
			over = !next || jobs.length >= PAGE || performance.now() > until;
			const stays = this.table.inUse && page === this.page && !this.looking;
			if (!over && (stays || !this.looking)) continue;
			if (stays) {
				this.renew(jobs);
				continue;
			}
			Object.assign(this, { jobs, page, cursor: next, missed: 0, looking: !over });
			this.table.shows(jobs);
			if (!over) this.redraw();
		}
	}

	/** Somebody is at work here: each row stays where it is and becomes what its job is now; what is newer is counted. */
	renew(found) {
		const fresh = new Map(found.map((job) => [job.number, job]));
		for (const job of this.jobs) Object.assign(job, fresh.get(job.number));
		const newest = Math.max(...this.jobs.map(({ number }) => number));
		this.missed = found.filter(({ number }) => number > newest).length;
	}

	show() {
		this.page = null;
		this.load();
	}

	/** What is on the page changes in place at once; the rest is read. */
	hear(changes) {
		const shown = new Map(this.jobs?.map((job) => [job.number, job]));
		const known = changes.filter(({ number }) => shown.has(number));
		for (const { number, state, stage, at } of known) {
			Object.assign(shown.get(number), { state, waiting_for: WAITING_FOR[stage] ?? null, updated_at: at });
		}
		if (known.length) this.redraw();
		this.again();
	}

	// --- what is shown

	get search() {
		return this.querySelector('[type=search]');
	}

	redraw() {
		const first = !this.firstChild;
		super.redraw();
		if (first && this.params.get('find')) this.search?.focus();
	}

	draw() {
		if (!this.jobs) return null;
		const n = this.jobs.length;
		const more = n < PAGE && this.cursor ? ', and more to look through' : '';
		return [h('h1.unseen', 'Jobs'), this.filters(), this.picks(), this.chosen(),
			h('section.card.flush', n ? this.table.draw() : nothing(this.looking ? 'Looking …' : 'No job is like that.', h('a.button', { href: '#/jobs' }, 'Show all jobs'))),
			h('div.row.pages', h('span.soft', { role: 'status' }, n || this.cursor ? `${many(n, 'job')} on this page${more}` : ''),
				this.missed > 0 && h('button', { 'aria-pressed': 'true', onclick: () => this.show() }, `${this.missed < PAGE ? '' : 'at least '}${many(this.missed, 'new job')}: show`),
				h('button', { disabled: !this.params.get('after'), onclick: () => this.turn(false) }, '‹ Previous'),
				h('button', { disabled: !this.cursor, onclick: () => this.turn(true) }, 'Next ›'))];
	}

	filters() {
		const value = (name) => this.params.get(name) ?? '';
		const queues = [...new Set([...Object.keys(live.status?.queues ?? {}), value('queue')].filter(Boolean))].sort();
		const typing = document.activeElement === this.search; // what is being typed is not overwritten
		return h('form.filters', { role: 'search', onsubmit: (event) => event.preventDefault() },
			h('label.find', icon('search'),
				h('input', { type: 'search', placeholder: 'id, command or label', 'aria-label': 'Search id, command and label', maxlength: 200,
					value: typing ? null : value('q'), oninput: () => this.typed() })),
			select('Queue', [['', 'All queues'], ...queues.map((name) => [name, name])], value('queue'), (queue) => this.go({ queue })),
			select('Added since', SINCE, value('since'), (since) => this.go({ since })),
			select('Order', SORTS, value('sort') || 'newest', (sort) => this.go({ sort })));
	}

	picks() {
		const { queue, q, label, since, reason, exit_code: code } = this.where;
		const counted = !(queue || q || label || since) && live.status;
		return h('div.picks', { role: 'group', 'aria-label': 'States' },
			STATES.map((state) => h('button.pick', { 'aria-pressed': String(this.states.includes(state)), 'data-tone': state, onclick: () => this.pick(state) },
				icon(state), h('span', state), h('b', counted ? brief(counted[state]) : ''))),
			label && pick(`label ${label}`, () => this.go({ label: '' })),
			(reason || code) && pick(`ended with ${reasonOf({ reason: reason === 'none' ? null : reason, exit_code: code })}`,
				() => this.go({ reason: '', exit_code: '' })));
	}

	chosen() {
		const { chosen, whole } = this.table;
		if (!chosen.size) return null;
		const canAll = chosen.size === this.jobs.length && (this.cursor || this.params.get('after'));
		return h('div.chosen.writes', { role: 'group', 'aria-label': 'What to do with the chosen jobs' },
			h('span', { role: 'status' }, whole ? 'All jobs of this filter are chosen' : `${many(chosen.size, 'job')} chosen`),
			canAll && h('button.link', { onclick: () => this.table.chooseWhole(!whole) }, whole ? 'only this page' : 'choose all of this filter'),
			Object.entries(ACTIONS).map(([name, { label }]) => h('button', { onclick: () => this.actOn(name) }, icon(name), label)),
			h('button.link', { onclick: () => this.table.forget() }, 'Forget the choice'));
	}

	actOn(name) {
		const which = this.table.whole ? { where: this.wanted } : { ids: [...this.table.chosen.values()] };
		return this.act(async () => {
			if ((await actOnMany(which, name)) === false) return false;
			this.table.forget();
			return true;
		});
	}

	key(event) {
		if (event.key !== '/') return this.table.key(event, this);
		this.search.focus();
		this.search.select();
		return true;
	}
}

/** A filter that another page has led to: a click takes it away. */
const pick = (text, without) => h('button', { 'aria-pressed': 'true', onclick: without }, text, icon('cancel'));

customElements.define('q-jobs', Jobs);
