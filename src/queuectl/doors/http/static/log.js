// A job's output, live. However long it is, the page holds pieces of it: a piece is a few nodes, those out of sight are not laid out.

import { Ansi, node } from './ansi.js';
import { address, bytes, jobPath } from './api.js';
import { fill, h, say } from './dom.js';
import { icon } from './icons.js';
import { Finder } from './log_find.js';
import { select } from './parts.js';
import { size } from './words.js';

const FIRST = 256 * 1024; // read of the end at first
const MORE = 1024 * 1024; // read of what is before, each time
const PIECE = 24 * 1024; // characters of a piece
const KEEP = 48 * 1024 * 1024; // bytes on the page; beyond that the oldest go
const AGAIN_MS = 5000;
const NEAR = 24; // pixels from the end that count as the end

class Log extends HTMLElement {
	text = h('div.text.wrap');
	before = h('button.before', { hidden: true, onclick: () => this.earlier() });
	box = h('div.output', { role: 'log', 'aria-label': 'Output', 'aria-live': 'off', tabindex: 0 }, this.before, this.text);
	foot = h('p.foot.soft', { role: 'status' });
	steps = h('span', { hidden: true }, [['↑', 'Previous match', -1], ['↓', 'Next match', 1]].map(([shape, label, by]) =>
		h('button.quiet', { title: label, 'aria-label': label, onclick: () => this.finder.step(by) }, shape)));
	found = h('span.soft', { role: 'status' });
	find = h('input', { type: 'search', placeholder: 'find in the output', 'aria-label': 'Find in the output',
		oninput: () => this.finder.look(this.find.value), onkeydown: (event) => this.findKey(event) });
	finder = new Finder(this.box, this.text, (n, at) => this.showFound(n, at));
	runs = h('span', { hidden: true });
	save = h('a.button', { download: '' }, icon('download'), 'Download');
	following = h('button', { 'aria-pressed': 'true', onclick: () => this.setFollowing(!this.follows) }, 'Follow');
	wrapping = h('button', { 'aria-pressed': 'true', onclick: () => this.wrap() }, 'Wrap');
	follows = true;

	connectedCallback() {
		this.append(h('div.row.tools', this.runs, h('span.find', icon('search'), this.find),
			this.steps, this.found, h('span.grow'), this.following, this.wrapping, this.save),
		this.box, this.foot);
		this.box.addEventListener('scroll', () => this.scrolled(), { passive: true });
	}

	disconnectedCallback() {
		this.stop();
		this.finder.clear();
	}

	/** Shows the output of this job, which may have changed; and which runs there are to choose from, and whether stderr is apart. */
	follow(job, runs) {
		const again = this.job && job.run > this.job.run;
		const first = !this.job;
		this.job = job;
		const options = [['', 'All runs'], ...runs.map((run) => [`run ${run}`, `Run ${run}`]), ...(job.stderr_apart ? [['stream err', 'Standard error']] : [])];
		this.runs.hidden = options.length < 3;
		fill(this.runs, select('Which run', options, this.part, (part) => this.open(part)));
		if (first) this.open('');
		else if (again && !this.stream && !this.part) {
			clearTimeout(this.again);
			this.listen();
		}
	}

	// --- reading

	async open(part) {
		this.stop();
		this.part = part;
		this.which = part ? Object.fromEntries([part.split(' ')]) : {};
		this.path = jobPath(this.job.id, '/log');
		const { signal } = this.opened = new AbortController();
		Object.assign(this, { start: 0, end: 0, decoder: new TextDecoder(), ansi: new Ansi(), held: 0 });
		this.text.replaceChildren();
		this.save.href = address(this.path, { ...this.which, download: 1 });
		try {
			const read = this.job.run ? await bytes(this.path, this.which, `-${FIRST}`, signal) : { bytes: new Uint8Array(), start: 0 };
			const cut = read.start ? read.bytes.indexOf(10) + 1 : 0;
			this.start = read.start + cut;
			this.end = read.start + read.bytes.length;
			this.add(read.bytes.subarray(cut));
			this.showBefore();
			this.toEnd();
			if (!part) this.listen();
		} catch (problem) {
			this.failed(problem, signal);
		}
	}

	/** What is written from now on. The stream ends when the job has ended; opened again when it runs again. */
	listen() {
		this.stream = new EventSource(address(`${this.path}/stream`, { offset: this.end }));
		this.stream.addEventListener('output', ({ data }) => {
			const { offset, base64 } = JSON.parse(data);
			const more = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
			const known = Math.max(0, this.end - offset);
			if (known >= more.length) return;
			this.end = offset + more.length;
			this.add(more.subarray(known));
		});
		this.stream.addEventListener('end', () => {
			this.stopListening();
			this.showFoot();
		});
		this.stream.onerror = () => { // one that was refused does not come again by itself
			if (this.stream?.readyState !== EventSource.CLOSED) return;
			this.stopListening();
			this.showFoot();
			this.again = setTimeout(() => this.listen(), AGAIN_MS);
		};
		this.showFoot();
	}

	stopListening() {
		this.stream?.close();
		this.stream = null;
	}

	stop() {
		clearTimeout(this.again);
		this.opened?.abort();
		this.stopListening();
	}

	failed(problem, signal) {
		if (!signal.aborted) say(this.foot, problem.line ?? problem.message);
	}

	add(more) {
		this.held += more.length;
		const { follows } = this;
		this.write(whole(this.decoder.decode(more, { stream: true })));
		if (this.held > KEEP && follows) this.forget();
		if (follows) this.toEnd();
		this.finder.more();
		this.showFoot();
	}

	/** A piece ends where a line ends, unless that line is longer than a piece. */
	write(text) {
		for (const { text: all, style } of this.ansi.parts(text)) {
			for (let rest = all; rest;) {
				let piece = this.text.lastElementChild;
				if (!piece || piece.full) this.text.append(piece = Object.assign(h('div.piece'), { size: 0 }));
				const room = Math.max(0, PIECE - piece.size);
				const newline = rest.indexOf('\n', room);
				const end = newline >= 0 && newline < room + PIECE ? newline + 1 : Math.min(rest.length, room + PIECE);
				const taken = rest.slice(0, end);
				piece.append(node(taken, style));
				piece.size += taken.length;
				piece.full = piece.size >= PIECE && (taken.endsWith('\n') || piece.size >= PIECE * 2);
				rest = rest.slice(end);
			}
		}
	}

	/** Reads what is before what is shown, leaving what the reader looks at where it is. */
	async earlier() {
		if (this.reading || !this.start) return;
		this.reading = true;
		const { signal } = this.opened;
		try {
			const from = Math.max(0, this.start - MORE);
			const read = await bytes(this.path, this.which, `${from}-${this.start - 1}`, signal);
			const cut = from ? read.bytes.indexOf(10) + 1 : 0;
			this.prepend(whole(new TextDecoder().decode(read.bytes.subarray(cut))));
			this.held += read.bytes.length;
			this.start = from + cut;
			this.showBefore();
			this.finder.more(true);
		} catch (problem) {
			this.failed(problem, signal);
		} finally {
			this.reading = false;
		}
	}

	prepend(text) {
		const { text: shown, ansi } = this;
		const below = this.box.scrollHeight - this.box.scrollTop;
		const made = h('div');
		Object.assign(this, { text: made, ansi: new Ansi() });
		this.write(text);
		Object.assign(this, { text: shown, ansi });
		if (made.lastElementChild) made.lastElementChild.full = true;
		shown.prepend(...made.children);
		this.box.scrollTop = this.box.scrollHeight - below;
	}

	forget() {
		while (this.held > KEEP && this.text.children.length > 8) {
			const oldest = this.text.firstElementChild;
			this.held -= oldest.size;
			this.start += oldest.size;
			oldest.remove();
		}
		this.showBefore();
	}

	// --- showing

	showBefore() {
		this.before.hidden = !this.start;
		say(this.before, `Show what is before: ${size(this.start)}`);
	}

	showFoot() {
		const none = this.stream ? 'No output yet.' : 'It wrote nothing.';
		say(this.foot, this.end ? `${size(this.end)}, ${this.stream ? 'still being written' : 'complete'}` : none);
	}

	toEnd() {
		this.box.scrollTop = this.box.scrollHeight;
	}

	setFollowing(yes) {
		this.follows = yes;
		this.following.setAttribute('aria-pressed', yes);
		if (yes) this.toEnd();
	}

	wrap() {
		this.wrapping.setAttribute('aria-pressed', this.text.classList.toggle('wrap'));
		if (this.follows) this.toEnd();
	}

	/** Scrolling up stops following, coming to the end follows again; at the top what is before comes. */
	scrolled() {
		const { scrollTop, scrollHeight, clientHeight } = this.box;
		const atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
		const up = scrollTop < (this.wasAt ?? 0) - 4;
		this.wasAt = scrollTop;
		if (atEnd !== this.follows && (atEnd || up)) this.setFollowing(atEnd);
		if (scrollTop < 200 && up) this.earlier();
	}

	// --- finding

	findKey(event) {
		if (event.key === 'Enter') {
			event.preventDefault();
			this.finder.step(event.shiftKey ? -1 : 1);
		} else if (event.key === 'Escape' && this.find.value) {
			this.find.value = '';
			this.finder.look('');
			event.stopPropagation();
		}
	}

	showFound(n, at) {
		if (n !== null) this.setFollowing(false);
		const told = n ? `${at + 1} of ${n}${n >= Finder.MOST ? '+' : ''} ` : 'not found ';
		this.steps.hidden = !n;
		const all = this.start > 0 && this.held < KEEP && h('button.link', { onclick: () => this.findBefore() }, `look in ${size(this.start)} before`);
		fill(this.found, n !== null && [told, all]);
	}

	async findBefore() {
		const before = this.finder.count;
		while (this.start > 0 && this.held < KEEP && this.finder.count === before && this.isConnected) {
			const { start } = this;
			await this.earlier();
			if (this.start === start) return;
		}
	}
}

/** What was cut out of a log reads as a run of zeros. */
const whole = (text) => text.replace(/\0{64,}/g, (zeros) => `\n[${size(zeros.length)} were cut out here]\n`);

customElements.define('q-log', Log);
