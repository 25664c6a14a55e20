// What all pages have in common: they read, draw what they have read, and do both again when something has happened.

import { get } from './api.js';
import { calm, fill } from './dom.js';
import { live } from './live.js';
import { complain, tell } from './parts.js';

/** A page has `asks`, what it asks the API for, and `draw`, which gives the nodes to be seen, or nothing when it is not yet known. */
export class View extends HTMLElement {
	connectedCallback() {
		this.life = new AbortController();
		this.start();
	}

	disconnectedCallback() {
		this.life.abort();
	}

	start() {
		this.keep('jobs tick');
	}

	/** Listens until the page is left. */
	on(target, names, listener) {
		for (const name of names.split(' ')) target.addEventListener(name, listener, { signal: this.life.signal });
	}

	every(ms, work) {
		const timer = setInterval(() => document.hidden || work(), ms);
		this.life.signal.addEventListener('abort', () => clearInterval(timer));
	}

	/** Reads and draws now, and whenever one of these happens; at most once per `pause` ms. */
	keep(names, pause = 700, read = () => this.read()) {
		const again = calm(() => this.load(read), pause);
		this.on(live, names, again);
		again();
		return again;
	}

	/** Asks for an address or several, and keeps what is answered under the names it has there. */
	async read() {
		Object.assign(this, ...await Promise.all([this.asks].flat().map((one) => get(one))));
	}

	async load(read = () => this.read()) {
		try {
			await read();
			this.redraw();
		} catch (problem) {
			if (this.isConnected && problem.name !== 'AbortError') this.failed(problem);
		}
	}

	redraw() {
		const drawn = this.isConnected && this.draw();
		if (drawn) fill(this, drawn);
	}

	/** That there is no answer at all is said at the top of every page. */
	failed(problem) {
		if (problem.status !== 0) complain(problem);
	}

	/** Does something, says that it is done, shows what became of it, unless it has led elsewhere. Returns whether it was done. */
	async act(work, done) {
		if (this.acting) return false; // a second click while the first is under way asks for nothing
		this.acting = true;
		const here = location.hash;
		try {
			if ((await work()) === false) return false;
			if (done) tell(done);
			if (location.hash === here) await this.load();
			return true;
		} catch (problem) {
			complain(problem);
			return false;
		} finally {
			this.acting = false;
		}
	}
}
