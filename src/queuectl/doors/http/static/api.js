// The only way from the page to the queue: the public API, relative to wherever it is mounted.

const BASE = new URL('../api/v1/', import.meta.url);
const PATIENCE_MS = 20_000;
const AGAIN_MS = 300;

export const sleep = (ms) => new Promise((go) => { setTimeout(go, ms); });

/** How far the server's clock is ahead of this one, in ms; less than two seconds is taken for none. */
export let clockAhead = 0;

/** What the API said no to: a problem document (RFC 9457), or that there was no answer at all (status 0). */
export class Problem extends Error {
	constructor(status, facts) {
		super(facts.title || facts.detail || `the server answered ${status}`);
		this.status = status;
		this.facts = facts;
	}

	/** One line: what, why, what next. */
	get line() {
		const { title, detail, reason, hint } = this.facts;
		const what = [title, detail, reason].filter((part, at, all) => part && all.indexOf(part) === at && !all[at - 1]?.includes(part));
		return [what.join(': ') || this.message, hint].filter(Boolean).join(' — ');
	}
}

export function address(path, params) {
	const url = new URL(path, BASE);
	for (const [name, value] of Object.entries(params ?? {})) {
		if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, value);
	}
	return url;
}

/** path`queues/${name}`: an address in which a name is a name, whatever it holds. */
export const path = (parts, ...names) => String.raw({ raw: parts }, ...names.map(encodeURIComponent));
export const jobPath = (id, rest = '') => path`jobs/${id}` + rest;

async function ask(method, path, { params, body, headers, signal } = {}) {
	const limit = AbortSignal.timeout(PATIENCE_MS);
	const init = { method, headers: { ...headers }, signal: signal ? AbortSignal.any([signal, limit]) : limit };
	if (body !== undefined) Object.assign(init, { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
	const fetching = () => fetch(address(path, params), init);
	// A connection that was cut, as by another network, is worth a second try; what changes something is never sent twice.
	const answer = await fetching().catch((problem) => (method === 'GET' ? sleep(AGAIN_MS).then(fetching) : Promise.reject(problem))).catch((problem) => {
		if (signal?.aborted) throw problem;
		throw new Problem(0, { title: 'the server does not answer', hint: 'is queuectl serve still running?' });
	});
	noteClock(answer);
	if (!answer.ok) throw new Problem(answer.status, await facts(answer));
	return answer;
}

async function facts(answer) {
	try {
		return await answer.json();
	} catch {
		return { title: `the server answered ${answer.status} ${answer.statusText}` };
	}
}

function noteClock(answer) {
	const date = Date.parse(answer.headers.get('date') ?? '');
	if (Number.isNaN(date)) return;
	const ahead = date + 500 - Date.now();
	clockAhead = Math.abs(ahead) < 2000 ? 0 : ahead;
}

const json = async (answer) => ((await answer).status === 204 ? null : (await answer).json());

export const get = (path, params, signal) => json(ask('GET', path, { params, signal }));
export const [post, patch, put] = ['POST', 'PATCH', 'PUT'].map((method) => (path, body = {}) => json(ask(method, path, { body })));
export const remove = (path) => json(ask('DELETE', path));

/** A part of a log: its bytes, where they begin and how long the whole is. `range` as in HTTP, `0-1023` or `-1024`. */
export async function bytes(path, params, range, signal) {
	try {
		const answer = await ask('GET', path, { params, signal, headers: { Range: `bytes=${range}` } });
		const found = new Uint8Array(await answer.arrayBuffer());
		const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers.get('content-range') ?? '') ?? [0, 0, found.length];
		return { bytes: found, start: Number(start), total: Number(total) };
	} catch (problem) {
		// Nothing there yet, or nothing in this range: an empty log is not an error.
		if (problem.status === 416) return { bytes: new Uint8Array(), start: 0, total: 0 };
		throw problem;
	}
}
