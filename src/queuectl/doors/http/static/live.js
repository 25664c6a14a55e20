// What the server says as it happens. Views listen here; none opens a stream of its own for the state of the queue.
//
//   'status'  the counts have changed: live.status     'jobs'     changes of jobs, a list of at most some hundred
//   'tick'    look again: more happened than was told   'mode'     live | polling | stale | locked | connecting

import { Problem, address, get } from './api.js';

const POLL_MS = 5000;
const QUIET_MS = 20_000; // heartbeats do not reach a page, so that silence this long is looked into
const HIDDEN_MS = 15_000; // a browser has six connections to a server: pages nobody looks at give theirs back
const GATHER_MS = 100;

class Live extends EventTarget {
	status = null;
	mode = 'connecting';
	heardAt = Date.now();
	renewedAt = 0;
	stream = null;
	gathered = [];

	begin() {
		this.connect();
		setInterval(() => this.watch(), 1000);
		document.addEventListener('visibilitychange', () => {
			clearTimeout(this.leaving);
			if (!document.hidden) this.connect();
			else this.leaving = setTimeout(() => this.disconnect(), HIDDEN_MS);
		});
	}

	connect() {
		if (this.stream && this.stream.readyState !== EventSource.CLOSED) return;
		const stream = this.stream = new EventSource(address('events'));
		const told = (name, take) => stream.addEventListener(name, ({ data }) => {
			this.heardAt = Date.now();
			this.be('live');
			take(JSON.parse(data));
		});
		told('hello', ({ status }) => {
			this.learn(status);
			this.tell('tick');
		});
		told('status', (status) => this.learn(status));
		told('job', (change) => this.gather(change));
		told('many', () => this.tell('tick'));
		told('workers', () => this.tell('workers'));
		stream.onerror = () => this.poll();
	}

	disconnect() {
		this.stream?.close();
		this.stream = null;
	}

	gather(change) {
		if (this.gathered.push(change) > 1) return;
		setTimeout(() => this.tell('jobs', this.gathered.splice(0)), GATHER_MS);
	}

	/** Every second: is the stream what it should be? */
	watch() {
		if (document.hidden && !this.stream) return;
		const silent = Date.now() - this.heardAt;
		const streaming = this.stream?.readyState === EventSource.OPEN;
		if (streaming && silent > QUIET_MS && Date.now() - this.renewedAt > 2 * QUIET_MS) { // it may be dead: a new one says hello
			this.renewedAt = Date.now();
			this.disconnect();
			this.connect();
			return;
		}
		if (silent > (streaming && this.mode === 'live' ? QUIET_MS : POLL_MS) && !this.asking) this.poll();
		if (this.stream?.readyState === EventSource.CLOSED && silent > POLL_MS) this.connect();
	}

	/** Without a stream the page is not blind: it asks, and says that it does. */
	async poll() {
		if (this.asking) return;
		this.asking = true;
		const streaming = this.stream?.readyState === EventSource.OPEN;
		try {
			this.learn(await get('status'));
			this.heardAt = Date.now();
			this.be(streaming ? 'live' : 'polling');
			this.tell('tick');
		} catch (problem) {
			if (!(problem instanceof Problem)) throw problem;
			this.be(problem.status === 401 ? 'locked' : 'stale');
		} finally {
			setTimeout(() => { this.asking = false; }, 1000);
		}
	}

	learn(status) {
		this.status = { ...this.status, ...status };
		this.tell('status');
	}

	be(mode) {
		if (this.mode === mode && mode !== 'stale') return;
		this.mode = mode;
		this.tell('mode');
	}

	tell(name, detail) {
		this.dispatchEvent(new CustomEvent(name, { detail }));
	}

	get readOnly() {
		return Boolean(this.status?.read_only);
	}
}

export const live = new Live();
