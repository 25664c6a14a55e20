// A form for a new job: a command, a program with its arguments, or a call. The same form edits what waits and repeats what was.

import { get, jobPath, patch, post } from './api.js';
import { h } from './dom.js';
import { live } from './live.js';
import { choices, complain, field, jobAddress, nothing, tell } from './parts.js';
import { View } from './view.js';

const KINDS = { command: 'Command', argv: 'Program and arguments', url: 'HTTP call' };
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'].map((one) => [one, one]);
const NOT_SHARED = ['id', 'key', 'delay']; // what a second job cannot have too; nor has it secrets, which nobody is shown
const NOT_EDITED = ['id', 'key', 'after', 'cwd'];
const headersOf = (text) => text.split('\n').filter((line) => line.trim())
	.map((line) => [line.split(':')[0].trim(), line.slice(line.indexOf(':') + 1).trim()]);
const number = (given) => (/^-?\d+$/.test(given) ? Number(given) : given || null);

// One row per field: name, label, hint, attributes, of which kind alone, how its text becomes JSON.
const FIELDS = [
	['command', 'Command', 'Text for the shell.', { rows: 3, required: true }, 'command'],
	['argv', 'Program and arguments', 'One a line; no shell reads them.', { rows: 4, required: true }, 'argv', (given) => given.replace(/\n$/, '').split('\n')],
	['url', 'URL', '', { type: 'url', required: true, placeholder: 'https://' }, 'url'],
	['method', 'Method', '', { options: METHODS, value: 'GET' }, 'url'],
	['headers', 'Headers', 'One a line: Name: value. *** stands for a secret that stays.', { rows: 2 }, 'url', headersOf],
	['body', 'Body', '', { rows: 3 }, 'url'],
	['expect_status', 'Statuses that mean success', 'For example 200, 204; empty: every 2xx.', { placeholder: '2xx' }, 'url', (given) => given || '2xx'],
	['queue', 'Queue', '', { placeholder: 'default' }],
	['priority', 'Priority', 'Larger runs first.', { type: 'number', placeholder: '0' }, '', number],
	['max_retries', 'Retries', 'After the first run.', { type: 'number', min: 0, placeholder: 'the setting' }, '', number],
	['timeout', 'Time limit', 'Seconds, or 10m, 2h; 0: none.', { placeholder: 'the setting' }],
	['delay', 'Not before', 'From now: 90, 10m, 2h30m. Or a time: 2026-12-01T06:00Z', { placeholder: 'now' }],
	['after', 'After', 'Ids of jobs that must complete first: 5, build', {}],
	['id', 'Id', '', { placeholder: 'the next number' }],
	['label', 'Label', '', {}],
	['key', 'Key', 'The same key adds a job once.', {}],
	['cwd', 'Folder', '', { placeholder: 'the server’s own' }],
	['limit_key', 'Limit key', 'Jobs that share it share its limits.', {}],
];

class Add extends View {
	start() {
		this.edits = this.params.get('edit');
		this.load();
	}

	async read() {
		const source = this.edits ?? this.params.get('from');
		this.job = source ? await get(jobPath(source)) : null;
	}

	draw() {
		const { job, edits } = this;
		if (live.readOnly) return nothing('This page only reads: it was started by queuectl dashboard.');
		const asked = this.params.get('kind');
		const kind = job?.argv ? 'argv' : job?.call ? 'url' : asked in KINDS ? asked : 'command';
		this.kind = h('select', { value: kind, onchange: () => this.showKind() }, choices(Object.entries(KINDS)));
		this.fields = FIELDS.filter(([name]) => !edits || !NOT_EDITED.includes(name)).map((spec) => this.field(spec));
		this.problem = h('p.wrong', { role: 'alert' });
		this.showKind();
		const title = edits ? `Edit job ${job.id}` : job ? `Run job ${job.id} again` : 'New job';
		setTimeout(() => this.querySelector('textarea:not([hidden] *), input:not([hidden] *)')?.focus());
		const left = job && !edits && 'Secrets, input, callbacks and limits of the run are not taken over; “Run again” takes all.';
		return [h('h1', title), left && h('p.soft', left), h('form.card.form', { onsubmit: (event) => this.send(event), novalidate: true },
			!job && field('What runs', this.kind), this.fields.map(({ box }) => box), this.problem,
			h('div.row.end', h('a.button', { href: job ? jobAddress(job.id) : '#/jobs' }, 'Leave it'),
				h('button.primary', { type: 'submit' }, edits ? 'Save' : 'Add the job')))];
	}

	field([name, label, hint, { rows, options, value, ...rest }, kind, becomes]) {
		const before = (this.job && starting(name, this.job, this.edits)) || value || '';
		const tag = options ? 'select' : rows ? 'textarea' : 'input';
		const input = h(tag, { ...rest, rows, autocomplete: 'off', spellcheck: 'false', value: before }, choices(options ?? []));
		return { name, kind, becomes, input, before, box: field(label, input, hint) };
	}

	/** Whether a field is of what runs here. */
	counts = ({ kind }) => !kind || kind === this.kind.value;

	showKind() {
		for (const one of this.fields) one.box.hidden = !this.counts(one);
	}

	asked() {
		const asked = {};
		for (const { name, becomes, input: { value, required }, before } of this.fields.filter(this.counts)) {
			if (this.edits ? value === before : !value && !required) continue;
			const place = name === 'delay' && /^\d{4}-/.test(value) ? 'run_at' : name;
			// An argument may hold a line's end: as they are, they are the job's own.
			asked[place] = name === 'argv' && this.job?.argv && value === before ? this.job.argv : becomes ? becomes(value) : value || (required ? '' : null);
		}
		return asked;
	}

	async send(event) {
		event.preventDefault();
		if (this.sending) return;
		this.sending = true;
		this.problem.textContent = '';
		try {
			const job = await (this.edits ? patch(jobPath(this.edits), this.asked()) : post('jobs', this.asked()));
			tell(`Job ${job.id} is ${this.edits ? 'changed' : 'added'}`);
			location.hash = jobAddress(job.id);
		} catch (problem) {
			if (!problem.facts) throw problem;
			this.problem.textContent = problem.line;
			const wrong = this.fields.find(({ name }) => name === problem.facts.field);
			for (const one of this.fields) one.input.toggleAttribute('aria-invalid', false);
			wrong?.input.setAttribute('aria-invalid', 'true');
			if (wrong) wrong.input.focus();
			else complain(problem);
		} finally {
			this.sending = false;
		}
	}
}

/** What a field holds at first: of the job that is edited or repeated, without what a second job cannot share. */
function starting(name, job, edits) {
	if (!edits && NOT_SHARED.includes(name)) return '';
	if (name === 'argv') return (job.argv ?? []).join('\n');
	if (name === 'command' && (job.argv || job.call)) return '';
	const value = job[name] ?? job.call?.[name] ?? '';
	if (name !== 'headers' || !value) return String(value);
	return value.filter((pair) => edits || pair[1] !== '***').map((pair) => pair.join(': ')).join('\n');
}

customElements.define('q-add', Add);
